package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Protocol is what an uplink speaks.
type Protocol uint8

// The protocols: Dynatrace's own APIs, and OTLP over HTTP with protobuf.
const (
	Dynatrace Protocol = iota
	OTLP
)

// Target is where a drain sends. A reload may change all of it.
type Target struct {
	// URL is that of the environment, without /api; for OTLP all that stands
	// before /v1/metrics, such as https://ENVIRONMENT.live.dynatrace.com/api/v2/otlp.
	URL      string
	Protocol Protocol
	// Token is asked before each post. nil: the endpoint wants none.
	Token func() (probes.Secret, error)
	// TokenScheme stands before the token, "Api-Token" if "".
	TokenScheme string
	Client      *http.Client // see NewClient
	Plain       bool         // never compress
}

const (
	maxAnswer      = 4 << 20 // 1,000 refused lines with 4 kB of words each
	defaultTimeout = 30 * time.Second
	// stall is how long a post may go on while no byte moves.
	stall = 20 * time.Second
	// grace lets a post that is on its way when the agent is stopped come to
	// its answer, since without one its lines would be sent a second time.
	// linkGrace is the same after a change of the link, which may have cut it.
	grace     = 2 * time.Second
	linkGrace = time.Second
)

var (
	// errLinkChanged as the cause of a context's end leaves a post that is on
	// its way linkGrace instead of grace.
	errLinkChanged = errors.New("the link of this machine has changed")
	errStalled     = errors.New("no byte moved for 20 s")
	errDeadline    = errors.New("the time for this request is over")
)

// route is where a cargo goes and what it needs.
type route struct{ path, contentType, scope, noun string }

var routes = [...]route{
	metrics:     {"/api/v2/metrics/ingest", "text/plain; charset=utf-8", "metrics.ingest", "metrics"},
	events:      {"/api/v2/events/ingest", "application/json; charset=utf-8", "events.ingest", "events"},
	logs:        {"/api/v2/logs/ingest", "application/json; charset=utf-8", "logs.ingest", "log records"},
	otlpMetrics: {"/v1/metrics", "application/x-protobuf", "metrics.ingest", "metrics"},
	otlpLogs:    {"/v1/logs", "application/x-protobuf", "logs.ingest", "log records"},
}

// request is one body to post.
type request struct {
	cargo cargo
	body  []byte // not compressed
	items int    // lines, records or data points; 1 for an event
}

// exchange is one post and what came of it. Nothing in it shows a secret.
type exchange struct {
	cargo   cargo
	items   int
	status  int // 0: no answer
	header  http.Header
	body    []byte
	err     error         // why there is no answer, or not the whole of it
	noToken error         // nothing was sent: no token could be had
	begun   bool          // some of the request has left
	whole   bool          // all of the request has left: only then may a missing answer mean "taken"
	zipped  bool          // the body was compressed
	bare    bool          // it went without a token, since the target has none
	wire    int64         // bytes both ways on the wire, TLS, headers and a new handshake included
	packed  int           // the body as it left
	took    time.Duration // from the first byte written to the last byte of the answer
	date    time.Time     // of the answer's Date header, zero without one
}

// sender posts to one target. It serves one goroutine; closeIdle may come from
// any.
type sender struct {
	target  Target
	agent   string // User-Agent
	client  *http.Client
	traffic *traffic // nil where the client is not from NewClient: nothing is known of its bytes
	counted int64    // of the traffic, by earlier posts
	pack    packer
	plain   [len(routes)]bool // the endpoint refuses compression
	stall   time.Duration
}

func newSender(t Target, version string) *sender {
	client := *t.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.URL = strings.TrimRight(t.URL, "/")
	if t.TokenScheme == "" {
		t.TokenScheme = "Api-Token"
	}
	s := &sender{target: t, agent: "edgehold/" + version, client: &client, stall: stall}
	if way, ok := client.Transport.(*transport); ok {
		s.traffic = way.dialer.traffic
		s.counted = s.traffic.total()
	}
	return s
}

// closeIdle drops the connections that carry nothing now.
func (s *sender) closeIdle() { s.client.CloseIdleConnections() }

// post sends one body. It returns by the deadline of ctx, 30 s without one;
// where ctx is cancelled, at once while nothing has left, else after a short
// grace for the answer. r.body may be used again when it returns.
func (s *sender) post(ctx context.Context, r request) exchange {
	x := exchange{cargo: r.cargo, items: r.items}
	token, err := s.token(r.cargo)
	if err != nil {
		x.noToken = err
		return x
	}
	body := r.body
	if x.zipped = !s.target.Plain && !s.plain[r.cargo]; x.zipped {
		body = s.pack.pack(r.cargo, r.body)
	}
	x.packed, x.bare = len(body), s.target.Token == nil
	s.roundTrip(ctx, &x, &parcel{body: body}, token)
	if closedBefore(x) {
		s.roundTrip(ctx, &x, &parcel{body: body}, token)
	}
	s.measure(&x)
	if refusesGzip(x) {
		s.plain[r.cargo] = true
	}
	return x
}

