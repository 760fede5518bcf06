package main_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/linktest"
)

// linkEvent is a way in which a link goes and comes back. Only the client's side
// of it is the agent's machine.
type linkEvent struct {
	name       string
	down, back func(*linktest.Link) error
}

var linkEvents = []linkEvent{
	{"cable", (*linktest.Link).Down, (*linktest.Link).Up},
	{
		"interface", func(l *linktest.Link) error { return l.Client.SetInterface(false) },
		func(l *linktest.Link) error { return l.Client.SetInterface(true) },
	},
	{
		"address", func(l *linktest.Link) error { return l.Client.SetAddress(false) },
		func(l *linktest.Link) error { return l.Client.SetAddress(true) },
	},
}

// soon is a bound on a busy machine for what takes at most 2 s. The back-off of
// the uplink goes up to 10 s.
const soon = 5 * time.Second

// TestE2ELinkEvents runs the program in a network namespace, takes the link away
// in several ways, for a moment and until the uplink has backed off, and asks
// that fresh points arrive as soon as it is back, that none is lost, and that
// none comes twice but by posts whose answer was lost.
func TestE2ELinkEvents(t *testing.T) {
	program(t)
	for _, e := range linkEvents {
		for _, outage := range []struct {
			name string
			over func(control.Uplink) bool
			long bool
		}{
			{"for a moment", func(control.Uplink) bool { return true }, false},
			// It waits for long, or a connection that it makes hangs since long.
			{"until it backs off", func(u control.Uplink) bool {
				return u.State == "backoff" && time.Until(u.NextTry).Abs() > soon
			}, true},
		} {
			t.Run(e.name+" "+outage.name, func(t *testing.T) {
				if outage.long && os.Getenv("EDGEHOLD_SOAK") == "" {
					t.Skip("takes up to two minutes; EDGEHOLD_SOAK runs it")
				}
				t.Parallel()
				r := newFarAgent(t)
				r.outage(e, outage.over)
				r.settle()
			})
		}
	}
}

// farAgent is the program at the far end of a link, beside a device.
type farAgent struct {
	*site
	link *linktest.Link
	env  *draintest.Server
	addr string // of the device
}

const farInterval = 2 * time.Second

func newFarAgent(t *testing.T) *farAgent {
	t.Helper()
	path := linktest.Path{Delay: 20 * time.Millisecond}
	r := &farAgent{link: linktest.New(t, linktest.Both(path, 1)), site: newSite(t)}
	r.env = draintest.New(draintest.Options{Token: goodToken, KeepLines: true, Listen: r.link.Server.Listen})
	url, err := r.env.StartTLS(linktest.ServerAddr+":0", draintest.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.env.Close() })
	r.file("ca.pem", string(r.env.CAPEM()))
	_ = r.link.Client.Do(func() error {
		r.addr = newSwitch(t, "127.0.1.1", goodCommunity).Addr()
		return nil
	})
	r.yaml(url, "probes:\n", polled(farInterval.String(), r.addr))
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.file("edgehold.yaml", strings.Replace(string(text), "token_file: token", "token_file: token, ca_file: ca.pem", 1))
	_ = r.link.Client.Do(func() error {
		r.start()
		return nil
	})
	eventually(t, "the first points to arrive", func() bool { return len(stampsOf(t, r.env, r.addr)) > 0 })
	return r
}

// outage takes the link away for three polls and until over, and measures how
// long fresh points take once it is back.
func (r *farAgent) outage(e linkEvent, over func(control.Uplink) bool) {
	t := r.t
	t.Helper()
	if err := e.down(r.link); err != nil {
		t.Fatal(err)
	}
	st := r.await("the outage to last", func(st control.Status) bool {
		return time.Since(r.newest()) > 3*farInterval && over(st.Uplink)
	})
	was, begin := st.Uplink, time.Now()
	if err := e.back(r.link); err != nil {
		t.Fatal(err)
	}
	eventually(t, "fresh points to arrive", func() bool { return r.newest().After(begin.Add(-2 * farInterval)) })
	took := time.Since(begin)
	t.Logf("%s: fresh points arrive %v after the link is back; before, the uplink was in state %s, its next try at %v, now is %v",
		e.name, took.Round(time.Millisecond), was.State, was.NextTry, begin)
	if took > soon {
		t.Errorf("%s: fresh points took %v after the link came back", e.name, took)
	}
	if said := r.agent.said(); !strings.Contains(said, "the network has changed") {
		t.Error("the log does not tell that the network has changed")
	}
}

// newest is when the newest poll was that has arrived.
func (r *farAgent) newest() time.Time {
	r.t.Helper()
	stamps := stampsOf(r.t, r.env, r.addr)
	return time.UnixMilli(stamps[len(stamps)-1])
}

// settle holds the account against what the environment took.
func (r *farAgent) settle() {
	t := r.t
	t.Helper()
	var c draintest.Counts
	st := r.await("all to be delivered", func(st control.Status) bool {
		c = r.env.Counts()
		return st.Account.Buffered == 0 && st.Account.Delivered == int64(c.Distinct)
	})
	a := st.Account
	if a.Accepted != a.Delivered || c.Conflicts != 0 || c.Refused != 0 {
		t.Errorf("account %+v, counts %+v", a, c)
	}
	if again := int64(c.Lines - c.Distinct); again > st.Uplink.AmbiguousPosts*1000 {
		t.Errorf("%d lines came twice, with %d posts whose answer was lost", again, st.Uplink.AmbiguousPosts)
	}
	wantGrid(t, stampsOf(t, r.env, r.addr), farInterval)
	t.Logf("%d points, %d lines twice, %d ambiguous posts", a.Delivered, c.Lines-c.Distinct, st.Uplink.AmbiguousPosts)
	if end := r.agent.end(syscall.SIGTERM); end.code != 0 {
		t.Error(errors.New(end.all()))
	}
}
