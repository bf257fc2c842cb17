// registry serves an OCI registry for tests: plain or over TLS, open or with basic authentication.
//
// It prints its address, one line, as soon as it listens, and serves until it is killed. What was pushed stays in --data.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// users are NAME:PASSWORD.
type users []string

func (u *users) String() string { return fmt.Sprintf("%d users", len(*u)) }

func (u *users) Set(value string) error {
	if name, password, ok := strings.Cut(value, ":"); !ok || name == "" || password == "" {
		return fmt.Errorf("want NAME:PASSWORD")
	}
	*u = append(*u, value)
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("registry: ")
	listen := flag.String("listen", "127.0.0.1:0", "where to serve; port 0 takes a free one")
	data := flag.String("data", "", "directory for what is pushed (required)")
	certificate := flag.String("tls-cert", "", "certificate chain in PEM; serves TLS")
	key := flag.String("tls-key", "", "its key in PEM")
	verbose := flag.Bool("verbose", false, "log every request to standard error")
	var allowed users
	flag.Var(&allowed, "user", "NAME:PASSWORD that alone may push and pull; repeatable")
	flag.Parse()
	if *data == "" || flag.NArg() > 0 || (*certificate == "") != (*key == "") {
		flag.Usage()
		os.Exit(2)
	}
	if err := serve(*listen, *data, *certificate, *key, allowed, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func serve(listen, data, certificate, key string, allowed users, verbose bool) error {
	// What is asked for and not there is an error to it; a test says what it expects by itself.
	if !verbose {
		logrus.SetLevel(logrus.PanicLevel)
		log.SetOutput(io.Discard)
	}
	config := &configuration.Configuration{
		Version: "0.1",
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": data},
			"delete":     {"enabled": true},
		},
	}
	config.HTTP.Secret = rand.Text()
	if len(allowed) > 0 {
		path := filepath.Join(data, "htpasswd")
		if err := writePasswords(path, allowed); err != nil {
			return err
		}
		config.Auth = configuration.Auth{"htpasswd": {"realm": "skills", "path": path}}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	var handler http.Handler = handlers.NewApp(context.Background(), config)
	if verbose {
		handler = logged(handler)
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: handler}
	if certificate != "" {
		return server.ServeTLS(listener, certificate, key)
	}
	return server.Serve(listener)
}

func writePasswords(path string, allowed users) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var lines strings.Builder
	for _, user := range allowed {
		name, password, _ := strings.Cut(user, ":")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	return os.WriteFile(path, []byte(lines.String()), 0o600)
}

func logged(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := r.BasicAuth()
		log.Printf("%s %s user=%q", r.Method, r.URL.Path, name)
		handler.ServeHTTP(w, r)
	})
}
