package demoapp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	goodbye       = 2 * time.Second // for requests that run when it ends
)

// Serve answers on the listener until ctx ends, and closes it. The end of ctx is
// no error.
func (a *App) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: a, ReadHeaderTimeout: headerTimeout}
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		closed <- server.Shutdown(limited)
	})
	err := server.Serve(l)
	if stop() { // it ended by itself
		return fmt.Errorf("serve the demo application: %w", err)
	}
	if err := <-closed; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("close the demo application: %w", err)
	}
	return server.Close()
}
