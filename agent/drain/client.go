package drain

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"
)

// ClientOptions say how the way to the environment is gone.
type ClientOptions struct {
	// Proxy is the URL of an HTTP, HTTPS or SOCKS5 proxy. "" takes what
	// HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
	Proxy string
	// CAFile is a PEM file of authorities to trust beside the system's.
	CAFile string
	// Time is the time at which certificates are judged, nil: time.Now.
	Time func() time.Time
	// Watch sees the connections; nil: nobody does.
	Watch Watcher
}

// Watcher sees where connections go and what they carry.
type Watcher interface {
	Resolver() *net.Resolver
	// Trying is told of each address that is tried, such as 192.0.2.1:443, and
	// of the host that was asked for.
	Trying(network, address, host string)
	// Watch gives the connection to be used in the place of conn.
	Watch(conn net.Conn, host string) net.Conn
}

// transport is an http.Transport whose bytes are counted.
type transport struct {
	*http.Transport
	dialer *dialer
}

// NewClient makes the HTTP client of a drain. It has no time limit of its own:
// that is the caller's context. No error and nothing that the client returns
// shows the password of a proxy.
func NewClient(o ClientOptions) (*http.Client, error) {
	proxy, err := ProxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	roots, err := Roots(o.CAFile)
	if err != nil {
		return nil, err
	}
	dial := newDialer(o.Watch)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &transport{dialer: dial, Transport: &http.Transport{
			Proxy:       proxy,
			DialContext: dial.DialContext,
			TLSClientConfig: &tls.Config{
				MinVersion:                  tls.VersionTLS12,
				RootCAs:                     roots,
				Time:                        o.Time,
				ClientSessionCache:          tls.NewLRUClientSessionCache(4),
				DynamicRecordSizingDisabled: true, // each record costs 22 bytes
			},
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           2,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			WriteBufferSize:        16 << 10, // a request in one record
		}},
	}, nil
}

// ProxyFunc chooses the proxy of a request: the one named, or with "" what the
// environment of this process says. No error shows its password.
func ProxyFunc(text string) (func(*http.Request) (*url.URL, error), error) {
	if text == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(text) // its error repeats the text, and so the password
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("proxy is not a URL such as http://proxy.example:3128 (http, https or socks5)")
	}
	return http.ProxyURL(u), nil
}

// Roots are the authorities of a PEM file and those of the system; without a
// file nil, which means the system's alone.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any: the file alone counts
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA file %s: no certificate in PEM form (-----BEGIN CERTIFICATE-----) in it", file)
	}
	return pool, nil
}
