package drain

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// byTrace is a server that is none: it holds a request until its context ends,
// or answers after a while.
type byTrace struct {
	begun  bool
	answer time.Duration
}

func (s byTrace) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.begun {
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaders()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(s.answer):
		return &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	}
}

// synctestPost gives a sender whose time passes by itself.
func synctestPost(t *testing.T, server byTrace, do func(context.Context, *sender)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		do(t.Context(), newSender(Target{URL: "http://env.invalid", Client: &http.Client{Transport: server}, Token: giveToken}, "1"))
	})
}

// TestEndOfContext holds how long a post goes on after its context.
func TestEndOfContext(t *testing.T) {
	never := 1000 * time.Hour
	for name, test := range map[string]struct {
		server byTrace
		cancel time.Duration // when the agent stops, or the link changes
		cause  error
		limit  time.Duration // the deadline
		want   time.Duration // when the post ends
		words  string        // "" for an answer
	}{
		"answer":               {byTrace{true, time.Second}, never, nil, never, time.Second, ""},
		"no deadline":          {byTrace{true, never}, never, nil, 0, 30 * time.Second, "does not answer in time"},
		"deadline":             {byTrace{true, never}, never, nil, 40 * time.Second, 40 * time.Second, "does not answer in time"},
		"deadline of a dial":   {byTrace{false, never}, never, nil, 40 * time.Second, 40 * time.Second, "the link is too slow"},
		"stop":                 {byTrace{true, never}, 5 * time.Second, nil, never, 7 * time.Second, "stopped here"},
		"stop, answer":         {byTrace{true, 6 * time.Second}, 5 * time.Second, nil, never, 6 * time.Second, ""},
		"stop of a dial":       {byTrace{false, never}, 5 * time.Second, nil, never, 5 * time.Second, "stopped here"},
		"link changed":         {byTrace{true, never}, 5 * time.Second, errLinkChanged, never, 6 * time.Second, "tried again on the new one"},
		"link changed, answer": {byTrace{true, 5500 * time.Millisecond}, 5 * time.Second, errLinkChanged, never, 5500 * time.Millisecond, ""},
		"link changed, dial":   {byTrace{false, never}, 5 * time.Second, errLinkChanged, never, 5 * time.Second, "tried again on the new one"},
	} {
		t.Run(name, func(t *testing.T) {
			synctestPost(t, test.server, func(ctx context.Context, s *sender) {
				ctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				time.AfterFunc(test.cancel, func() { cancel(test.cause) })
				if test.limit > 0 {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, test.limit)
					defer stop()
				}
				start := time.Now()
				x := s.post(ctx, lines("one\n"))
				o := classify(x, time.Now())
				if took := time.Since(start); took != test.want || x.begun != test.server.begun {
					t.Errorf("ended after %v with %+v", took, x)
				}
				if test.words == "" && o.verdict != accepted || test.words != "" && (o.verdict != later || !strings.Contains(o.cause, test.words) || o.ambiguous != x.begun) {
					t.Errorf("outcome %+v", o)
				}
			})
		})
	}
}
