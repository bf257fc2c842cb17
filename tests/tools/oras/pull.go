package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/file"
)

func pullCommand() *cobra.Command {
	var access access
	var output string
	var concurrency int
	var keep bool
	command := &cobra.Command{
		Use:  "pull [flags] <name>{:<tag>|@<digest>}",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) (failure error) {
			repository, err := access.repository(args[0])
			if err != nil {
				return err
			}
			reference, err := tagOrDigest(repository, args[0])
			if err != nil {
				return err
			}
			store, err := file.New(output)
			if err != nil {
				return err
			}
			defer func() {
				if err := store.Close(); failure == nil {
					failure = err
				}
			}()
			store.DisableOverwrite = keep

			pull := pull{seen: map[string]bool{}}
			options := oras.DefaultCopyOptions
			options.Concurrency = concurrency
			options.FindSuccessors = pull.successors
			options.PreCopy = func(_ context.Context, node ocispec.Descriptor) error {
				return pull.once("Downloading", node)
			}
			options.PostCopy = func(ctx context.Context, node ocispec.Descriptor) error {
				// What has the content of another file of the same artifact is not fetched again.
				successors, err := content.Successors(ctx, store, node)
				if err != nil {
					return err
				}
				for _, successor := range successors {
					if successor.Annotations[ocispec.AnnotationTitle] != "" {
						if err := pull.once("Restored   ", successor); err != nil {
							return err
						}
					}
				}
				return pull.says("Downloaded ", node)
			}
			root, err := oras.Copy(command.Context(), repository, reference, store, reference, options)
			if err != nil {
				return err
			}
			if pull.skipped {
				fmt.Printf("Skipped pulling layers without file name in %q\n", ocispec.AnnotationTitle)
				fmt.Printf("Use 'oras copy %s --to-oci-layout <layout-dir>' to pull all layers.\n", args[0])
				return nil
			}
			fmt.Printf("Pulled [registry] %s\n", args[0])
			fmt.Println("Digest:", root.Digest)
			return nil
		},
	}
	access.add(command.Flags())
	command.Flags().StringVarP(&output, "output", "o", ".", "output directory")
	command.Flags().IntVar(&concurrency, "concurrency", 3, "concurrency level")
	command.Flags().BoolVarP(&keep, "keep-old-files", "k", false, "do not replace existing files when pulling")
	return command
}

// pull is what one pull has said and seen.
type pull struct {
	lock    sync.Mutex
	seen    map[string]bool
	skipped bool
}

// successors are the parts of a manifest that become files. A layer without a title becomes none, and that is no error.
func (p *pull) successors(ctx context.Context, from content.Fetcher, node ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	announced := content.FetcherFunc(func(ctx context.Context, target ocispec.Descriptor) (io.ReadCloser, error) {
		if err := p.once("Downloading", target); err != nil {
			return nil, err
		}
		reader, err := from.Fetch(ctx, target)
		if err == nil {
			err = p.says("Processing ", target)
		}
		return reader, err
	})
	all, err := content.Successors(ctx, announced, node)
	if err != nil {
		return nil, err
	}
	var wanted []ocispec.Descriptor
	for _, part := range all {
		if part.Annotations[ocispec.AnnotationTitle] == "" {
			if content.Equal(part, ocispec.DescriptorEmptyJSON) {
				continue
			}
			below, err := content.Successors(ctx, from, part)
			if err != nil {
				return nil, err
			}
			p.lock.Lock()
			p.skipped = true
			p.lock.Unlock()
			if len(below) == 0 {
				if err := p.once("Skipped    ", part); err != nil {
					return nil, err
				}
				continue
			}
		}
		wanted = append(wanted, part)
	}
	return wanted, nil
}

// once says something of a node, unless something was said of it.
func (p *pull) once(word string, node ocispec.Descriptor) error {
	p.lock.Lock()
	key := node.Digest.String() + node.Annotations[ocispec.AnnotationTitle]
	said := p.seen[key]
	p.seen[key] = true
	p.lock.Unlock()
	if said {
		return nil
	}
	return p.says(word, node)
}

func (p *pull) says(word string, node ocispec.Descriptor) error {
	return says(word)(context.Background(), node)
}
