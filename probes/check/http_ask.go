package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	maxRedirects = 5
	maxHeader    = 64 << 10
)

var (
	errRedirects = fmt.Errorf("it redirects more than %d times", maxRedirects)
	errElsewhere = errors.New("it redirects to another host, which the body is not for; name the URL that it sends to, if that is right")
)

type httpCheck struct {
	*common
	opts   HTTPOptions
	home   *url.URL
	secret probes.Secret
	dialer *dialer
}

// ask sends one request on a new connection, so that all phases are measured.
func (h *httpCheck) ask(ctx context.Context, now probes.Stamp) (a answer, _ error) {
	j, err := newJudge(judge{caFile: h.opts.CAFile, skip: !h.opts.Verify, warn: h.opts.WarnDays, now: now})
	if err != nil {
		return a, err
	}
	p := &phases{}
	client, end := h.client(j, p)
	defer end()
	begin := time.Now()
	request, err := h.request(p.trace(ctx))
	if err != nil {
		return a, probes.WithStatus(probes.StatusInvalidConfigError, err)
	}
	response, err := client.Do(request)
	if err != nil {
		a.wrong = fail(fmt.Errorf("%s: %w", h.what(), h.failed(ctx, err)))
		j.tell(&a)
		return a, nil
	}
	defer response.Body.Close()
	n, wrong := h.read(ctx, response)
	if ctx.Err() == nil {
		a.took = time.Since(begin)
	}
	a.add(httpStatus, float64(response.StatusCode))
	a.add(httpSize, float64(n))
	if h.opts.Phases {
		p.tell(&a)
	}
	a.wrong = wrong
	j.tell(&a)
	return a, nil
}

// what is the request for people.
func (h *httpCheck) what() string { return h.opts.Method + " " + h.target }

func (h *httpCheck) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if h.opts.Method == http.MethodPost {
		body = strings.NewReader(h.opts.Body)
	}
	r, err := http.NewRequestWithContext(ctx, h.opts.Method, h.home.String(), body)
	if err != nil {
		return nil, errors.New("url: no request can be made of it")
	}
	r.Header.Set("User-Agent", "edgehold")
	switch {
	case h.secret.IsZero():
	case h.opts.User != "":
		r.SetBasicAuth(h.opts.User, h.secret.Reveal())
	default:
		r.Header.Set("Authorization", "Bearer "+h.secret.Reveal())
	}
	return r, nil
}

// client follows no proxy of the environment and keeps no connection.
func (h *httpCheck) client(j *judge, p *phases) (client *http.Client, end func()) {
	transport := &http.Transport{
		DialContext: h.dialer.dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := h.dialer.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(address) // the transport has put it together
			secure, err := p.handshake(ctx, conn, j.config(host))
			if err != nil {
				conn.Close()
				return nil, err
			}
			return secure, nil
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	return &http.Client{Transport: transport, CheckRedirect: h.redirect}, transport.CloseIdleConnections
}

// redirect keeps what is secret from other hosts: who asks, and the query in the
// address it came from.
func (h *httpCheck) redirect(to *http.Request, via []*http.Request) error {
	if !h.opts.Redirects {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return errRedirects
	}
	home := to.URL.Scheme == h.home.Scheme && strings.EqualFold(to.URL.Hostname(), h.home.Hostname()) && portOf(to.URL) == portOf(h.home)
	if home {
		return nil
	}
	if to.Body != nil && to.Body != http.NoBody && to.ContentLength != 0 {
		return errElsewhere
	}
	to.Header.Del("Authorization")
	to.Header.Del("Referer")
	return nil
}

// read reads the answer as far as somebody wants to know of it, and says what is
// wrong with it.
func (h *httpCheck) read(ctx context.Context, r *http.Response) (n int64, wrong error) {
	if err := h.judge(r); err != nil {
		return 0, err
	}
	body := io.LimitReader(r.Body, int64(h.opts.MaxBody))
	unwanted, missing := &finder{text: h.opts.NotContains}, &finder{text: h.opts.Contains}
	n, err := io.Copy(io.Discard, io.TeeReader(io.TeeReader(body, unwanted), missing))
	switch {
	case unwanted.found:
		return n, failf("%s: the answer contains the text of not_contains", h.what())
	case err != nil:
		return n, fail(fmt.Errorf("%s: the answer is not complete: %w", h.what(), h.words(ctx, err)))
	case h.opts.Contains != "" && !missing.found && n == int64(h.opts.MaxBody):
		return n, failf("%s: the first %v of the answer do not contain the text of contains; raise max_body if it comes later", h.what(), h.opts.MaxBody)
	case h.opts.Contains != "" && !missing.found:
		return n, failf("%s: the answer does not contain the text of contains", h.what())
	}
	return n, nil
}

func (h *httpCheck) judge(r *http.Response) error {
	expected := "200 to 299"
	ok := r.StatusCode >= 200 && r.StatusCode <= 299
	if len(h.opts.Status) > 0 {
		ok = slices.Contains(h.opts.Status, r.StatusCode)
		expected = strings.Trim(fmt.Sprint(h.opts.Status), "[]")
	}
	if ok {
		return nil
	}
	err := fmt.Errorf("%s: the answer is %s, expected %s", h.what(), strings.TrimSpace(fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode))), expected)
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return probes.WithStatus(probes.StatusAuthenticationError, fmt.Errorf("%w; look at credential and user", err))
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		err = fmt.Errorf("%w; set redirects to follow them", err)
	}
	return fail(err)
}

// failed takes the URL out of an error.
func (h *httpCheck) failed(ctx context.Context, err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	switch {
	case errors.Is(err, errRedirects), errors.Is(err, errElsewhere):
		return err
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("it speaks http, not https; look at the URL")
	}
	return h.words(ctx, err)
}
