package relay

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// all leases everything that is there.
func (b *bench) all() *buffer.Lease {
	b.t.Helper()
	l, err := b.relay.Shelf().Lease(buffer.Query{Max: 1 << 20})
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

func TestStoredThenDelivered(t *testing.T) {
	b := newBench(t)
	s := b.site("plant-7", 42)
	first := s.put(points("plant-7", 100, b.time()))
	s.forgetAnswers()
	for id := range uint32(100) {
		s.known[id] = true
	}
	second := s.put(points("plant-7", 100, b.time().Add(time.Second))) // without names
	_, down := s.last(second)
	if down.Store != wire.FormatEpoch(b.store.Epoch()) || down.Relay != "hub-1" || down.SlowMS != 0 {
		t.Errorf("answer %+v", down)
	}
	l := b.all()
	if l == nil || len(l.Points) != 200 {
		t.Fatalf("leased %+v", l)
	}
	for i := range l.Points {
		want := points("plant-7", 100, b.time().Add(time.Duration(i/100)*time.Second))[i%100]
		if got := l.Points[i]; got.Series.ID() != want.Series.ID() || got.Value != want.Value || got.Stamp != want.Stamp {
			t.Fatalf("point %d is %+v, want %+v", i, got, want)
		}
	}
	each := make([]buffer.Settlement, 200)
	for i := range each {
		each[i].Outcome = buffer.Delivered
	}
	each[150] = buffer.Settlement{Outcome: buffer.Refused, Line: "m.50 gauge,1", Reason: "bad"}
	if err := b.relay.Shelf().Settle(l, each); err != nil {
		t.Fatal(err)
	}
	if a := s.expect(first, wire.StatusDelivered); a.Counts != nil {
		t.Errorf("counts %+v where all was delivered", a.Counts)
	}
	if a := s.expect(second, wire.StatusDelivered); a.Counts == nil || *a.Counts != (wire.Counts{Delivered: 99, DeadLetter: 1}) {
		t.Errorf("counts %+v", a.Counts)
	}
	s.forgetAnswers()
	s.seq = second - 1
	s.send(s.block(points("plant-7", 100, b.time().Add(time.Second))))
	if a := s.expect(second, wire.StatusDelivered); a.Counts == nil || a.Counts.DeadLetter != 1 {
		t.Errorf("sent again: %+v", a)
	}
	if a := b.store.Account(); a.Accepted != 200 || a.Delivered != 199 || a.DeadLetter != 1 {
		t.Errorf("account %+v", a)
	}
}

// Each of these is answered, and none is stored.
func TestBlocksThatAreNotStored(t *testing.T) {
	b := newBench(t)
	now := b.time()
	cases := []struct {
		name   string
		make   func(s *standIn) []byte
		status string
		reason string
	}{
		{"probe", func(s *standIn) []byte {
			s.seq++
			data, err := wire.AppendProbe(nil, wire.Header{Lane: wire.Live, Site: s.name, Epoch: s.epoch, Seq: s.seq}, 5000)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}, wire.StatusStored, ""},
		{"names", func(s *standIn) []byte {
			for id := range uint32(10) {
				s.known[id] = true
			}
			return s.block(points(s.name, 10, now))
		}, wire.StatusNames, ""},
		{"other site in the points", func(s *standIn) []byte { return s.block(points("else", 10, now)) }, wire.StatusRejected, "site=\"else\""},
		{"other site in the header", func(s *standIn) []byte {
			name := s.name
			defer func() { s.name = name }()
			s.name = "else"
			return s.block(points("else", 10, now))
		}, wire.StatusRejected, "site else"},
		{"guess", func(s *standIn) []byte {
			list := points(s.name, 10, now)
			for i := range list {
				list[i].Stamp.Guess = true
			}
			return s.block(list)
		}, wire.StatusRejected, "guesses"},
		{"event of another site", func(s *standIn) []byte {
			return s.entries(wire.Events, record.AppendEvent(nil, probes.Event{Type: "CUSTOM_INFO", Title: "x", Properties: []probes.Dimension{{Key: "site", Value: "else"}}}))
		}, wire.StatusRejected, "site=\"else\""},
		{"event that is none", func(s *standIn) []byte { return s.entries(wire.Events, []byte("rubbish")) }, wire.StatusRejected, "entry 0"},
		{"log record that is none", func(s *standIn) []byte { return s.entries(wire.Logs, []byte("rubbish")) }, wire.StatusRejected, "entry 0"},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := b.site("plant-7", uint64(100+i))
			s.send(c.make(s))
			if a := s.expect(s.seq, c.status); !strings.Contains(a.Reason, c.reason) {
				t.Errorf("reason %q, want %q in it", a.Reason, c.reason)
			}
		})
	}
	if a := b.store.Account(); a.Accepted != 0 {
		t.Errorf("stored: %+v", a)
	}
	s := b.site("plant-7", 7)
	s.send([]byte("this is no block"))
	s.say("edgehold/v1/plant-7/up/99", []byte("a lane that is not its own"))
	b.await("both are counted", func() bool { return b.relay.State().Counts.Garbled == 2 })
}

