package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	defaultTimeout = 10 * time.Second
	retryPause     = 200 * time.Millisecond
	maxRedirects   = 3
	// Text before OpenMetrics: there the labels of buckets have the form that
	// dashboards and alerts of packages were made for.
	acceptFormats = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1"
)

var errNoAnswer = errors.New("no whole answer")

// client asks one endpoint. It is used by one request at a time, or by those of
// several intervals.
type client struct {
	plan.ScrapeEndpoint
	http   *http.Client
	suffix string // that tells its URL apart, where others are shown like it
}

// newClient reads the file of authorities and touches no network.
func newClient(e plan.ScrapeEndpoint, deps probes.Deps) (*client, error) {
	roots, err := authorities(e.CAFile)
	if err != nil {
		return nil, err
	}
	if e.Timeout <= 0 {
		e.Timeout = defaultTimeout
	}
	dial := dialer{Dialer: net.Dialer{Resolver: deps.DNS, Timeout: e.Timeout}, traffic: deps.Traffic}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, InsecureSkipVerify: e.SkipVerify, Time: trueTime(deps.Clock)}
	if e.Discovery != nil {
		config.ServerName = hostOf(e.URL)
	}
	return &client{ScrapeEndpoint: e, http: &http.Client{
		CheckRedirect: sameHost,
		Transport: &http.Transport{
			DialContext:            dial.dial,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    e.Timeout,
			MaxIdleConns:           4,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}, nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authentication.ca: %w; give a PEM file of the authority that signed the endpoint's certificate", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any: the file alone counts
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authentication.ca: no certificate in PEM form (-----BEGIN CERTIFICATE-----) in %s", file)
	}
	return pool, nil
}

// trueTime is the time at which certificates are judged: this machine's own may
// not be set yet.
func trueTime(c probes.Clock) func() time.Time {
	return func() time.Time {
		if c != nil {
			if now := c.Now(); !now.Guess && now.Wall > 0 {
				return now.Time()
			}
		}
		return time.Now()
	}
}

// sameHost follows no redirect to where the configuration has not allowed to go.
func sameHost(next *http.Request, via []*http.Request) error {
	from := via[0].URL
	switch {
	case next.URL.Scheme != from.Scheme || next.URL.Host != from.Host:
		return fmt.Errorf("it redirects to %s://%s, which is not followed; give that URL", next.URL.Scheme, next.URL.Host)
	case len(via) > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// dialer tells of what its connections carry.
type dialer struct {
	net.Dialer
	traffic probes.Traffic
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.traffic == nil {
		return d.DialContext(ctx, network, address)
	}
	return d.traffic.Connect(ctx, d.Dialer, network, address)
}

// get asks for one URL, again where that may help, and hands the body of the
// answer to read. What read refuses is not asked for again. Its errors have a
// status and hold neither the URL nor a secret.
func (c *client) get(ctx context.Context, target string, stats *probes.PollStats, read func(context.Context, *http.Response) error) error {
	for try := 0; ; try++ {
		stats.Requests++
		again, err := c.try(ctx, target, read)
		if errors.Is(err, errNoAnswer) {
			stats.Timeouts++
		}
		if err == nil || !again || try >= c.Retries || ctx.Err() != nil {
			return err
		}
		stats.Retries++
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

// try asks once. It tells whether to ask again after an error.
func (c *client) try(ctx context.Context, target string, read func(context.Context, *http.Response) error) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := c.request(ctx, target)
	if err != nil {
		return false, probes.WithStatus(probes.StatusInvalidConfigError, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return true, unreachable(ctx, err, c.Timeout)
	}
	defer response.Body.Close()
	if err := refusal(response); err != nil {
		_, _ = io.CopyN(io.Discard, response.Body, 16<<10) // so that the connection can be used again
		return response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests, err
	}
	err = read(ctx, response)
	if ctx.Err() != nil && err != nil && !errors.Is(err, probes.ErrNoMemory) {
		err = unreachable(ctx, err, c.Timeout)
	}
	return false, err
}

func (c *client) request(ctx context.Context, target string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be asked for; write it as in http://192.0.2.1:9100/metrics")
	}
	request.Header.Set("Accept", acceptFormats)
	request.Header.Set("User-Agent", "Edgehold")
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(c.Timeout.Seconds(), 'f', -1, 64))
	switch c.Auth {
	case plan.ScrapeBasic:
		request.SetBasicAuth(c.User, c.Secret.Reveal())
	case plan.ScrapeBearer:
		request.Header.Set("Authorization", "Bearer "+c.Secret.Reveal())
	}
	return request, nil
}

// unreachable says in words why there is no answer.
func unreachable(ctx context.Context, err error, limit time.Duration) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the URL
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%w within %s", errNoAnswer, limit)
	case errors.As(err, &certificate):
		err = fmt.Errorf("its certificate is not trusted: %w; give the authority as authentication.ca, or set skipVerifyHttps", certificate.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		err = fmt.Errorf("%w; nothing listens there: check host and port of the URL, and whether the exporter runs", err)
	}
	return probes.WithStatus(probes.StatusDeviceConnectionError, err)
}

// refusal is the error of an answer that is none.
func refusal(r *http.Response) error {
	switch code := r.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return probes.WithStatus(probes.StatusAuthenticationError,
			fmt.Errorf("it answers %d %s; check scheme, user and secret of its authentication", code, http.StatusText(code)))
	case code == http.StatusNotFound:
		return probes.WithStatus(probes.StatusGenericError, errors.New("it answers 404 Not Found; check the path of the URL, which often ends in /metrics"))
	default:
		return probes.WithStatus(probes.StatusGenericError, fmt.Errorf("it answers %d %s; look at the log of the exporter", code, http.StatusText(code)))
	}
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
