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

// ClientOptions say how the way to Dynatrace is gone.
type ClientOptions struct {
	// Proxy is the URL of an HTTP, HTTPS or SOCKS5 proxy. "" takes what
	// HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
	Proxy string
	// CAFile is a PEM file of authorities to trust beside the system's.
	CAFile string
	// Timeout is for a whole request, 30 s if 0.
	Timeout time.Duration
}

// NewClient makes the HTTP client of a drain. No error and nothing that the
// client returns shows the password of a proxy.
func NewClient(o ClientOptions) (*http.Client, error) {
	proxy, err := proxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	roots, err := rootPool(o.CAFile)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           2,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

func proxyFunc(text string) (func(*http.Request) (*url.URL, error), error) {
	if text == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(text) // its error repeats the text, and so the password
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("proxy is not a URL such as http://proxy.example:3128 (http, https or socks5)")
	}
	return http.ProxyURL(u), nil
}

// rootPool is nil, which means the system's authorities, without a file.
func rootPool(file string) (*x509.CertPool, error) {
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
