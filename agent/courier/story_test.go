package courier

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
)

func TestPlain(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.broker.join(w.relay)
		w.start()
		for range 5 {
			w.feed(3000)
			time.Sleep(10 * time.Second)
		}
		w.all(time.Minute)
		if r := w.courier.Relay(); r.Resends != 0 || r.Duplicates != 0 || r.Points != 0 || !r.NoneSince.IsZero() {
			t.Errorf("custody %+v", r)
		}
		if s := w.courier.State(); s.State != "idle" || s.UpSince.IsZero() || s.LinesAccepted != int64(w.fed) {
			t.Errorf("state %+v", s)
		}
	})
}

// A broker that takes everything and passes nothing on, or loses the answers.
func TestLostAnswers(t *testing.T) {
	for name, fault := range map[string]func(s *standIn, on bool){
		"answers": func(s *standIn, on bool) { s.mute = on },
		"blocks":  func(s *standIn, on bool) { s.deaf = on },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, w *world) {
				w.broker.join(w.relay)
				w.start()
				w.feed(500)
				w.all(time.Minute)
				w.relay.set(func() { fault(w.relay, true) })
				w.feed(8000)
				time.Sleep(40 * time.Second)
				w.look(func() {
					if n := w.courier.window.size(); n >= mostBlocks {
						t.Errorf("the window is %d", n)
					}
				})
				w.relay.set(func() { fault(w.relay, false) })
				w.all(5 * time.Minute)
				if w.courier.Relay().Resends == 0 {
					t.Error("nothing was sent again")
				}
			})
		})
	}
}

func TestDuplicateAnswers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.twice = true
		w.broker.join(w.relay)
		w.start()
		w.feed(3000)
		w.all(time.Minute)
		if w.courier.Relay().Duplicates == 0 {
			t.Error("no answer counts as told twice")
		}
	})
}

func TestDeliveredOutOfOrder(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		for range 3 {
			w.feed(4000)
			time.Sleep(20 * time.Second)
		}
		w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Points == int64(w.fed) })
		time.Sleep(3 * time.Hour) // nothing is late here, nothing is sent again
		got := w.relay.came()
		if a := w.store.Account(); a.Buffered != int64(w.fed) || a.Late != 0 {
			t.Errorf("account %+v", a)
		}
		w.relay.release(site)
		w.all(time.Minute)
		if w.relay.came() != got || w.courier.Relay().Resends != 0 {
			t.Error("stored blocks were sent again")
		}
	})
}

// The answer that everything is delivered is lost with the connection.
func TestLostDelivered(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		w.feed(4000)
		w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Stored > 0 && w.courier.Relay().Points == int64(w.fed) })
		w.relay.set(func() { w.relay.mute = true })
		w.relay.release(site)
		w.relay.set(func() { w.relay.mute = false })
		w.all(3 * time.Minute)
	})
}

func TestStoreOfRelayLost(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		w.feed(4000)
		w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Points == int64(w.fed) && w.courier.Relay().InFlight == 0 })
		w.broker.leave(w.relay)
		w.relay.set(func() { w.relay.empty("00000000000000bb"); w.relay.hold = false })
		time.Sleep(10 * time.Minute)
		w.broker.join(w.relay)
		w.all(5 * time.Minute)
	})
}

// A relay that never comes back keeps what it has until somebody says so.
func TestRelayNeverBack(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		other := newStandIn(t, "hub-2", "00000000000000cc", w.hub)
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		w.feed(4000)
		w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Points == int64(w.fed) && w.courier.Relay().InFlight == 0 })
		held := w.fed
		w.broker.leave(w.relay)
		w.broker.join(other)
		w.feed(1000)
		w.until(5*time.Minute, "the second relay delivers", func() bool { return w.store.Account().Delivered == int64(w.fed-held) })
		time.Sleep(20 * time.Minute)
		if n := w.courier.Relay().Points; n != int64(held) {
			t.Errorf("%d points are outstanding, want %d", n, held)
		}
		w.relay.tell(wire.StateLost, true)
		w.all(5 * time.Minute)
	})
}