// closedBefore tells of a post that was given a connection which an earlier,
// stalled one has cut: the client forgets such a one only when it has read of
// it.
func closedBefore(x exchange) bool {
	return errors.Is(x.err, net.ErrClosed) && x.status == 0 && !x.whole
}

// token reads the token, and checks it: a line break in it would be an error of
// the HTTP client, without a word on what to mend.
func (s *sender) token(c cargo) (probes.Secret, error) {
	if s.target.Token == nil {
		return probes.Secret{}, nil
	}
	token, err := s.target.Token()
	if err != nil {
		return probes.Secret{}, fmt.Errorf("no token: %w", err)
	}
	if token.IsZero() {
		return probes.Secret{}, fmt.Errorf("no token: it is empty; put one with the scope %s into the token file", routes[c].scope)
	}
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return probes.Secret{}, errors.New("no token: there is a blank, a line break or a letter that no token has in it; the token file holds the token alone, in one line")
	}
	return token, nil
}

// measure fills in what moved on the wire. Bytes that came after the last post,
// such as the end of its connection, are counted with this one.
func (s *sender) measure(x *exchange) {
	if s.traffic == nil {
		if x.status != 0 {
			x.wire = int64(x.packed + len(x.body))
		}
		return
	}
	total := s.traffic.total()
	x.wire, s.counted = total-s.counted, total
	x.took = s.traffic.sinceFirst()
}

func (s *sender) roundTrip(ctx context.Context, x *exchange, p *parcel, token probes.Secret) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	if s.traffic != nil {
		p.wire = &s.traffic.out
		s.traffic.begin()
	}
	defer p.end()
	ctx, stop := s.watch(ctx, p)
	defer stop()
	req, err := s.newRequest(ctx, x, p, token)
	if err != nil {
		x.err = err
		return
	}
	secrets := secretsOf(s.client, req, token)
	start := time.Now()
	resp, err := s.client.Do(req)
	if err == nil {
		x.status, x.header = resp.StatusCode, resp.Header
		x.date, _ = http.ParseTime(resp.Header.Get("Date")) // zero where there is none
		var body []byte
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		x.body = []byte(hide(string(body), secrets))
		_ = resp.Body.Close() // what matters of it has been read
	}
	x.took = time.Since(start)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // says more than "context canceled"
	}
	x.err = scrub(err, secrets)
	x.begun, x.whole = p.left()
	if notProcessed(err) {
		x.whole = false
	}
}

func (s *sender) newRequest(ctx context.Context, x *exchange, p *parcel, token probes.Secret) (*http.Request, error) {
	way := routes[x.cargo]
	trace := &httptrace.ClientTrace{GotConn: p.start, WroteHeaders: p.wroteHeaders}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, s.target.URL+way.path, p.open())
	if err != nil {
		return nil, errors.New("the URL is not valid")
	}
	req.ContentLength, req.GetBody = int64(x.packed), p.again
	if !x.bare {
		req.Header.Set("Authorization", s.target.TokenScheme+" "+token.Reveal())
	}
	req.Header.Set("Content-Type", way.contentType)
	if x.zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("User-Agent", s.agent)
	return req, nil
}

// watch gives a context for one post that outlives parent by the grace, and
// ends where the post stalls. stop waits for the goroutine that sees to it.
func (s *sender) watch(parent context.Context, p *parcel) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	done := make(chan struct{})
	go func() {
		defer close(done)
		cause := s.guard(parent, ctx, p)
		if cause == nil {
			return
		}
		if s.traffic == nil {
			cancel(cause)
			return
		}
		s.traffic.abort()
		cancel(cause)
		s.traffic.cut()
	}()
	return ctx, func() { cancel(context.Canceled); <-done }
}

// guard waits for the end of a post, which is nil, or for a reason to end it.
func (s *sender) guard(parent, post context.Context, p *parcel) error {
	tick := time.NewTicker(s.stall / 20)
	defer tick.Stop()
	moved, since := int64(-1), time.Now()
	for {
		select {
		case <-post.Done():
			return nil
		case <-parent.Done():
			return farewell(parent, post, p)
		case <-tick.C:
		}
		if s.traffic == nil {
			continue // only the deadline holds
		}
		if now := s.traffic.progress(); now != moved {
			moved, since = now, time.Now()
		} else if time.Since(since) >= s.stall {
			return errStalled
		}
	}
}

// farewell gives a post the grace that it has when its context ends.
func farewell(parent, post context.Context, p *parcel) error {
	cause := context.Cause(parent)
	if errors.Is(cause, context.DeadlineExceeded) {
		return errDeadline
	}
	if begun, _ := p.left(); !begun {
		return cause
	}
	rest := grace
	if errors.Is(cause, errLinkChanged) {
		rest = linkGrace
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-post.Done():
		return nil
	case <-timer.C:
		return cause
	}
}
