package drain_test

import (
	"os"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/proxytest"
)

// faultRow is one way to fail and what must hold.
type faultRow struct {
	name   string
	strike func(*scene)
	mend   func(*scene) // beside the end of the faults of proxy and environment
	// down says that the uplink must show that it is down before the mending.
	down bool
	// lost says that answers get lost behind points that were taken: they are
	// sent again, and the state tells. Where it only may be so, it hangs on how
	// the bytes fall. Elsewhere no point may come twice.
	lost, mayLose bool
	cuts          int64 // how often the proxy cuts, so that the fault is known to have struck
	dead          bool  // points become dead letters
	long          bool  // takes half a minute: only with EDGEHOLD_SOAK
}

// breaks resets the connections, as a link that flaps, so that a new handshake
// follows.
func breaks(s *scene) { s.proxy.Cut(proxytest.RST) }

func way(d proxytest.Direction, w proxytest.Way) func(*scene) {
	return func(s *scene) { s.proxy.Set(d, w) }
}

func cut(d proxytest.Direction, c proxytest.Cut) func(*scene) {
	return func(s *scene) { s.proxy.CutAfter(d, c) }
}

func answers(f draintest.Fault) func(*scene) {
	return func(s *scene) { s.must(s.env.SetFault(f)) }
}

func shows(c draintest.Certificate) func(*scene) {
	return func(s *scene) {
		s.must(s.env.SetCertificate(c))
		breaks(s)
	}
}

func showsValid(s *scene) { s.must(s.env.SetCertificate(draintest.Valid)) }

var faultRows = []faultRow{
	{name: "nothing", strike: func(*scene) {}},

	// The way to the environment.
	{name: "refused", strike: func(s *scene) { s.proxy.Refuse(); breaks(s) }, down: true},
	{name: "black hole", strike: func(s *scene) { s.must(s.proxy.BlackHole()); breaks(s) }, down: true, long: true},
	{name: "half-open", strike: func(s *scene) { s.proxy.SetBoth(proxytest.Way{Stall: true}); breaks(s) }, down: true, long: true},
	{name: "stall of a kept connection", strike: func(s *scene) { s.proxy.SetBoth(proxytest.Way{Stall: true}) }, down: true, mayLose: true, long: true},
	{name: "stall of the answer", strike: way(proxytest.Down, proxytest.Way{Stall: true}), down: true, lost: true, long: true},
	{name: "reset in the handshake", strike: func(s *scene) {
		s.proxy.CutAfter(proxytest.Down, proxytest.Cut{After: 100})
		breaks(s)
	}, down: true},
	{name: "reset in mid-body", strike: cut(proxytest.Up, proxytest.Cut{After: 2500, Times: 3}), cuts: 3},
	{name: "end in mid-body", strike: cut(proxytest.Up, proxytest.Cut{After: 2500, Ending: proxytest.FIN, Times: 3}), cuts: 3},
	{name: "answer lost", strike: cut(proxytest.Down, proxytest.Cut{Times: 1}), lost: true, cuts: 1},
	{name: "answer cut in the middle", strike: cut(proxytest.Down, proxytest.Cut{After: 40, Times: 1}), mayLose: true, cuts: 1},
	{name: "300 ms", strike: func(s *scene) {
		s.proxy.SetBoth(proxytest.Way{Delay: 150 * time.Millisecond, Jitter: 20 * time.Millisecond})
	}},
	{name: "slow loris", strike: way(proxytest.Down, proxytest.Way{Chunk: 8, Every: 5 * time.Millisecond})},
	{name: "16 kB a second", strike: func(s *scene) { s.proxy.SetBoth(proxytest.Way{Rate: 16_000}) }},
	{name: "corrupted answers", strike: way(proxytest.Down, proxytest.Way{Corrupt: 0.05}), down: true, mayLose: true},
	{name: "corrupted requests", strike: way(proxytest.Up, proxytest.Way{Corrupt: 0.05}), down: true},

	// The environment, and what stands in front of it.
	{name: "down", strike: answers(draintest.Fault{Mode: draintest.Down}), down: true},
	{name: "500 storm", strike: answers(draintest.Fault{Mode: draintest.ServerError}), down: true},
	{name: "429 storm", strike: answers(draintest.Fault{Mode: draintest.Throttle}), down: true},
	{name: "429 with a time", strike: answers(draintest.Fault{Mode: draintest.Throttle, RetryAfter: time.Second, Count: 1}), down: true},
	{name: "portal", strike: answers(draintest.Fault{Mode: draintest.Captive}), down: true},
	{name: "answer lost by the environment", strike: answers(draintest.Fault{Mode: draintest.LoseAnswer, Count: 2}), lost: true},
	{name: "bad lines", strike: answers(draintest.Fault{Mode: draintest.PartialInvalid, Lines: 7}), dead: true},
	{name: "413", strike: answers(draintest.Fault{Mode: draintest.TooLarge, Lines: 50})},
	{name: "goes away", strike: answers(draintest.Fault{Mode: draintest.GoAway})},
	{name: "goes away and refuses", strike: answers(draintest.Fault{Mode: draintest.GoAwayRefused, Count: 1})},

	// Papers.
	{name: "certificate expired", strike: shows(draintest.Expired), mend: showsValid, down: true},
	{name: "certificate not yet valid", strike: shows(draintest.NotYetValid), mend: showsValid, down: true},
	{name: "certificate of another host", strike: shows(draintest.WrongName), mend: showsValid, down: true},
	{name: "certificate of another authority", strike: shows(draintest.OtherCA), mend: showsValid, down: true},
	{
		name: "token replaced", strike: func(s *scene) { s.env.SetToken("second") },
		mend: func(s *scene) { s.setToken("second") }, down: true,
	},
	{name: "scope taken away", strike: answers(draintest.Fault{Mode: draintest.Forbidden}), down: true},
}

