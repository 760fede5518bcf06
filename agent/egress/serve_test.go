package egress

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inProcess is an agent without a socket.
type inProcess struct {
	audits *Audits
	work   *sync.WaitGroup
}

func (a inProcess) Ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	for _, e := range a.audits.Endpoints() {
		if e.Method != method || e.Path != path {
			continue
		}
		r, w := io.Pipe()
		a.work.Go(func() { w.CloseWithError(e.Serve(ctx, query, w)) })
		return r, nil
	}
	return nil, errors.New("unknown path")
}

func newInProcess() inProcess {
	audits := &Audits{Meter: new(Meter), Sensitive: nothing, Complete: func(r *Report) { r.Site = "plant" }}
	return inProcess{audits, new(sync.WaitGroup)}
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := newInProcess()
		line := agent.audits.Meter.Line(DevicePoll)
		told := 0
		began := time.Now()
		r, err := Ask(t.Context(), agent, 5*time.Minute, func(p Progress) {
			if told++; told == 2 {
				line.Sent(netip.MustParseAddrPort("192.0.2.1:161"), "", 5)
			}
			if told > 2 && p.BytesOut != 5 {
				t.Errorf("progress %+v", p)
			}
		})
		agent.work.Wait()
		if err != nil || r.Early || r.Site != "plant" || len(r.Destinations) != 1 || time.Since(began) != 5*time.Minute {
			t.Errorf("%v %+v after %v", err, r, time.Since(began))
		}
		if told < 290 || len(r.NeverSent) == 0 || agent.audits.Meter.Running() != nil {
			t.Errorf("progress was told %d times", told)
		}
	})
}

// An interrupt ends an audit early, with what it has.
func TestAskEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := newInProcess()
		ctx, interrupt := context.WithCancel(t.Context())
		line := agent.audits.Meter.Line(DevicePoll)
		time.AfterFunc(1500*time.Millisecond, func() {
			line.Sent(netip.MustParseAddrPort("192.0.2.1:161"), "", 5)
			interrupt()
		})
		r, err := Ask(ctx, agent, time.Hour, func(Progress) {})
		agent.work.Wait()
		if err != nil || !r.Early || len(r.Destinations) != 1 || r.To.Sub(r.From) != 1500*time.Millisecond {
			t.Errorf("%v %+v", err, r)
		}
		if agent.audits.Meter.Running() != nil {
			t.Error("it still counts")
		}
	})
}

// A client that is gone takes its audit along, so that the next one can begin;
// two at a time there are not.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := newInProcess()
		ctx, leave := context.WithCancel(t.Context())
		body, err := agent.Ask(ctx, "POST", pathAudit, url.Values{"for": {"1h"}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, body) }()
		synctest.Wait()
		if _, err := Ask(t.Context(), agent, time.Minute, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "an audit runs already") {
			t.Errorf("a second audit: %v", err)
		}
		leave()
		agent.work.Wait()
		if _, err := Ask(t.Context(), agent, time.Minute, func(Progress) {}); err != nil {
			t.Error(err)
		}
		agent.work.Wait()
	})
}

func TestServeRefuses(t *testing.T) {
	agent := newInProcess()
	for _, length := range []string{"", "no", "1ms", "25h", "-5m"} {
		err := agent.audits.serve(t.Context(), url.Values{"for": {length}}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "an audit lasts from 1s to 24h") {
			t.Errorf("%q: %v", length, err)
		}
	}
	if err := agent.audits.serveFinish(t.Context(), url.Values{"audit": {"1"}}, io.Discard); err == nil {
		t.Error("an audit that does not run was ended")
	}
}
