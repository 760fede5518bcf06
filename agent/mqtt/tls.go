package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// tlsConfig reads the files as they are now.
func (o *Options) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host, Time: o.Time,
		DynamicRecordSizingDisabled: true, // each record costs 22 bytes
	}
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("CA file %s: there is no certificate in it; it has to hold PEM blocks (-----BEGIN CERTIFICATE-----)", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %s with key %s: %w; both have to be PEM and belong together", o.CertFile, o.KeyFile, err)
		}
		// Given whatever authorities the broker names: its refusal says more than
		// a connection without a certificate.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// expiry is the end of the client certificate; zero where there is none.
func expiry(config *tls.Config) time.Time {
	if config == nil || len(config.Certificates) == 0 {
		return time.Time{}
	}
	return config.Certificates[0].Leaf.NotAfter
}

// secure is TLS over a socket. With TLS 1.3 a broker refuses the certificate of
// a client that has already begun to write: the error of that write says only
// that the connection is gone, and what comes to be read says why.
type secure struct {
	*tls.Conn
	heard atomic.Bool
}

func dialTLS(ctx context.Context, address string, config *tls.Config, dial dialFunc) (net.Conn, error) {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &secure{Conn: tls.Client(conn, config)}
	if err := s.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// Read implements net.Conn.
func (s *secure) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.heard.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (s *secure) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err == nil || s.heard.Load() {
		return n, err
	}
	_ = s.SetReadDeadline(time.Now().Add(farewell))
	if _, why := s.Conn.Read(make([]byte, 1)); why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return n, err
}