func (s *standIn) entries(kind wire.Kind, data ...[]byte) []byte {
	s.t.Helper()
	s.seq++
	var list []wire.Entry
	for _, d := range data {
		list = append(list, wire.Entry{Kind: uint8(kind - wire.Events + 1), Stamp: probes.Stamp{Boot: probes.BootID{2}, Wall: time.Now().UnixMilli()}, Data: d})
	}
	block, n, err := s.write.AppendEntries(nil, wire.Header{Kind: kind, Lane: wire.Live, Site: s.name, Epoch: s.epoch, Seq: s.seq}, list, 0)
	if err != nil || n != len(list) {
		s.t.Fatalf("%d entries: %v", n, err)
	}
	return block
}

func TestEventsAndLogsAreLeased(t *testing.T) {
	b := newBench(t)
	s := b.site("plant-7", 1)
	s.send(s.entries(wire.Events, record.AppendEvent(nil, probes.Event{Type: "CUSTOM_INFO", Title: "x"})))
	s.send(s.entries(wire.Logs, record.AppendRecord(nil, probes.Record{Content: "y"})))
	s.expect(2, wire.StatusStored)
	for kind, want := range map[buffer.EntryKind]int{buffer.EventEntry: 1, buffer.LogEntry: 1, 0: 2} {
		l, err := b.relay.Shelf().Lease(buffer.Query{Entries: true, Kind: kind, Max: 10})
		if err != nil || l == nil || len(l.Entries) != want {
			t.Fatalf("kind %d: %+v, %v", kind, l, err)
		}
		if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Later}}); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := b.relay.Shelf().Lease(buffer.Query{Entries: true, Max: 10})
	if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		t.Fatal(err)
	}
	s.expect(1, wire.StatusDelivered)
	s.expect(2, wire.StatusDelivered)
	if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err == nil {
		t.Error("a lease is settled twice")
	}
}

func TestFullAsksToWait(t *testing.T) {
	b := newBench(t, func(_ *Options, disk *custody.Options) { disk.SiteQuota = 40_000 })
	loud, quiet := b.site("loud", 1), b.site("quiet", 1)
	status := wire.StatusStored
	for range 200 {
		loud.send(loud.block(points("loud", 500, b.time())))
		b.await("an answer", func() bool { a, _ := loud.last(loud.seq); status = a.Status; return status != "" })
		if status != wire.StatusStored {
			break
		}
	}
	_, down := loud.last(loud.seq)
	if status != wire.StatusFull || down.SlowMS < 10_000 {
		t.Fatalf("status %s, wait %d ms", status, down.SlowMS)
	}
	quiet.put(points("quiet", 500, b.time()))
	if _, down := quiet.last(1); down.SlowMS != 0 {
		t.Errorf("a quiet site is to wait %d ms", down.SlowMS)
	}
	full := loud.seq
	if err := b.relay.Shelf().Settle(b.all(), []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		t.Fatal(err)
	}
	loud.expect(1, wire.StatusDelivered)
	loud.say(wire.Topics{}.Ask("loud"), ask(t, wire.Ask{Epoch: wire.FormatEpoch(1), Floor: full}))
	loud.seq = full - 1
	b.await("room again", func() bool {
		loud.seq = full - 1
		loud.send(loud.block(points("loud", 500, b.time())))
		a, _ := loud.last(full)
		return a.Status == wire.StatusStored
	})
}

