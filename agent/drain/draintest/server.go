// Package draintest is a stand-in for a Dynatrace environment: the ingest
// endpoints of metrics, events and log records and those of OTLP, stricter than
// the documentation, with a ledger of what it took and faults that can be
// switched on while it runs. It is written from
// the protocol's description alone and shares no code with the sender it
// tests.
package draintest

import (
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
	Scopes    []string         // what the token may do; nil: everything
	Now       func() time.Time // the server's clock; nil means time.Now
	KeepLines bool             // the ledger keeps the text of each line, for tests that want values
	Control   bool             // answer /_ledger and /_fault
	// Listen opens the port, in another network namespace for example; nil
	// means net.Listen.
	Listen func(network, address string) (net.Listener, error)
}

// Server is one stand-in environment. It is an http.Handler and can also
// listen by itself.
type Server struct {
	options   Options // Now is the clock in force, Token only the first one
	ledger    *Ledger
	faults    *faults
	endpoints []endpoint
	port      port
	papers    papers
	token     atomic.Pointer[string]
	clock     atomic.Pointer[func() time.Time]
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
	s := NewMetrics(o)
	s.endpoints = everything()
	return s
}

// NewMetrics makes one that takes metric lines and nothing else.
func NewMetrics(o Options) *Server {
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	s := &Server{options: o, endpoints: metricsOnly(), ledger: newLedger(o.KeepLines), faults: newFaults()}
	s.port.listen, s.port.scheme, s.port.http2 = o.Listen, "http://", map[net.Conn]bool{}
	s.SetToken(o.Token)
	s.SetNow(o.Now)
	s.options.Now = func() time.Time { return (*s.clock.Load())() }
	return s
}

// SetToken makes another token the one that is accepted, from the next request
// on; "" accepts any.
func (s *Server) SetToken(token string) { s.token.Store(&token) }

// SetNow gives the server another clock; nil means time.Now.
func (s *Server) SetNow(now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	s.clock.Store(&now)
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
	s.port.goAway(lastStream)
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