// With two relays that take turns all arrives, and names that only one knows
// do no harm.
func TestTwoRelays(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		other := newStandIn(t, "hub-2", "00000000000000cc", w.hub)
		w.broker.join(w.relay)
		w.broker.join(other)
		w.start()
		for range 6 {
			w.feed(3000)
			time.Sleep(10 * time.Second)
		}
		w.all(3 * time.Minute)
		_, a := w.relay.blocksHeld()
		_, b := other.blocksHeld()
		if a == 0 || b == 0 {
			t.Errorf("%d and %d blocks", a, b)
		}
	})
}

func TestNamesMissing(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.broker.join(w.relay)
		w.start()
		w.feed(2000)
		w.all(time.Minute)
		w.relay.set(func() { w.relay.forget = true })
		w.feed(2000)
		w.all(time.Minute)
		if w.courier.Relay().Resends == 0 {
			t.Error("names were not asked for")
		}
	})
}

// Known names are left out.
func TestNamesLeftOut(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.broker.join(w.relay)
		w.start()
		w.feed(200)
		w.all(time.Minute)
		first := w.courier.State().BytesSent
		w.feed(200)
		w.all(time.Minute)
		if second := w.courier.State().BytesSent - first; second*3 > first*2 {
			t.Errorf("%d bytes with names, %d without", first, second)
		}
	})
}

func TestFull(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.full, w.relay.slow = 3, 30_000
		w.broker.join(w.relay)
		w.start()
		w.feed(4000)
		time.Sleep(15 * time.Second)
		if n := w.relay.came(); n == 0 || n > mostBlocks {
			t.Errorf("%d blocks came while the relay had no room", n)
		}
		w.all(5 * time.Minute)
	})
}

func TestRejected(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.reject = true
		w.broker.join(w.relay)
		w.start()
		w.feed(100)
		w.until(time.Minute, "dead letters", func() bool { return w.store.Account().DeadElsewhere == int64(w.fed) })
		if s := w.courier.State(); s.LinesRefused == 0 || s.LastError == "" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestCounts(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.counted = func(n int) *wire.Counts { return &wire.Counts{Delivered: int64(n - 3), LateLogged: 2, Evicted: 1} }
		w.broker.join(w.relay)
		w.start()
		w.feed(10)
		w.until(time.Minute, "settled", func() bool { return w.store.Account().Buffered == 0 })
		if a := w.store.Account(); a.Delivered != 7 || a.LateLogged != 2 || a.Evicted != 1 {
			t.Errorf("account %+v", a)
		}
	})
}

// Nothing is leased while no relay is online: it can become late here.
func TestNoRelay(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.start()
		w.feed(1000)
		time.Sleep(2 * time.Hour)
		w.feed(1) // late is what a commit finds to be
		w.until(time.Minute, "late", func() bool { return w.store.Account().LateArchived == 1000 })
		if s := w.courier.State(); s.State != "backoff" || s.LastError == "" {
			t.Errorf("state %+v", s)
		}
		if r := w.courier.Relay(); time.Since(r.NoneSince) < time.Hour {
			t.Errorf("custody %+v", r)
		}
		w.broker.join(w.relay)
		w.feed(10)
		w.until(3*time.Minute, "the fresh ones", func() bool { return w.store.Account().Delivered == 11 })
	})
}

func TestClock(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.trusted = false
		w.broker.join(w.relay)
		w.start()
		w.feed(100)
		time.Sleep(time.Minute)
		if w.relay.came() != 0 || w.courier.State().State != "clock" {
			t.Errorf("%d blocks came, state %+v", w.relay.came(), w.courier.State())
		}
		w.look(func() { w.trusted = true })
		w.all(time.Minute)
	})
}

