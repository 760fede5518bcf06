package draintest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func set(t *testing.T, s *Server, f Fault) {
	t.Helper()
	if err := s.SetFault(f); err != nil {
		t.Fatal(err)
	}
}

// wantCounts compares what was taken and one outcome.
func wantCounts(t *testing.T, s *Server, lines int, outcome string, times int) {
	t.Helper()
	if c := s.Counts(); c.Lines != lines || c.Outcomes[outcome] != times {
		t.Errorf("%d lines taken, %d times %s; want %d and %d", c.Lines, c.Outcomes[outcome], outcome, lines, times)
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	body := "cpu.load 5 " + at(0)
	for _, c := range []struct {
		mode   Mode
		status int
		body   string
	}{
		{Down, 503, ""},
		{Unavailable, 503, `"code":503`},
		{ServerError, 500, `"code":500`},
		{Throttle, 429, `"code":429`},
		{Captive, 200, "<!DOCTYPE html>"},
		{Unauthorized, 401, `"code":401`},
		{Forbidden, 403, "metrics.ingest"},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			s := start(t)
			set(t, s, Fault{Mode: c.mode, Count: 2})
			for range 2 {
				a := send(t, s, body)
				if a.status != c.status || !strings.Contains(a.body, c.body) || c.body == "" && a.body != "" {
					t.Errorf("got %d %q", a.status, a.body)
				}
			}
			wantCounts(t, s, 0, fmt.Sprint(c.status), 2)
			if a := send(t, s, body); a.status != 202 {
				t.Errorf("after the fault: %d", a.status)
			}
			set(t, s, Fault{Mode: c.mode})
			for range 3 {
				if a := send(t, s, body); a.status != c.status {
					t.Errorf("without a count: %d", a.status)
				}
			}
			if err := s.Restore(); err != nil {
				t.Fatal(err)
			}
			if a := send(t, s, body); a.status != 202 {
				t.Errorf("after Restore: %d", a.status)
			}
		})
	}
}

func TestFaultThrottleHeaders(t *testing.T) {
	s := start(t)
	set(t, s, Fault{Mode: Throttle, RetryAfter: 1500 * time.Millisecond})
	h := send(t, s, "x").header
	want := map[string]string{
		"X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "0", "Retry-After": "2",
		"X-Ratelimit-Reset": fmt.Sprint(now.Add(1500 * time.Millisecond).UnixMicro()),
	}
	for k, v := range want {
		if h.Get(k) != v {
			t.Errorf("%s is %q, want %q", k, h.Get(k), v)
		}
	}
	set(t, s, Fault{Mode: Throttle})
	if h := send(t, s, "x").header; h.Get("Retry-After") != "" {
		t.Errorf("Retry-After %q without being asked for", h.Get("Retry-After"))
	}
}

func TestFaultPartialInvalidAndTooLarge(t *testing.T) {
	s := start(t)
	body := fmt.Sprintf("a.one 1 %[1]s\na.two 2 %[1]s\na.three 3 %[1]s\na.four 4 %[1]s\n", at(0))
	set(t, s, Fault{Mode: PartialInvalid, Lines: 2, Count: 1})
	a := send(t, s, body)
	want := `{"linesOk":2,"linesInvalid":2,"error":{"code":400,"message":"2 invalid lines","invalidLines":[` +
		`{"line":2,"error":"line is refused by a fault"},{"line":4,"error":"line is refused by a fault"}]},"warnings":null}`
	if a.status != 400 || a.body != want {
		t.Errorf("got %d %s", a.status, a.body)
	}
	wantCounts(t, s, 2, "400", 1)
	set(t, s, Fault{Mode: TooLarge, Lines: 3})
	if a := send(t, s, body); a.status != 413 {
		t.Errorf("4 lines: %d", a.status)
	}
	wantCounts(t, s, 2, "413", 1)
	if a := send(t, s, "a.five 5 "+at(0)); a.status != 202 {
		t.Errorf("1 line: %d", a.status)
	}
}

func TestFaultLoseAnswer(t *testing.T) {
	s := start(t)
	set(t, s, Fault{Mode: LoseAnswer, Count: 1})
	body := "cpu.load 5 " + at(0)
	if a, err := do(plain(), request(t, s, body)); err == nil {
		t.Fatalf("got an answer: %+v", a)
	}
	wantCounts(t, s, 1, "answer lost", 1)
	if a := send(t, s, body); a.status != 202 {
		t.Errorf("second time: %d", a.status)
	}
	if c := s.Counts(); c.Duplicates != 1 {
		t.Errorf("the resent line counts as %d duplicates", c.Duplicates)
	}
}

