package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/spf13/pflag"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// access is how a registry is reached, and as whom.
type access struct {
	flags     *pflag.FlagSet
	plainHTTP bool
	insecure  bool
	caFile    string
	configs   []string
	username  string
	password  string
}

func (a *access) add(flags *pflag.FlagSet) {
	a.flags = flags
	flags.BoolVar(&a.plainHTTP, "plain-http", false, "allow insecure connections to registry without SSL check")
	flags.BoolVar(&a.insecure, "insecure", false, "allow connections to SSL registry without certs")
	flags.StringVar(&a.caFile, "ca-file", "", "server certificate authority file for the remote registry")
	flags.StringArrayVar(&a.configs, "registry-config", nil, "`path` of the authentication file for registry")
	flags.StringVarP(&a.username, "username", "u", "", "registry username")
	flags.StringVarP(&a.password, "password", "p", "", "registry password or identity token")
	// There is nothing to draw on a terminal; the flag is accepted.
	flags.Bool("no-tty", false, "disable progress bars")
}

// repository is the one that a reference names.
func (a *access) repository(reference string) (*remote.Repository, error) {
	parsed, err := registry.ParseReference(reference)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", reference, err)
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	return &remote.Repository{Client: client, Reference: parsed, PlainHTTP: a.plain(parsed.Registry)}, nil
}

// plain says whether to speak plain HTTP: as told, and otherwise with localhost.
func (a *access) plain(host string) bool {
	if a.flags.Changed("plain-http") {
		return a.plainHTTP
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost"
}

func (a *access) client() (*auth.Client, error) {
	config := &tls.Config{InsecureSkipVerify: a.insecure}
	if a.caFile != "" {
		pem, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("failed to load certificate in %q", a.caFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	client := &auth.Client{Client: &http.Client{Transport: retry.NewTransport(transport)}, Cache: auth.NewCache()}
	client.SetUserAgent("oras/1.3.3")
	if a.username != "" || a.password != "" {
		credential := auth.Credential{Username: a.username, Password: a.password}
		if a.username == "" {
			credential = auth.Credential{RefreshToken: a.password}
		}
		client.Credential = func(context.Context, string) (auth.Credential, error) { return credential, nil }
		return client, nil
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	client.Credential = credentials.Credential(store)
	return client, nil
}

// store is every file that was named, in order, or the one that docker would take.
func (a *access) store() (credentials.Store, error) {
	options := credentials.StoreOptions{AllowPlaintextPut: true}
	if len(a.configs) == 0 {
		return credentials.NewStoreFromDocker(options)
	}
	var stores []credentials.Store
	for _, path := range a.configs {
		store, err := credentials.NewStore(path, options)
		if err != nil {
			return nil, err
		}
		stores = append(stores, store)
	}
	return credentials.NewStoreWithFallbacks(stores[0], stores[1:]...), nil
}

// tagOrDigest is what a reference must end in where one thing is wanted.
func tagOrDigest(repository *remote.Repository, reference string) (string, error) {
	if repository.Reference.Reference == "" {
		return "", fmt.Errorf("%q: no tag or digest specified", reference)
	}
	return repository.Reference.Reference, nil
}

var errNoPassword = errors.New("no password on standard input")