func TestLinkFaults(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.broker.join(w.relay)
		w.start()
		for i := range 20 {
			w.feed(1000)
			if i%3 == 0 {
				w.broker.cut()
			}
			if i == 10 {
				w.broker.setDead(true)
				time.Sleep(10 * time.Minute)
				w.broker.setDead(false)
			}
			time.Sleep(time.Duration(i) * 300 * time.Millisecond)
		}
		w.all(10 * time.Minute)
	})
}

// A second broker is tried when no relay is at the first.
func TestOtherBroker(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		empty := newBroker()
		w.opts.Brokers = []string{"mqtt://127.0.0.1:1", "mqtt://127.0.0.1:2"}
		full := w.broker
		w.opts.Dial = func(ctx context.Context, c Call) (Conn, error) {
			if c.Broker == "mqtt://127.0.0.1:1" {
				return empty.dial(ctx, c)
			}
			return full.dial(ctx, c)
		}
		w.broker.join(w.relay)
		w.start()
		w.feed(100)
		w.all(5 * time.Minute)
		empty.setDead(true)
		empty.work.Wait()
	})
}

// A site that stops in order and starts again.
func TestRestart(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		for range 4 {
			w.feed(3000)
			time.Sleep(3 * time.Second)
			w.stop()
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			w.openStore()
			w.start()
		}
		time.Sleep(2 * time.Minute)
		w.relay.release(site)
		w.all(5 * time.Minute)
		if last := w.relay.states[len(w.relay.states)-1]; last.Boot != 5 || last.State != wire.StateOnline {
			t.Errorf("state %+v", last)
		}
	})
}

// The site is killed with blocks at every stage.
func TestKilled(t *testing.T) {
	stages := map[string]struct {
		before func(w *world)
		ready  func(w *world) bool
		after  func(w *world)
	}{
		"before they leave": {
			func(w *world) {}, func(w *world) bool { return w.courier.Relay().Waiting > 0 }, func(w *world) {},
		},
		"under way, and lost": {
			func(w *world) { w.relay.deaf = true }, func(w *world) bool { return w.courier.Relay().InFlight > 0 },
			func(w *world) { w.relay.deaf = false },
		},
		"at the relay, answer lost": {
			func(w *world) { w.relay.mute = true; w.relay.hold = true }, func(w *world) bool { return w.relay.came() > 0 },
			func(w *world) { w.relay.mute = false; w.relay.hold = false },
		},
		"stored": {
			func(w *world) { w.relay.hold = true }, func(w *world) bool { return w.courier.Relay().Stored > 0 }, func(w *world) { w.relay.hold = false },
		},
		"delivered, answer lost": {
			func(w *world) { w.relay.mute = true }, func(w *world) bool { return w.relay.came() > 0 }, func(w *world) { w.relay.mute = false },
		},
	}
	for name, s := range stages {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, w *world) {
				w.relay.set(func() { s.before(w) })
				w.broker.join(w.relay)
				w.start()
				w.feed(3000)
				w.until(time.Minute, "the stage", func() bool { return s.ready(w) })
				w.crash()
				w.relay.set(func() { s.after(w) })
				time.Sleep(20 * time.Minute)
				w.start()
				w.feed(100)
				time.Sleep(time.Minute)
				w.relay.release(site)
				w.all(10 * time.Minute)
			})
		})
	}
}

// What a restarted site finds claimed, and no relay has, becomes late here
// when its window has passed.
func TestKilledForLong(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.deaf = true
		w.broker.join(w.relay)
		w.start()
		w.feed(1000)
		w.until(time.Minute, "under way", func() bool { return w.courier.Relay().InFlight > 0 })
		w.crash()
		w.relay.set(func() { w.relay.deaf = false })
		time.Sleep(3 * time.Hour)
		w.start()
		w.until(10*time.Minute, "late", func() bool { return w.store.Account().LateArchived == 1000 })
		if n := len(w.store.Claims()); n != 0 {
			t.Errorf("%d claims are left", n)
		}
	})
}
