package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
)

func pushCommand() *cobra.Command {
	var access access
	var artifactType, config, annotationFile string
	var annotations []string
	var anyPath bool
	command := &cobra.Command{
		Use:  "push [flags] <name>[:<tag>[,<tag>][...]] <file>[:<type>] [...]",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			name, tags, _ := strings.Cut(args[0], ",")
			var more []string
			if tags != "" {
				more = strings.Split(tags, ",")
			}
			repository, err := access.repository(name)
			if err != nil {
				return err
			}
			store, err := file.New("")
			if err != nil {
				return err
			}
			defer store.Close()
			ctx := command.Context()

			options := oras.PackManifestOptions{ManifestAnnotations: map[string]string{}}
			for _, annotation := range annotations {
				key, value, ok := strings.Cut(annotation, "=")
				if !ok {
					return fmt.Errorf("missing key in --annotation: %s", annotation)
				}
				options.ManifestAnnotations[key] = value
			}
			// Of each file, by its path.
			var fileAnnotations map[string]map[string]string
			if annotationFile != "" {
				content, err := os.ReadFile(annotationFile)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(content, &fileAnnotations); err != nil {
					return err
				}
			}
			version := oras.PackManifestVersion1_1
			if config != "" {
				path, mediaType := pathAndType(config)
				added, err := store.Add(ctx, "$config", or(mediaType, oras.MediaTypeUnknownConfig), path)
				if err != nil {
					return err
				}
				added.Annotations = nil
				options.ConfigDescriptor = &added
				if artifactType == "" {
					version = oras.PackManifestVersion1_0
				}
			} else if artifactType == "" {
				artifactType = oras.MediaTypeUnknownArtifact
			}
			for _, argument := range args[1:] {
				path, mediaType := pathAndType(argument)
				if filepath.IsAbs(path) && !anyPath {
					return fmt.Errorf("absolute file path detected. If it's intentional, "+
						"use --disable-path-validation flag to skip this check: %s", path)
				}
				title := filepath.Clean(path)
				fmt.Println("Preparing", title)
				layer, err := store.Add(ctx, title, mediaType, path)
				if err != nil {
					return err
				}
				for key, value := range fileAnnotations[path] {
					layer.Annotations[key] = value
				}
				options.Layers = append(options.Layers, layer)
			}
			if len(options.Layers) == 0 {
				fmt.Println("Uploading empty artifact")
			}
			root, err := oras.PackManifest(ctx, store, version, artifactType, options)
			if err != nil {
				return err
			}
			if err := store.Tag(ctx, root, root.Digest.String()); err != nil {
				return err
			}

			copying := oras.DefaultCopyOptions
			copying.Concurrency = 5
			copying.OnCopySkipped = says("Exists   ")
			copying.PreCopy = says("Uploading")
			copying.PostCopy = says("Uploaded ")
			if tag := repository.Reference.Reference; tag == "" {
				err = oras.CopyGraph(ctx, store, repository, root, copying.CopyGraphOptions)
			} else {
				_, err = oras.Copy(ctx, store, root.Digest.String(), repository, tag, copying)
			}
			if err != nil {
				return err
			}
			fmt.Printf("Pushed [registry] %s\n", name)
			for _, tag := range more {
				if err := repository.Tag(ctx, root, tag); err != nil {
					return err
				}
				fmt.Println("Tagged", tag)
			}
			fmt.Println("ArtifactType:", root.ArtifactType)
			fmt.Println("Digest:", root.Digest)
			return nil
		},
	}
	access.add(command.Flags())
	command.Flags().StringVar(&artifactType, "artifact-type", "", "artifact type")
	command.Flags().StringVar(&config, "config", "", "`path` of image config file")
	command.Flags().StringArrayVarP(&annotations, "annotation", "a", nil, "manifest annotations")
	command.Flags().StringVar(&annotationFile, "annotation-file", "", "`path` of the annotation file")
	command.Flags().BoolVar(&anyPath, "disable-path-validation", false, "skip path validation")
	return command
}

// says prints what becomes of a blob or manifest.
func says(word string) func(context.Context, ocispec.Descriptor) error {
	return func(_ context.Context, node ocispec.Descriptor) error {
		title := node.Annotations[ocispec.AnnotationTitle]
		_, err := fmt.Println(word, node.Digest.Encoded()[:12], or(title, node.MediaType))
		return err
	}
}

// pathAndType parts `PATH[:TYPE]`.
func pathAndType(argument string) (string, string) {
	if colon := strings.LastIndexByte(argument, ':'); colon > 0 {
		return argument[:colon], argument[colon+1:]
	}
	return argument, ""
}

func or(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}
