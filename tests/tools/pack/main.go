// Command pack packs one skill in every way that is met in the wild, each under a tag of its own, into an OCI layout
// (a directory) or a repository (HOST:PORT/NAME, plain HTTP).
//
//	pack layout DIR
//	pack push HOST:PORT/NAME
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: pack layout DIR | pack push HOST:PORT/NAME")
	}
	var target oras.Target
	switch args[0] {
	case "layout":
		layout, err := oci.New(args[1])
		if err != nil {
			return err
		}
		target = layout
	case "push":
		repository, err := remote.NewRepository(args[1])
		if err != nil {
			return err
		}
		repository.PlainHTTP = true
		target = repository
	default:
		return fmt.Errorf("%s is neither layout nor push", args[0])
	}
	for _, way := range ways {
		root, err := way.pack(ctx, target)
		if err == nil {
			err = target.Tag(ctx, root, way.tag)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", way.tag, err)
		}
		fmt.Println(way.tag)
	}
	return nil
}
