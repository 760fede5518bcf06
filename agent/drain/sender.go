package drain

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	ingestPath     = "/api/v2/metrics/ingest"
	maxAnswer      = 4 << 20 // 1,000 refused lines with 4 kB of words each
	defaultTimeout = 30 * time.Second
	// grace lets a post that is on its way when the agent is stopped come to
	// its answer, since without one its lines would be sent a second time.
	grace = 2 * time.Second
)

// sender posts metric lines. It serves one goroutine.
type sender struct {
	url    string
	agent  string // User-Agent
	token  func() (probes.Secret, error)
	client *http.Client
	zip    *gzip.Writer
	packed bytes.Buffer
}

func newSender(o Options) *sender {
	client := *o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if client.Timeout == 0 {
		client.Timeout = defaultTimeout
	}
	return &sender{
		url:    strings.TrimRight(o.URL, "/") + ingestPath,
		agent:  "edgehold/" + o.Version,
		token:  o.Token,
		client: &client,
		zip:    gzip.NewWriter(io.Discard),
	}
}

// post sends the lines and returns what came of it and how many bytes it was,
// compressed. It returns an error where nothing could be sent for lack of a
// token. Nothing in the exchange shows the token.
func (s *sender) post(ctx context.Context, text []byte, lines int) (exchange, int, error) {
	token, err := s.token()
	if err != nil {
		return exchange{}, 0, fmt.Errorf("no token: %w", err)
	}
	if token.IsZero() {
		return exchange{}, 0, errors.New("no token: it is empty; put one with the scope metrics.ingest into the token file")
	}
	body := s.compress(text)
	ctx, cancel := linger(ctx)
	defer cancel()
	x := s.roundTrip(ctx, body, token)
	x.lines = lines
	return x, len(body), nil
}

// compress returns a copy, since the client may still read it after it has
// given an answer.
func (s *sender) compress(text []byte) []byte {
	s.packed.Reset()
	s.zip.Reset(&s.packed)
	_, _ = s.zip.Write(text) // a buffer takes everything
	_ = s.zip.Close()
	return bytes.Clone(s.packed.Bytes())
}

// linger gives a context that ends a little later than ctx.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

func (s *sender) roundTrip(ctx context.Context, body []byte, token probes.Secret) exchange {
	var begun atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { begun.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return exchange{err: errors.New("the URL is not valid")}
	}
	req.Header.Set("Authorization", "Api-Token "+token.Reveal())
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", s.agent)
	secrets := s.secretsOf(req, token)
	resp, err := s.client.Do(req)
	if err != nil {
		return exchange{err: scrub(err, secrets), begun: begun.Load()}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return exchange{
		status: resp.StatusCode,
		header: resp.Header,
		body:   []byte(hide(string(answer), secrets)),
		err:    scrub(err, secrets),
		begun:  true,
	}
}

// scrubbed shows an error without its secrets and still unwraps to it.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// scrub leaves the cause of a client's error, and takes secrets out of its
// text, should they ever get there.
func scrub(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the method and the URL
	}
	if text := hide(err.Error(), secrets); text != err.Error() {
		return &scrubbed{text, err}
	}
	return err
}

func hide(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return text
}

// secretsOf lists what a server or proxy could repeat of a request: the token,
// and the password for the proxy in the forms in which it travels.
func (s *sender) secretsOf(req *http.Request, token probes.Secret) []string {
	secrets := []string{token.Reveal()}
	transport, ok := s.client.Transport.(*http.Transport)
	if !ok || transport.Proxy == nil {
		return secrets
	}
	proxy, err := transport.Proxy(req)
	if err != nil || proxy == nil || proxy.User == nil {
		return secrets
	}
	password, _ := proxy.User.Password()
	if password == "" {
		return secrets
	}
	_, escaped, _ := strings.Cut(proxy.User.String(), ":")
	plain := proxy.User.Username() + ":" + password
	return append(secrets, base64.StdEncoding.EncodeToString([]byte(plain)), password, escaped)
}