// TestE2EFaults lets each fault come over a drain that works, with more points
// coming, ends it, and asks the oracles. HTTP/2 and HTTP/1.1 fail in ways of
// their own.
func TestE2EFaults(t *testing.T) {
	for _, protocol := range []struct {
		name string
		tls  draintest.TLS
	}{{"HTTP2", draintest.TLS{}}, {"HTTP1", draintest.TLS{HTTP1: true}}} {
		for _, row := range faultRows {
			t.Run(protocol.name+"/"+row.name, func(t *testing.T) {
				if row.long && os.Getenv("EDGEHOLD_SOAK") == "" {
					t.Skip("takes half a minute; EDGEHOLD_SOAK runs it")
				}
				t.Parallel()
				s := newScene(t, sceneOptions{secure: &protocol.tls})
				s.begin()
				s.suffer(row)
				row.check(t, s.settle())
			})
		}
	}
}

// suffer goes through the fault of a row.
func (s *scene) suffer(row faultRow) {
	s.t.Helper()
	row.strike(s)
	s.add(4)
	if row.down {
		s.until("the uplink shows that it is down", func() bool { return isDown(s.drain.State()) })
		s.add(2)
		s.must(s.proxy.Restore())
		s.must(s.env.Restore())
		if row.mend != nil {
			row.mend(s)
		}
	}
	s.until("all is settled", func() bool {
		state := s.drain.State()
		return state.LinesAccepted+state.LinesRefused == s.points()
	})
}

func isDown(s drain.State) bool { return s.State == drain.Backoff || s.State == drain.Hold }

// check holds what a row says beside what always holds.
func (row faultRow) check(t *testing.T, o sceneOutcome) {
	t.Helper()
	a := o.account
	if a.Buffered != 0 || a.Late != 0 || a.Delivered+a.DeadLetter != a.Accepted {
		t.Errorf("not all is settled: %+v", a)
	}
	if (a.DeadLetter > 0) != row.dead || o.state.LinesRefused != a.DeadLetter || o.state.LinesAccepted != a.Delivered {
		t.Errorf("account %+v, state %+v", a, o.state)
	}
	if o.cuts < row.cuts {
		t.Errorf("%d connections were cut, %d should be", o.cuts, row.cuts)
	}
	if (o.resent > 0) != row.lost && !row.mayLose || o.resent > 0 && o.state.AmbiguousPosts == 0 {
		t.Errorf("%d lines came twice, state %+v, counts %+v", o.resent, o.state, o.counts)
	}
}

// TestE2EOutages lets the link be down for so long, with points coming all the
// time. What is young enough at its end arrives; the rest is late and kept.
func TestE2EOutages(t *testing.T) {
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	for _, row := range []struct {
		name string
		down time.Duration
		step time.Duration // between batches, but for the last two hours
	}{
		{"5 minutes", 5 * minute, minute},
		{"55 minutes", 55 * minute, minute},
		{"3 hours", 3 * hour, minute},
		{"3 days", 3 * day, 2 * hour},
		{"30 days", 30 * day, 8 * hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{secure: &draintest.TLS{}})
			s.begin()
			s.proxy.Refuse()
			breaks(s)
			s.pass(max(0, row.down-2*hour), row.step)
			s.pass(min(row.down, 2*hour), 2*minute)
			s.until("the uplink shows that it is down", func() bool { return isDown(s.drain.State()) })
			s.must(s.proxy.Restore())
			s.drain.LinkChanged()
			savable, past := s.between(0, sceneWindow-sceneMargin), s.between(sceneWindow, 1<<62)
			s.until("what could be saved is there", func() bool { return s.drain.State().LinesAccepted >= savable })
			s.pass(2*sceneMargin, sceneMargin) // what is left becomes late
			s.until("nothing is left", func() bool {
				a := s.store.Account()
				return a.Buffered == 0 && a.Accepted == s.points()
			})
			o := s.settle()
			if o.account.Late < past-s.early || o.account.LateArchived != o.account.Late || o.account.Delivered+o.account.Late != o.account.Accepted {
				t.Errorf("%d points were past the window: %+v", past, o.account)
			}
			if o.resent != 0 {
				t.Errorf("%d lines came twice", o.resent)
			}
		})
	}
}
