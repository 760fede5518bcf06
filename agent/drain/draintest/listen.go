package draintest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLS says how a stand-in listens with encryption.
type TLS struct {
	// Names are the host names and addresses of the certificate. None means
	// localhost and the address that is listened on.
	Names []string
	HTTP1 bool // no HTTP/2
}

// port is where a server listens and what it knows of the connections.
type port struct {
	listen  func(network, address string) (net.Listener, error)
	scheme  string
	config  *tls.Config                     // nil: without encryption
	secure  func(net.Listener) net.Listener // makes TLS of what is accepted; a value, so that who never asks for TLS does not carry it
	in, out atomic.Int64

	mu    sync.Mutex
	http2 map[net.Conn]bool // connections on which a request came as HTTP/2
}

// Start listens on addr, such as "127.0.0.1:0", and returns the environment's
// base URL. Close ends it.
func (s *Server) Start(addr string) (url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.closed {
		return "", errors.New("start stand-in: it was started before")
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: time.Minute, ConnState: s.countConns, ConnContext: s.markConn,
		ErrorLog: log.New(quiet{}, "", 0),
	}
	if err := s.listen(addr); err != nil {
		return "", err
	}
	s.address = s.listener.Addr().String()
	return s.port.scheme + s.address, nil
}

// StartTLS listens with encryption, with a certificate of an authority of its
// own (see CAPEM), and speaks HTTP/2 and HTTP/1.1.
func (s *Server) StartTLS(addr string, o TLS) (url string, err error) {
	if err := s.prepareTLS(addr, o); err != nil {
		return "", err
	}
	return s.Start(addr)
}

// URL is the environment's base URL, "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.address == "" {
		return ""
	}
	return s.port.scheme + s.address
}

func (s *Server) prepareTLS(addr string, o TLS) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return errors.New("start stand-in: it was started before")
	}
	names := o.Names
	if len(names) == 0 {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("start stand-in: %w", err)
		}
		names = []string{"localhost", host}
	}
	if err := s.papers.prepare(names, s.options.Now()); err != nil {
		return err
	}
	protocols := []string{"h2", "http/1.1"}
	if o.HTTP1 {
		protocols = protocols[1:]
	}
	s.port.scheme = "https://"
	s.port.config = &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols, Time: s.options.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.papers.current(), nil },
	}
	s.port.secure = func(l net.Listener) net.Listener { return tls.NewListener(l, s.port.config) }
	return nil
}

// listen is called with mu held.
func (s *Server) listen(addr string) error {
	l, err := s.port.listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the stand-in: %w", err)
	}
	s.listener = countingListener{l, &s.port}
	if s.port.secure != nil {
		s.listener = s.port.secure(s.listener)
	}
	l = s.listener
	s.http.SetKeepAlivesEnabled(true)
	s.serving.Go(func() {
		_ = s.http.Serve(l) // always an error: the listener was closed
	})
	return nil
}

// SetCertificate shows another certificate from the next handshake on. Sessions
// are not resumed across it; connections that are kept go on.
func (s *Server) SetCertificate(c Certificate) error {
	s.mu.Lock()
	secure := s.port.config
	s.mu.Unlock()
	if secure == nil {
		return errors.New("set certificate: the stand-in does not listen with TLS")
	}
	key, err := s.papers.show(c, s.options.Now())
	if err != nil {
		return err
	}
	secure.SetSessionTicketKeys([][32]byte{key})
	return nil
}

// CAPEM is the certificate, as PEM, of the authority that signs for the
// stand-in; nil before StartTLS. It stays the same whatever SetCertificate does.
func (s *Server) CAPEM() []byte { return s.papers.caPEM() }

// WireBytes are the bytes that came in and went out on all connections so far,
// handshakes and headers included. Behind Options.Listen and below TLS.
func (s *Server) WireBytes() (in, out int64) { return s.port.in.Load(), s.port.out.Load() }

// quiet leaves failed handshakes, which are asked for here, out of the words
// of net/http's server.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("TLS handshake error")) {
		return len(b), nil
	}
	return os.Stderr.Write(b)
}

type countingListener struct {
	net.Listener
	port *port
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, l.port}, nil
}

type countingConn struct {
	net.Conn
	port *port
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.port.in.Add(int64(n))
	return n, err
}

func (c countingConn) Write(b []byte) (int, error) {
	c.port.out.Add(int64(len(b))) // first, so that who has a byte finds it counted
	n, err := c.Conn.Write(b)
	c.port.out.Add(int64(n - len(b)))
	return n, err
}

// The keys of what a connection's context holds.
type (
	refusalsKey struct{} // how often the port had been closed when it was made
	connKey     struct{} // the connection itself
)

func (s *Server) markConn(ctx context.Context, c net.Conn) context.Context {
	ctx = context.WithValue(ctx, connKey{}, c)
	return context.WithValue(ctx, refusalsKey{}, s.refusals.Load())
}

// stale tells that a request came over a connection which a refusal has ended.
// It may have been read before, but its answer would go nowhere.
func (s *Server) stale(r *http.Request) bool {
	made, ok := r.Context().Value(refusalsKey{}).(int64)
	return ok && made != s.refusals.Load()
}

func (s *Server) countConns(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.port.forget(c)
		s.conns.Done()
	}
}

// note remembers the connection of a request that came as HTTP/2.
func (p *port) note(r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok || r.ProtoMajor < 2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.http2[c] = true
}

func (p *port) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.http2, c)
}

// goAway tells every HTTP/2 client to use its connection no more.
func (p *port) goAway(last uint32) {
	p.mu.Lock()
	conns := make([]net.Conn, 0, len(p.http2))
	for c := range p.http2 {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		writeGoAway(c, last)
	}
}

// lastStream in a GOAWAY frame says that all requests so far are worked on.
const lastStream = 1<<31 - 1

// writeGoAway writes an HTTP/2 GOAWAY frame (RFC 9113, 6.8) without an error:
// requests on streams after last are not worked on. It goes around net/http's
// server, which cannot be asked to refuse a request in this way.
func writeGoAway(c net.Conn, last uint32) {
	frame := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, byte(last >> 24), byte(last >> 16), byte(last >> 8), byte(last), 0, 0, 0, 0}
	_, _ = c.Write(frame) // an error means that the client is gone
}

// refuseByGoAway says that the request of r is not worked on, and ends its
// connection; HTTP/1.1 has no words for that.
func refuseByGoAway(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok && r.ProtoMajor >= 2 {
		writeGoAway(c, 0)
	}
}
