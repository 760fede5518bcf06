package courier

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// enter appends events and log records of now.
func (w *world) enter(events, logs int) {
	w.t.Helper()
	stamp := probes.Stamp{Wall: time.Now().UnixMilli()}
	var entries []buffer.Entry
	for i := range events {
		e := probes.Event{Type: "CUSTOM_INFO", Title: fmt.Sprint("event ", i), Start: stamp}
		entries = append(entries, buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: record.AppendEvent(nil, e)})
	}
	for i := range logs {
		r := probes.Record{Stamp: stamp, Severity: "INFO", Content: fmt.Sprint("log ", i)}
		entries = append(entries, buffer.Entry{Kind: buffer.LogEntry, Stamp: stamp, Data: record.AppendRecord(nil, r)})
	}
	if err := w.store.EnqueueEntries(entries).Wait(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) kinds() map[wire.Kind]int {
	found := map[wire.Kind]int{}
	w.relay.set(func() {
		for _, h := range w.relay.headers {
			found[h.Kind] += h.Count
		}
	})
	return found
}

func TestEventsAndLogs(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.broker.join(w.relay)
		w.start()
		w.enter(30, 500)
		w.feed(10)
		w.until(time.Minute, "all delivered", func() bool { return w.store.Account().Delivered == 540 })
		if k := w.kinds(); k[wire.Events] != 30 || k[wire.Logs] != 500 || k[wire.Points] != 10 {
			t.Errorf("%v", k)
		}
		if s := w.courier.State(); s.Lanes[laneEvents].Lines != 30 || s.Lanes[laneLogs].Lines != 500 || s.Lanes[laneLive].Points != 10 {
			t.Errorf("lanes %+v", s.Lanes)
		}
	})
}

// Late points leave as log records where the site says so, also over a kill.
func TestLateAsLogs(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill ", kill), func(t *testing.T) {
			run(t, func(t *testing.T, w *world) {
				w.opts.Late = drain.LateLogs
				w.feed(1000)
				w.enter(5, 5)
				time.Sleep(26 * time.Hour)
				w.feed(10)
				w.relay.hold = kill
				w.broker.join(w.relay)
				w.start()
				if kill {
					w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Points == 1020 })
					w.crash()
					w.relay.set(func() { w.relay.empty("00000000000000bb"); w.relay.hold = false })
					w.broker.join(w.relay)
					w.start()
				}
				w.until(3*time.Minute, "all left", func() bool {
					a := w.store.Account()
					return a.LateLogged == 1010 && a.Delivered == 10 && a.Buffered == 0
				})
				if k := w.kinds(); k[wire.Events] != 0 || k[wire.Logs] == 0 {
					t.Errorf("%v", k)
				}
			})
		})
	}
}

func TestLateDropped(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.opts.Late = drain.LateDrop
		w.feed(1000)
		time.Sleep(2 * time.Hour)
		w.feed(10)
		w.start() // no relay is needed for it
		w.until(time.Minute, "dropped", func() bool { return w.store.Account().LateDropped == 1000 })
	})
}

// Of a backlog what expires first leaves first, and fresh points before it.
func TestBacklog(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for range 10 {
			w.feed(2000)
			time.Sleep(3 * time.Minute)
		}
		w.feed(50)
		w.broker.join(w.relay)
		w.start()
		w.all(10 * time.Minute)
		slices.SortFunc(w.relay.headers, func(a, b wire.Header) int { return cmp.Compare(a.Seq, b.Seq) })
		if first := w.relay.headers[0]; first.Lane != wire.Live {
			t.Errorf("the first block is %+v", first)
		}
		last := int64(0)
		for _, h := range w.relay.headers {
			if h.Lane == wire.Backlog {
				if h.First < last {
					t.Errorf("block %d begins before the one that left earlier", h.Seq)
				}
				last = h.First
			}
			if h.Deadline != h.First+time.Hour.Milliseconds() {
				t.Errorf("deadline %d of a block from %d", h.Deadline, h.First)
			}
		}
	})
}

// What cannot arrive in time does not leave.
func TestTooLate(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.feed(1000)
		time.Sleep(58 * time.Minute)
		w.broker.join(w.relay)
		w.start()
		w.feed(10)
		w.until(time.Minute, "the fresh ones", func() bool { return w.store.Account().Delivered == 10 })
		time.Sleep(5 * time.Minute)
		w.feed(10)
		w.until(time.Minute, "late", func() bool { a := w.store.Account(); return a.LateArchived == 1000 && a.Delivered == 20 })
		if n := w.kinds()[wire.Points]; n != 20 {
			t.Errorf("%d points left", n)
		}
	})
}

func TestBudget(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.opts.Budget = drain.Budget{Rate: 100}
		w.feed(5000)
		time.Sleep(5 * time.Minute)
		w.broker.join(w.relay)
		w.start()
		w.feed(50)
		w.until(10*time.Second, "live points", func() bool { return w.store.Account().Delivered >= 50 })
		before := w.courier.State().Lanes[laneWindow].Wire
		time.Sleep(time.Minute)
		if n := w.courier.State().Lanes[laneWindow].Wire - before; n > 6000+(4<<10)+overhead || n == 0 {
			t.Errorf("%d bytes left in a minute at 100 bytes/s", n)
		}
		w.all(20 * time.Minute)
	})
}

// The own state is told, and taken leave with.
func TestOwnState(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.opts.About = func() About { return About{Version: "1.2.3", Config: "abc", Backlog: 7} }
		w.broker.join(w.relay)
		w.start()
		time.Sleep(150 * time.Second)
		w.stop()
		var words []string
		w.relay.set(func() {
			for _, s := range w.relay.states {
				words = append(words, s.State)
			}
		})
		first := w.relay.states[0]
		if len(words) != 4 || words[0] != wire.StateOnline || words[3] != wire.StateStopped {
			t.Errorf("states %v", words)
		}
		if first.Version != "1.2.3" || first.Config != "abc" || first.Backlog != 7 || first.Boot != 1 || len(first.Epochs) != 1 {
			t.Errorf("state %+v", first)
		}
		w.start()
	})
}

func TestDenyList(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		got := make(chan string, 1)
		w.opts.OnDeny = func(list []byte) { got <- string(list) }
		w.broker.retain(mqtt.Message{Topic: wire.Topics{}.Deny(), Payload: []byte("list"), Retain: true})
		w.start()
		if text := <-got; text != "list" {
			t.Errorf("%q", text)
		}
	})
}

// Another target takes effect at once.
func TestChange(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.opts.Prefix = "old"
		w.broker.join(w.relay)
		w.start()
		w.feed(100)
		time.Sleep(10 * time.Second)
		if w.relay.came() != 0 {
			t.Error("blocks came over other topics")
		}
		target := w.opts.Target
		target.Prefix = ""
		w.courier.Change(target)
		w.all(time.Minute)
	})
}
