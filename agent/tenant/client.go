// Package tenant is a client of an environment's extensions API: it lists,
// downloads and uploads extension packages and reads their monitoring
// configurations, and makes these fit for this agent.
package tenant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/probes"
)

// The scopes that a token needs, as the environment names them.
const (
	ScopeRead           = "extensions.read"
	ScopeWrite          = "extensions.write"
	ScopeConfigurations = "extensionConfigurations.read"
)

// MaxPackage is the size of the largest package, in bytes. The environment
// stores none that is larger.
const MaxPackage = 25_000_000

const (
	maxAnswer = 32 << 20 // bytes of an answer that is not a package
	attempts  = 5        // of one request, in all
	firstWait = time.Second
	maxWait   = time.Minute // longer than that nobody sits before a command
	shortTime = time.Minute // for a request
	longTime  = 10 * time.Minute
)

// Options say where the environment is and how it is reached.
type Options struct {
	URL    string // https://HOST or https://HOST/e/ID
	Token  probes.Secret
	Proxy  string // "" takes what HTTPS_PROXY and NO_PROXY say
	CAFile string // authorities to trust beside the system's
	// Wait sleeps between attempts, nil: really.
	Wait func(context.Context, time.Duration) error
}

// Client speaks to one environment. It may be used by several goroutines.
type Client struct {
	base  string
	token probes.Secret
	http  *http.Client
	wait  func(context.Context, time.Duration) error
}

// New makes a client. It refuses addresses to which the token would travel in
// clear text; nothing is sent yet.
func New(o Options) (*Client, error) {
	base, err := config.EnvironmentURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the environment: %w", err)
	}
	if err := config.ProxyURL(o.Proxy); err != nil {
		return nil, fmt.Errorf("address of the proxy: %w", err)
	}
	if o.Proxy != "" && strings.HasPrefix(base, "http:") {
		return nil, errors.New("a proxy would see the token of an http address in clear text; leave the proxy away, or write https")
	}
	if o.Token.IsZero() {
		return nil, errors.New("no token is given; write one into a file that others cannot read and name the file")
	}
	client, err := drain.NewClient(drain.ClientOptions{Proxy: o.Proxy, CAFile: o.CAFile})
	if err != nil {
		return nil, err
	}
	c := &Client{base: base + "/api/v2/extensions", token: o.Token, http: client, wait: o.Wait}
	if c.wait == nil {
		c.wait = sleep
	}
	return c, nil
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

const (
	typeJSON   = "application/json"
	typeBinary = "application/octet-stream"
)

// call is one request.
type call struct {
	what   string // "list extensions", for messages
	scope  string // what the token needs for it
	method string
	path   []string // behind /api/v2/extensions, unescaped
	query  url.Values
	accept string // "": JSON
	kind   string // of the body
	body   []byte
}

// answer is what the environment gave.
type answer struct {
	status     int
	kind       string
	retryAfter string
	location   string
	body       []byte
}

// do sends a request until it is answered for good, and returns the body of a
// success. A refusal is an *Error.
func (c *Client) do(ctx context.Context, q call) ([]byte, error) {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		a, err := c.once(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		if a.status < 300 {
			if err := c.checkKind(q, a); err != nil {
				return nil, err
			}
			return a.body, nil
		}
		pause, again := a.pause(wait)
		if !again || attempt == attempts {
			return nil, c.refused(q, a)
		}
		if err := c.wait(ctx, pause); err != nil {
			return nil, fmt.Errorf("%s: stopped while waiting for the environment: %w", q.what, err)
		}
		wait *= 2
	}
}

// pause is how long to wait before the next attempt, and whether there is one.
// 409 is the API's word for an upload that has to wait for another.
func (a answer) pause(otherwise time.Duration) (time.Duration, bool) {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusConflict && a.status < 500 || a.status == http.StatusNotImplemented {
		return 0, false
	}
	pause := otherwise
	if seconds, err := strconv.Atoi(a.retryAfter); err == nil && seconds >= 0 {
		pause = min(time.Duration(seconds), time.Hour) * time.Second
	} else if at, err := http.ParseTime(a.retryAfter); err == nil {
		pause = max(time.Until(at), 0)
	}
	return pause, pause <= maxWait
}

// once sends a request one time.
func (c *Client) once(ctx context.Context, q call) (answer, error) {
	limit, patience := int64(maxAnswer), shortTime
	if q.accept == typeBinary || q.kind == typeBinary {
		patience = longTime
	}
	if q.accept == typeBinary {
		limit = MaxPackage
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v; check the way to the environment", patience))
	defer cancel()
	req, err := c.request(ctx, q)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.failed(ctx, err)
	}
	defer resp.Body.Close()
	a := answer{
		status: resp.StatusCode, kind: resp.Header.Get("Content-Type"),
		retryAfter: resp.Header.Get("Retry-After"), location: resp.Header.Get("Location"),
	}
	if a.status >= 300 {
		limit = 1 << 20
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil && a.status < 300:
		return a, c.failed(ctx, fmt.Errorf("the answer broke off: %w", err))
	case int64(len(a.body)) > limit && a.status < 300:
		return a, fmt.Errorf("the answer is larger than %d bytes, which no answer of this interface is", limit)
	}
	return a, nil
}

func (c *Client) request(ctx context.Context, q call) (*http.Request, error) {
	address := c.base
	for _, part := range q.path {
		address += "/" + url.PathEscape(part)
	}
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	var body io.Reader
	if q.kind != "" {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Api-Token "+c.token.Reveal())
	req.Header.Set("User-Agent", "edgehold")
	req.Header.Set("Accept", typeJSON)
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	return req, nil
}

// failed is the cause of a request that got no answer, without the address,
// which the user knows.
func (c *Client) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return fmt.Errorf("reach %s: %s; check --url, --proxy and --ca-file", c.host(), c.words(err.Error()))
}

func (c *Client) host() string {
	u, err := url.Parse(c.base)
	if err != nil {
		return "the environment"
	}
	return u.Host
}

// checkKind refuses what only looks like a success, such as the sign-in page of
// a network.
func (c *Client) checkKind(q call, a answer) error {
	kind, _, _ := strings.Cut(a.kind, ";")
	if kind = strings.TrimSpace(kind); q.accept == typeBinary {
		if !bytes.HasPrefix(a.body, []byte("PK\x03\x04")) {
			return fmt.Errorf("%s: %s gave no zip file (%s)", q.what, c.host(), c.words(kind))
		}
		return nil
	}
	if !strings.EqualFold(kind, typeJSON) {
		return fmt.Errorf("%s: %s answered with %q and not with JSON; check that --url is the address of an environment and that no sign-in page is on the way",
			q.what, c.host(), c.words(kind))
	}
	return nil
}
