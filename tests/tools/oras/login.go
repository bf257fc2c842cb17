package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

func loginCommand() *cobra.Command {
	var access access
	var fromStdin bool
	command := &cobra.Command{
		Use:  "login [flags] <registry>",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			password := access.password
			if fromStdin {
				read, err := io.ReadAll(os.Stdin)
				if err != nil {
					return err
				}
				password = strings.TrimRight(string(read), "\r\n")
			}
			if password == "" {
				return errNoPassword
			}
			target, err := remote.NewRegistry(args[0])
			if err != nil {
				return err
			}
			target.PlainHTTP = access.plain(args[0])
			if target.Client, err = access.client(); err != nil {
				return err
			}
			store, err := access.store()
			if err != nil {
				return err
			}
			credential := auth.Credential{Username: access.username, Password: password}
			if err := credentials.Login(command.Context(), store, target, credential); err != nil {
				return err
			}
			fmt.Println("Login Succeeded")
			return nil
		},
	}
	access.add(command.Flags())
	command.Flags().BoolVar(&fromStdin, "password-stdin", false, "read password from stdin")
	return command
}

func resolveCommand() *cobra.Command {
	var access access
	command := &cobra.Command{
		Use:  "resolve [flags] <name>{:<tag>|@<digest>}",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			repository, err := access.repository(args[0])
			if err != nil {
				return err
			}
			reference, err := tagOrDigest(repository, args[0])
			if err != nil {
				return err
			}
			found, err := repository.Resolve(command.Context(), reference)
			if err != nil {
				return err
			}
			fmt.Println(found.Digest)
			return nil
		},
	}
	access.add(command.Flags())
	return command
}
