package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func ask(t *testing.T, s *Server, path string) (string, error) {
	t.Helper()
	body, err := Client{Path: s.Path}.Ask(t.Context(), "GET", path, url.Values{"q": {"a b&c"}})
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestTools(t *testing.T) {
	fail := func(first string, err error) Tool {
		return Tool{Serve: func(_ context.Context, _ url.Values, w io.Writer) error {
			if first != "" {
				_, _ = io.WriteString(w, first)
			}
			return err
		}}
	}
	tools := map[string]Tool{
		"/echo": {Serve: func(_ context.Context, q url.Values, w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s\n", q.Get("q"))
			return err
		}},
		"/late":  fail("half", errors.New("line one\nline \"two\" ü")),
		"/early": fail("", errors.New("no such thing; name another")),
		"/empty": fail("", nil),
	}
	s := &Server{Path: path(t)}
	for p, tool := range tools {
		tool.Method, tool.Path = "GET", p
		s.Tools = append(s.Tools, tool)
	}
	start(t, s)
	for _, c := range []struct{ path, text, err string }{
		{"/echo", "a b&c\n", ""},
		{"/late", "half", "line one\nline \"two\" ü"},
		{"/early", "", "no such thing; name another"},
		{"/empty", "", ""},
		{"/unknown", "", "does not know GET /unknown, it is of an older version than this command"},
	} {
		text, err := ask(t, s, c.path)
		if text != c.text || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.path, text, err, c.text, c.err)
		}
	}
}

func TestAskNobody(t *testing.T) {
	p := path(t)
	if _, err := (Client{Path: p}).Ask(t.Context(), "GET", "/", nil); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "there is no control socket") {
		t.Errorf("no socket: %v", err)
	}
	l, err := listen(p)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := (Client{Path: p}).Ask(t.Context(), "GET", "/", nil); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("dead socket: %v", err)
	}
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
}

// A stream may take longer than a request and an answer may otherwise.
func TestLongStream(t *testing.T) {
	const step, steps = 30 * time.Millisecond, 20
	s := &Server{Path: path(t), limits: limits{read: 2 * step, write: 3 * step}}
	s.Tools = []Tool{{Method: "GET", Path: "/slow", Serve: func(ctx context.Context, _ url.Values, w io.Writer) error {
		tick := time.NewTicker(step)
		defer tick.Stop()
		for range steps {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
			if _, err := io.WriteString(w, "x"); err != nil {
				return err
			}
		}
		return nil
	}}}
	start(t, s)
	if text, err := ask(t, s, "/slow"); err != nil || len(text) != steps {
		t.Errorf("%q, %v", text, err)
	}
}

// waiting is a tool that works until its context ends.
type waiting struct {
	begun, ended chan struct{}
}

func newWaiting() *waiting {
	return &waiting{begun: make(chan struct{}, 2*maxTools), ended: make(chan struct{}, 2*maxTools)}
}

func (w *waiting) tool(ctx context.Context, _ url.Values, out io.Writer) error {
	_, err := io.WriteString(out, "begun")
	w.begun <- struct{}{}
	<-ctx.Done()
	w.ended <- struct{}{}
	return errors.Join(err, ctx.Err())
}

func TestClientLeaves(t *testing.T) {
	w := newWaiting()
	s := &Server{Path: path(t), Tools: []Tool{{Method: "POST", Path: "/wait", Serve: w.tool}}}
	start(t, s)
	ctx, leave := context.WithCancel(t.Context())
	body, err := Client{Path: s.Path}.Ask(ctx, "POST", "/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	<-w.begun
	leave()
	<-w.ended
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("read after leaving: %v", err)
	}
}

// A stop ends the tools, tells their clients why, and waits for them.
func TestStopEndsTools(t *testing.T) {
	w := newWaiting()
	s := &Server{Path: path(t), Tools: []Tool{{Method: "GET", Path: "/wait", Serve: w.tool}}}
	stop := start(t, s)
	answer := make(chan error, 1)
	go func() {
		_, err := ask(t, s, "/wait")
		answer <- err
	}()
	<-w.begun
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-w.ended:
	default:
		t.Error("Run returned before the tool had ended")
	}
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "the agent stops") {
		t.Errorf("the client got %v", err)
	}
}

// Tools leave connections for status and for what is quick.
func TestToolsAreBounded(t *testing.T) {
	w := newWaiting()
	s := &Server{Path: path(t), Status: func() any { return 1 }, Tools: []Tool{
		{Method: "GET", Path: "/wait", Serve: w.tool},
		{Method: "GET", Path: "/quick", Quick: true, Serve: func(_ context.Context, _ url.Values, w io.Writer) error {
			_, err := io.WriteString(w, "here")
			return err
		}},
	}}
	start(t, s)
	ctx, leave := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range maxTools {
		clients.Go(func() {
			body, err := Client{Path: s.Path}.Ask(ctx, "GET", "/wait", nil)
			if err != nil {
				if ctx.Err() == nil { // it may leave before it has the head of its answer
					t.Error(err)
				}
				return
			}
			_, _ = io.Copy(io.Discard, body)
			_ = body.Close()
		})
		<-w.begun
	}
	if _, err := ask(t, s, "/wait"); err == nil || !strings.Contains(err.Error(), "wait for one to end") {
		t.Errorf("one too many: %v", err)
	}
	if text, err := ask(t, s, "/quick"); err != nil || text != "here" {
		t.Errorf("quick: %q, %v", text, err)
	}
	var status int
	if err := (Client{Path: s.Path}).Status(t.Context(), &status); err != nil {
		t.Errorf("status: %v", err)
	}
	leave()
	clients.Wait()
}
