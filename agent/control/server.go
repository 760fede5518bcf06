// Package control is the local unix socket of a running agent: HTTP with
// GET /v1/status, POST /v1/reload and the tools that the agent adds. It holds
// the server, the client and the types of the status document.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxConnections = 16
	maxAnswer      = 64 << 20 // bytes
	graceful       = 2 * time.Second
)

// Server answers on the socket at Path.
type Server struct {
	Path   string
	Status func() any // what JSON can hold
	// Reload may be called several times at once. An *Incomplete tells of a
	// reload that was taken in part.
	Reload func(ctx context.Context) error
	Tools  []Tool
	Log    zerolog.Logger
	// Beat is called by the loop that takes connections: it is well, and says so
	// again within that time. nil: nobody asks.
	Beat func(within time.Duration)

	busy   chan struct{} // a slot for each tool at work
	limits limits        // zero: those of a server that is in use
}

// limits are how long a request may be read and answered.
type limits struct{ read, write time.Duration }

// reloadAnswer is the document of POST /v1/reload.
type reloadAnswer struct {
	OK       bool     `json:"ok"`
	Errors   []string `json:"errors"`
	Problems []string `json:"problems,omitempty"` // of a reload that was taken in part
}

// Run answers until ctx ends, which is no error.
func (s *Server) Run(ctx context.Context) error {
	l, err := listen(s.Path)
	if err != nil {
		return err
	}
	// A reload goes on when its client leaves, and ends with the agent.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.busy = make(chan struct{}, maxTools)
	defer s.awaitTools()
	server := &http.Server{
		Handler:           s.guard(s.handler(ctx, work)),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       cmp.Or(s.limits.read, 10*time.Second),
		WriteTimeout:      cmp.Or(s.limits.write, 2*time.Minute),
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(s.Log, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(limit(l, maxConnections, s.Beat)) }()
	select {
	case err := <-served:
		_ = l.Close()
		return fmt.Errorf("serve the control socket: %w", err)
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(work, graceful)
	defer stop()
	if err := server.Shutdown(grace); err != nil {
		cancel()
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// awaitTools returns when no tool is at work, and lets none begin any more.
func (s *Server) awaitTools() {
	for range maxTools {
		s.busy <- struct{}{}
	}
}

// handler knows the agent's context, which ends the tools, and the one that
// ends the reloads.
func (s *Server) handler(ctx, work context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, s.Status())
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, _ *http.Request) {
		s.reload(work, w)
	})
	for _, t := range s.Tools {
		mux.HandleFunc(t.Method+" "+t.Path, s.tool(ctx, t))
	}
	return mux
}

func (s *Server) reload(ctx context.Context, w http.ResponseWriter) {
	err := s.Reload(ctx)
	var part *Incomplete
	switch {
	case err == nil:
		s.answer(w, http.StatusOK, reloadAnswer{OK: true, Errors: []string{}})
		return
	case errors.As(err, &part):
		s.answer(w, http.StatusOK, reloadAnswer{OK: true, Errors: []string{}, Problems: part.Problems})
		return
	}
	s.answer(w, http.StatusUnprocessableEntity, reloadAnswer{Errors: strings.Split(err.Error(), "\n")})
}

func (s *Server) answer(w http.ResponseWriter, code int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		s.Log.Error().Err(err).Msg("control: encode the answer")
		http.Error(w, "the agent cannot encode its answer; see its log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if _, err := w.Write(append(body, '\n')); err != nil {
		s.Log.Debug().Err(err).Msg("control: the client left before its answer")
	}
}
