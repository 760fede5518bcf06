package httpjson

import (
	"bytes"
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
	"strings"
	"time"
	"unicode"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	maxRedirects = 5
	maxHeader    = 64 << 10
	maxCA        = 1 << 20
	retryPause   = 200 * time.Millisecond
)

// elsewhere refuses a redirect. Of the URL only the host is told.
type elsewhere struct{ scheme, host string }

// Error names the host.
func (e elsewhere) Error() string {
	return "the endpoint sends to " + short(e.scheme+"://"+e.host) + ", which is another host or port and refused; write the URL it sends to, if that is right"
}

var (
	errNotHTTP   = errors.New("the answer is none of HTTP that can be read; look at the port, and at http or https, in the URL")
	errBroken    = errors.New("the connection ended in the middle of the answer")
	errRedirects = fmt.Errorf("the endpoint redirects more than %d times", maxRedirects)
	errLarge     = fmt.Errorf("the answer is larger than %d MB", maxBody/1_000_000)
)

// client asks one endpoint. It follows no proxy of the environment.
type client struct {
	endpoint *plan.DocEndpoint
	http     *http.Client
	home     *url.URL
	hold     *probes.Hold // what the answer takes that is read
}

func newClient(e *plan.DocEndpoint, deps probes.Deps) (*client, error) {
	home, err := url.Parse(e.URL)
	if err != nil {
		return nil, probes.WithStatus(probes.StatusInvalidConfigError, errors.New("the URL of the endpoint cannot be read"))
	}
	roots, err := authorities(e.CA)
	if err != nil {
		return nil, probes.WithStatus(probes.StatusInvalidConfigError, err)
	}
	d := dialer{net: net.Dialer{Resolver: deps.DNS}, traffic: deps.Traffic}
	c := &client{endpoint: e, home: home, hold: deps.Memory.Answers.Hold()}
	c.http = &http.Client{
		CheckRedirect: c.redirect,
		Transport: &http.Transport{
			DialContext: d.dial,
			TLSClientConfig: &tls.Config{
				RootCAs: roots, InsecureSkipVerify: e.SkipVerify, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			},
			MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: 1,
		},
	}
	return c, nil
}

