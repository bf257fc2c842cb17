// oras does for the tests what the ORAS command line does, for as much of it as the product and its docs use: the same
// arguments, output and exit codes, on the same library. (That command line is no module that one could build.)
package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "oras [command]", SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(pushCommand(), pullCommand(), resolveCommand(), loginCommand())
	if command, err := root.ExecuteContextC(ctx); err != nil {
		report(command, err)
		stop()
		os.Exit(1)
	}
}

// report says what failed: a registry's own words where it is the registry that refused.
func report(command *cobra.Command, err error) {
	prefix := "Error:"
	var copying *oras.CopyError
	if errors.As(err, &copying) {
		err = copying.Err
	}
	var response *errcode.ErrorResponse
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
	case errors.As(err, &response):
		prefix = "Error response from registry:"
		if len(response.Errors) > 0 {
			err = response.Errors
		} else {
			err = withoutQuery(response)
		}
	case errors.Is(err, errdef.ErrNotFound):
		prefix = "Error response from registry:"
	}
	command.PrintErrln(prefix, err)
}

// withoutQuery leaves out what may be a token.
func withoutQuery(response *errcode.ErrorResponse) error {
	if response.URL == nil {
		return response
	}
	plain := *response
	plain.URL = &url.URL{Scheme: response.URL.Scheme, Host: response.URL.Host, Path: response.URL.Path}
	return &plain
}