func TestFaultHang(t *testing.T) {
	s := start(t)
	body := "cpu.load 5 " + at(0)
	set(t, s, Fault{Mode: Hang, Count: 2})

	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	ask := func(r *http.Request) {
		_, err := do(plain(), r)
		failed <- err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { ask(request(t, s, body).WithContext(ctx)) })
	wg.Go(func() { ask(request(t, s, body)) })
	eventually(t, "both requests hang", func() bool {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		return s.faults.left == 0
	})
	if a := send(t, s, body); a.status != 202 {
		t.Errorf("beyond the count: %d", a.status)
	}

	cancel() // the client goes
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("first client: %v", err)
	}
	eventually(t, "the server notices that the client went", func() bool { return s.Counts().Outcomes["hung"] == 1 })
	if err := s.Restore(); err != nil { // the fault ends
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("the second client got an answer")
	}
	wantCounts(t, s, 1, "hung", 2)
}

func TestCloseEndsHangingRequests(t *testing.T) {
	s := New(Options{Token: token, Now: fixed})
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	set(t, s, Fault{Mode: Hang, Count: 1})
	failed := make(chan error, 1)
	r := request(t, s, "cpu.load 5 "+at(0))
	go func() {
		_, err := do(plain(), r)
		failed <- err
	}()
	eventually(t, "the request hangs", func() bool {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		return s.faults.left == 0
	})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the client got an answer")
	}
	wantCounts(t, s, 0, "hung", 1)
}

func TestFaultSlow(t *testing.T) {
	s := start(t)
	set(t, s, Fault{Mode: Slow, Delay: time.Hour})
	got := make(chan answered, 1)
	r := request(t, s, "cpu.load 5 "+at(0))
	go func() {
		a, _ := do(plain(), r)
		got <- a
	}()
	eventually(t, "the line is taken before the answer", func() bool { return s.Counts().Lines == 1 })
	select {
	case a := <-got:
		t.Fatalf("answered at once: %+v", a)
	default:
	}
	if err := s.Restore(); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.status != 202 {
		t.Errorf("got %d", a.status)
	}

	set(t, s, Fault{Mode: Slow, Delay: time.Millisecond})
	if a := send(t, s, "cpu.load 6 "+at(time.Millisecond)); a.status != 202 {
		t.Errorf("short delay: %d", a.status)
	}

	set(t, s, Fault{Mode: Slow, Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(got)
		_, _ = do(plain(), request(t, s, "cpu.load 7 "+at(2*time.Millisecond)).WithContext(ctx))
	}()
	eventually(t, "the line is taken", func() bool { return s.Counts().Lines == 3 })
	cancel()
	<-got
	eventually(t, "the answer counts as lost", func() bool { return s.Counts().Outcomes["answer lost"] == 1 })
}

func TestRefuse(t *testing.T) {
	s := start(t)
	kept := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer kept.CloseIdleConnections()
	body := "cpu.load 5 " + at(0)
	if a, err := do(kept, request(t, s, body)); err != nil || a.status != 202 {
		t.Fatalf("%+v, %v", a, err)
	}
	url := s.URL()
	for range 3 {
		s.Refuse()
		s.Refuse() // twice is once
		for _, client := range []*http.Client{kept, plain()} {
			r := request(t, s, body)
			r.GetBody = nil // no second try on another connection
			if a, err := do(client, r); err == nil {
				t.Fatalf("answered while refusing: %+v", a)
			}
		}
		if _, err := do(plain(), request(t, s, body)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want a refused connection", err)
		}
		wantCounts(t, s, 1, "202", 1)
		if err := s.Restore(); err != nil {
			t.Fatal(err)
		}
		if s.URL() != url {
			t.Errorf("came back at %s, was at %s", s.URL(), url)
		}
	}
	if a, err := do(kept, request(t, s, body)); err != nil || a.status != 202 {
		t.Errorf("after Restore: %+v, %v", a, err)
	}
	set(t, s, Fault{Mode: Refuse})
	set(t, s, Fault{Mode: Down}) // another fault ends the refusal
	if a := send(t, s, body); a.status != 503 {
		t.Errorf("got %d", a.status)
	}
	if err := s.SetFault(Fault{Mode: Refuse, Count: 1}); err == nil {
		t.Error("refuse took a count")
	}
}

// What was under way when the port closed is answered, so every line taken is
// one the sender knows of.
func TestRefuseCutsBetweenRequests(t *testing.T) {
	s := start(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	known := 0
	stop := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				a, err := do(client, request(t, s, fmt.Sprintf("load,w=%d 1 %s", w, at(time.Duration(i)*time.Millisecond))))
				if err == nil && a.status == 202 {
					mu.Lock()
					known++
					mu.Unlock()
				}
			}
		})
	}
	for range 20 {
		before := s.Counts().Lines
		eventually(t, "more lines", func() bool { return s.Counts().Lines >= before+20 })
		s.Refuse()
		if err := s.Restore(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
	if c := s.Counts(); c.Lines != known {
		t.Errorf("took %d lines, the senders know of %d", c.Lines, known)
	}
}

func TestRefuseAsHandler(t *testing.T) {
	s := New(Options{Token: token})
	s.Refuse()
	if err := s.Restore(); err != nil {
		t.Error(err)
	}
}