// authorities reads certificates: PEM, or a file of it. nil: the system's.
func authorities(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	pem := []byte(ca)
	if !strings.Contains(ca, "-----BEGIN") {
		f, err := os.Open(ca)
		if err != nil {
			return nil, fmt.Errorf("authentication.ca: %w; name a file that the agent may read", err)
		}
		defer f.Close()
		if pem, err = io.ReadAll(io.LimitReader(f, maxCA)); err != nil {
			return nil, fmt.Errorf("authentication.ca: read %s: %w", ca, err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("authentication.ca: there is no certificate in it, expected PEM")
	}
	return pool, nil
}

// redirect follows within the endpoint alone: what authenticates is not for
// others.
func (c *client) redirect(to *http.Request, via []*http.Request) error {
	switch {
	case !c.isHome(to.URL):
		return elsewhere{to.URL.Scheme, to.URL.Host}
	case len(via) > maxRedirects:
		return errRedirects
	}
	return nil
}

// isHome tells whether a URL is of the endpoint's scheme, host and port.
func (c *client) isHome(u *url.URL) bool {
	return u.User == nil && u.Scheme == c.home.Scheme && strings.EqualFold(u.Hostname(), c.home.Hostname()) && portOf(u) == portOf(c.home)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// answer is one page.
type answer struct {
	body   []byte
	header http.Header
	url    *url.URL // that answered, after redirects
}

// get asks once and, where that may help, again. The error has a status.
func (c *client) get(ctx context.Context, q *plan.DocRequest, target *url.URL, stats *probes.PollStats) (*answer, error) {
	for try := 0; ; try++ {
		stats.Requests++
		a, again, err := c.try(ctx, q, target)
		if err == nil || !again || try == c.endpoint.Retries || ctx.Err() != nil {
			return a, label(q, target, err)
		}
		stats.Retries++
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// label says what was asked, without the query.
func label(q *plan.DocRequest, target *url.URL, err error) error {
	var known *probes.StatusError
	if !errors.As(err, &known) {
		return err
	}
	path := target.EscapedPath()
	if path == "" {
		path = "/"
	}
	return probes.WithStatus(known.Status, fmt.Errorf("%s %s: %w", q.Method, path, known.Err))
}

// try asks once. again tells whether it may help to ask once more.
func (c *client) try(ctx context.Context, q *plan.DocRequest, target *url.URL) (a *answer, again bool, err error) {
	limited, cancel := context.WithTimeout(ctx, c.endpoint.Timeout)
	defer cancel()
	request, err := c.request(limited, q, target)
	if err != nil {
		return nil, false, probes.WithStatus(probes.StatusInvalidConfigError, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, true, c.failed(ctx, limited, err)
	}
	defer response.Body.Close()
	if status, err := judge(response); err != nil {
		return nil, response.StatusCode >= 500, probes.WithStatus(status, err)
	}
	body, err := c.read(limited, response)
	switch {
	case errors.Is(err, errLarge):
		return nil, false, probes.WithStatus(probes.StatusGenericError, err)
	case errors.Is(err, probes.ErrTooLarge), errors.Is(err, probes.ErrNoMemory):
		return nil, false, probes.WithStatus(probes.StatusWarning, err)
	case err != nil:
		return nil, true, c.failed(ctx, limited, err)
	}
	return &answer{body: body, header: response.Header, url: response.Request.URL}, false, nil
}

func (c *client) request(ctx context.Context, q *plan.DocRequest, target *url.URL) (*http.Request, error) {
	var body io.Reader
	if q.Method == http.MethodPost {
		body = strings.NewReader(q.Body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, target.String(), body)
	if err != nil {
		return nil, errors.New("the path of the request is not one of a URL")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "edgehold")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range q.Headers {
		r.Header.Set(h.Key, h.Value)
	}
	switch e := c.endpoint; e.Auth {
	case plan.DocAuthBasic:
		r.SetBasicAuth(e.User, e.Secret.Reveal())
	case plan.DocAuthBearer:
		r.Header.Set("Authorization", "Bearer "+e.Secret.Reveal())
	case plan.DocAuthToken:
		if e.Header == "" {
			r.Header.Set("Authorization", "Api-Token "+e.Secret.Reveal())
		} else {
			r.Header.Set(e.Header, e.Secret.Reveal())
		}
	}
	return r, nil
}

// failed gives an error of the network its status and takes the URL out of it.
func (c *client) failed(ctx, limited context.Context, err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var away elsewhere
	switch {
	case errors.As(err, &away), errors.Is(err, errRedirects):
		return probes.WithStatus(probes.StatusGenericError, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		err = errors.New("no answer before the next poll is due")
	case limited.Err() != nil:
		err = fmt.Errorf("no answer within %s", c.endpoint.Timeout)
	default:
		err = harmless(err)
	}
	return probes.WithStatus(probes.StatusDeviceConnectionError, err)
}

// maxCause is how much of an error of the network is told: a certificate may
// have many names.
const maxCause = 300

// harmless gives an error that quotes nothing of an answer, which may hold what
// was sent: the secret.
func harmless(err error) error {
	var (
		network     *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errBroken
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("the endpoint speaks http, not https: look at the URL")
	case errors.As(err, &record):
		return errNotHTTP
	case errors.As(err, &network), errors.As(err, &certificate):
		return errors.New(cut(strings.ToValidUTF8(strings.Map(printable, err.Error()), ""), maxCause))
	}
	return errNotHTTP
}

// printable takes what steers a terminal out of a text.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// judge says what is wrong with the status of an answer.
func judge(r *http.Response) (probes.Status, error) {
	words := strings.TrimSpace(fmt.Sprintf("the answer is %d %s", r.StatusCode, http.StatusText(r.StatusCode)))
	switch {
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return probes.StatusAuthenticationError, errors.New(words + "; look at authentication of the endpoint")
	case r.StatusCode == http.StatusNotFound:
		return probes.StatusGenericError, errors.New(words + "; look at the path of the request in the package, and at the URL of the endpoint")
	case r.StatusCode < 200 || r.StatusCode > 299:
		return probes.StatusGenericError, errors.New(words)
	}
	return probes.StatusOK, nil
}

// An answer takes, while it is read and walked, so many bytes for each of its own.
const heldForEach = 4

// maxGrown is how much room is made for an answer on its word alone.
const maxGrown = 64 << 10

// read forgets the page before.
func (c *client) read(ctx context.Context, r *http.Response) ([]byte, error) {
	c.hold.Release()
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, maxGrown)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(c.hold.Reader(ctx, io.LimitReader(r.Body, maxBody+1), heldForEach))
	if err == nil && n > maxBody {
		err = errLarge
	}
	return b.Bytes(), err
}

// dialer counts what it opens.
type dialer struct {
	net     net.Dialer
	traffic probes.Traffic
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.traffic == nil {
		return d.net.DialContext(ctx, network, address)
	}
	return d.traffic.Connect(ctx, d.net, network, address)
}
