// Command standin stands in for a Dynatrace environment in the tests of the
// packages: TLS by an authority of its own, one token, a ledger of what it took.
//
//	standin LISTEN NAME TOKENFILE CAFILE
//
// It listens on LISTEN as NAME, writes its authority's certificate to CAFILE and
// runs until it is ended. GET /_ledger tells the sums, POST /_missing which of the
// metric lines in the body it has not taken.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: standin LISTEN NAME TOKENFILE CAFILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

// auditListen is where the ledger is asked: on loopback, which no gateway sees.
const auditListen = "127.0.0.1:8080"

func run(listen, name, tokenFile, caFile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	env := draintest.New(draintest.Options{Token: strings.TrimSpace(string(token)), Control: true})
	if _, err := env.StartTLS(listen, draintest.TLS{Names: []string{name}}); err != nil {
		return err
	}
	audit := &http.Server{Addr: auditListen, Handler: auditor(env)}
	failed := make(chan error, 1)
	go func() { failed <- audit.ListenAndServe() }()
	// Who waits for this file finds both ports open or being opened.
	if err := os.WriteFile(caFile, env.CAPEM(), 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		_ = audit.Close()
		<-failed
	}
	_ = env.Close()
	return err
}

// auditor answers questions about the ledger.
func auditor(env *draintest.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /_ledger", env)
	mux.HandleFunc("POST /_missing", func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text := lines.Text()
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			if times, err := env.Ledger().Times(text); err != nil {
				fmt.Fprintf(w, "%s: %v\n", text, err)
			} else if times == 0 {
				fmt.Fprintln(w, text)
			}
		}
		if err := lines.Err(); err != nil {
			fmt.Fprintln(w, "the lines cannot be read:", err)
		}
	})
	return mux
}
