// Package draintest is a stand-in for a Dynatrace environment: the metric
// ingest endpoint, stricter than the documentation, with a ledger of what it
// took and faults that can be switched on while it runs. It is written from
// the protocol's description alone and shares no code with the sender it
// tests.
package draintest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a stand-in environment.
type Options struct {
	Token     string           // the one API token that is accepted; "" accepts any
	Now       func() time.Time // the server's clock; nil means time.Now
	KeepLines bool             // the ledger keeps the text of each line, for tests that want values
	Control   bool             // answer /_ledger and /_fault
}

// Server is one stand-in environment. It is an http.Handler and can also
// listen by itself.
type Server struct {
	options Options
	ledger  *Ledger
	faults  *faults
	// underway is held for reading while a request is judged and answered.
	underway sync.RWMutex
	refusals atomic.Int64 // how often the port was closed

	mu       sync.Mutex // guards what follows
	http     *http.Server
	listener net.Listener // nil while connections are refused
	address  string
	closed   bool
	serving  sync.WaitGroup // goroutines that accept
	conns    sync.WaitGroup // connections that net/http serves
}

// New makes a server that does not listen yet.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{options: o, ledger: newLedger(o.KeepLines), faults: newFaults()}
}

// Start listens on addr, such as "127.0.0.1:0", and returns the environment's
// base URL. Close ends it.
func (s *Server) Start(addr string) (url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.closed {
		return "", errors.New("start stand-in: it was started before")
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ConnState: s.countConns, ConnContext: s.markConn}
	if err := s.listen(addr); err != nil {
		return "", err
	}
	s.address = s.listener.Addr().String()
	return "http://" + s.address, nil
}

// URL is the environment's base URL, "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.address == "" {
		return ""
	}
	return "http://" + s.address
}

// listen is called with mu held.
func (s *Server) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the stand-in: %w", err)
	}
	s.listener = l
	s.http.SetKeepAlivesEnabled(true)
	s.serving.Go(func() {
		_ = s.http.Serve(l) // always an error: the listener was closed
	})
	return nil
}

// refusalsKey is where a connection's context holds how often the port had
// been closed when it was made.
type refusalsKey struct{}

func (s *Server) markConn(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, refusalsKey{}, s.refusals.Load())
}

// stale tells that a request came over a connection which a refusal has ended.
// It may have been read before, but its answer would go nowhere.
func (s *Server) stale(r *http.Request) bool {
	made, ok := r.Context().Value(refusalsKey{}).(int64)
	return ok && made != s.refusals.Load()
}

func (s *Server) countConns(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// Ledger is what the server took so far.
func (s *Server) Ledger() *Ledger { return s.ledger }

// Counts are the sums of the ledger.
func (s *Server) Counts() Counts { return s.ledger.Counts() }

// SetFault puts a fault in force; it replaces the one before and lets go all
// requests that wait on that. Requests under way with Refuse are answered first.
func (s *Server) SetFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Mode == Refuse {
		s.Refuse()
		return nil
	}
	s.faults.set(f)
	return s.reopen()
}

// Restore ends whatever fault there is and listens again on the same port.
func (s *Server) Restore() error { return s.SetFault(Fault{}) }

// Refuse makes the port refuse connections until Restore or another fault. It
// answers the requests under way, then ends the connections that clients kept.
func (s *Server) Refuse() {
	s.faults.set(Fault{Mode: Refuse})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return
	}
	s.listener.Close()
	s.listener = nil
	s.serving.Wait()  // the server lets go of the listener
	s.underway.Lock() // waits for the answers
	s.refusals.Add(1)
	s.underway.Unlock()
	s.http.SetKeepAlivesEnabled(false) // ends idle connections
}

func (s *Server) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil || s.listener != nil || s.closed {
		return nil
	}
	return s.listen(s.address)
}

// Close ends the server, waiting requests included, and waits for its
// goroutines.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	server := s.http
	s.listener = nil
	s.mu.Unlock()
	s.faults.set(Fault{Mode: Refuse}) // what still comes is cut
	if server == nil {
		return nil
	}
	err := server.Close()
	s.serving.Wait()
	s.conns.Wait()
	if err != nil {
		return fmt.Errorf("close stand-in: %w", err)
	}
	return nil
}