func ask(t *testing.T, a wire.Ask) []byte {
	t.Helper()
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAsksAreAnswered(t *testing.T) {
	b := newBench(t)
	s := b.site("plant-7", 9)
	for range 3 {
		s.put(points("plant-7", 10, b.time()))
	}
	l, _ := b.relay.Shelf().Lease(buffer.Query{Max: 10})
	if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		t.Fatal(err)
	}
	s.expect(1, wire.StatusDelivered)
	s.forgetAnswers()
	question := wire.Ask{Epoch: wire.FormatEpoch(9), Floor: 1, Seq: []wire.Range{{1, 4}}}
	question.Relay = "hub-2"
	s.say(wire.Topics{}.Ask("plant-7"), ask(t, question))
	question.Relay = "hub-1"
	s.say(wire.Topics{}.Ask("plant-7"), ask(t, question))
	s.expect(4, wire.StatusUnknown)
	s.expect(1, wire.StatusDelivered)
	s.expect(2, wire.StatusStored)
	s.expect(3, wire.StatusStored)
	s.mu.Lock()
	for _, d := range s.downs {
		if d.Relay != "hub-1" {
			t.Errorf("answer %+v", d)
		}
	}
	s.mu.Unlock()
}

// A site may move from one broker to another at any time.
func TestAnswersFindTheSite(t *testing.T) {
	b := newBench(t)
	b.brokers["b"] = newMemoryBroker()
	b.relay.Change(Network{Brokers: []string{"a", "b"}, Dial: b.dial})
	b.await("both brokers", func() bool { return b.ownState("b").State == wire.StateOnline })
	here, there := b.siteAt("a", "plant-7", 5), b.siteAt("b", "plant-7", 5)
	there.names, there.write = here.names, here.write
	one := here.put(points("plant-7", 10, b.time()))
	there.seq = one
	two := there.put(points("plant-7", 10, b.time().Add(time.Second)))
	if a, _ := here.last(two); a.Status != "" {
		t.Errorf("the answer to block %d went where the site is not: %+v", two, a)
	}
	if err := b.relay.Shelf().Settle(b.all(), []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*standIn{here, there} { // wherever it is now
		s.expect(one, wire.StatusDelivered)
		s.expect(two, wire.StatusDelivered)
	}
	b.relay.Change(Network{Brokers: []string{"b"}, Dial: b.dial})
	b.await("the first broker is left", func() bool { return len(b.relay.State().Brokers) == 1 })
}

func TestTellsOfItself(t *testing.T) {
	b := newBench(t)
	s := b.ownState("a")
	if s.Store != wire.FormatEpoch(b.store.Epoch()) || s.Version != "test" || s.DeclaredLost {
		t.Errorf("state %+v", s)
	}
	conn := b.relayConn("a")
	if will, err := wire.ParseRelayState(conn.will.Payload); err != nil || will.State != wire.StateLost || !conn.will.Retain {
		t.Errorf("will %s, %v", conn.will.Payload, err)
	}
	conn.end(true)
	b.await("it comes back after a cut", func() bool { return b.ownState("a").State == wire.StateOnline })
	site := b.site("plant-7", 3)
	site.put(points("plant-7", 5, b.time()))
	b.stop()
	if got := b.ownState("a").State; got != wire.StateStopped {
		t.Errorf("state after the stop: %s", got)
	}
	b.stop = func() {}
}

func TestSlowFor(t *testing.T) {
	last := int64(-1)
	for i := range 101 {
		ms := slowFor(float64(i) / 100)
		if ms < last || (ms == 0) != (i == 0) || ms > mostSlow.Milliseconds() {
			t.Errorf("pressure %d%%: %d ms after %d", i, ms, last)
		}
		last = ms
	}
	if last < mostSlow.Milliseconds()/2 {
		t.Errorf("at the end %d ms", last)
	}
}
