package relay

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
)

const silentAfter = 15 * time.Minute

func watchful(o *Options, _ *custody.Options) { o.SilentAfter = silentAfter }

// events takes the events that the relay has stored.
func (b *bench) events() (out []probes.Event) {
	b.t.Helper()
	l, err := b.relay.Shelf().Lease(buffer.Query{Entries: true, Kind: buffer.EventEntry, Max: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	if l == nil {
		return nil
	}
	for _, e := range l.Entries {
		event, err := record.ParseEvent(e.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, event)
	}
	if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) event(what string) probes.Event {
	b.t.Helper()
	var got []probes.Event
	b.await(what, func() bool { got = append(got, b.events()...); return len(got) > 0 })
	if len(got) != 1 {
		b.t.Fatalf("%s: %d events: %+v", what, len(got), got)
	}
	return got[0]
}

// quiet has the relay look for silent sites again and again; none may be told of.
func (b *bench) quiet(why string) {
	b.t.Helper()
	b.relay.lookForSilence(context.Background())
	if got := b.events(); len(got) > 0 {
		b.t.Fatalf("%s: %+v", why, got)
	}
}

func (s *standIn) state(state string, at time.Time) {
	data, _ := json.Marshal(wire.SiteState{State: state, At: at, Version: "9", Backlog: 5})
	s.t.Helper()
	if err := s.conn.Publish(context.Background(), mqtt.Message{Topic: wire.Topics{}.State(s.name), Payload: data, Retain: true, QoS: 1}); err != nil {
		s.t.Fatal(err)
	}
}

func property(e probes.Event, key string) string {
	for _, p := range e.Properties {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

func TestSilentSite(t *testing.T) {
	b := newBench(t, watchful)
	s := b.site("plant-7", 1)
	s.put(points("plant-7", 5, b.time()))
	s.state(wire.StateOnline, b.time())
	b.await("its state", func() bool {
		list := b.relay.sites.list()
		return len(list) == 1 && list[0].State.State == wire.StateOnline
	})
	heard := b.time()
	b.pass(silentAfter - time.Second)
	b.quiet("not silent for long enough")
	b.pass(2 * time.Second)
	e := b.event("the event of a silent site")
	if e.Type != "AVAILABILITY_EVENT" || e.Start.Wall != heard.UnixMilli() || e.End != (probes.Stamp{}) || e.Timeout == 0 {
		t.Errorf("event %+v", e)
	}
	if property(e, "site") != "plant-7" || property(e, "relay") != "hub-1" || !strings.HasPrefix(property(e, "edgehold.site_state"), "online") {
		t.Errorf("properties %+v", e.Properties)
	}
	b.pass(time.Hour)
	b.quiet("told once")
	b.pass(silenceAgain)
	again := b.event("it is kept open")
	if again.Title != e.Title || again.End != (probes.Stamp{}) {
		t.Errorf("event %+v", again)
	}
	s.state(wire.StateOnline, b.time().Add(time.Second))
	b.pass(time.Minute)
	end := b.event("its end")
	if end.Title != e.Title || end.End.Wall < b.time().Add(-2*time.Minute).UnixMilli() || end.Start.Wall > end.End.Wall {
		t.Errorf("event %+v", end)
	}
	b.quiet("it is over")
}

// A site that is lost is told of like one that says nothing, with other words;
// one that has stopped is not.
func TestLostAndStopped(t *testing.T) {
	b := newBench(t, watchful)
	lost, stopped := b.site("lost-1", 1), b.site("stopped-1", 1)
	for _, s := range []*standIn{lost, stopped} {
		s.put(points(s.name, 5, b.time()))
		s.state(wire.StateOnline, b.time())
	}
	lost.state(wire.StateLost, time.Time{})
	stopped.state(wire.StateStopped, b.time())
	b.await("their states", func() bool {
		list := b.relay.sites.list()
		return len(list) == 2 && list[0].State.State == wire.StateLost && list[1].State.State == wire.StateStopped
	})
	if got := b.relay.sites.list()[0].State; got.Version != "9" || got.Backlog != 5 {
		t.Errorf("the will has wiped out what is known: %+v", got)
	}
	b.pass(silentAfter + time.Second)
	e := b.event("the event of the lost one")
	if property(e, "site") != "lost-1" || !strings.HasPrefix(property(e, "edgehold.site_state"), "lost") {
		t.Errorf("event %+v", e)
	}
	b.pass(time.Hour)
	b.quiet("a site that has stopped is not silent")
}

// A relay that was away has not listened: nobody was silent because of that. What
// was told before a restart is not told again.
func TestSilenceOverRestarts(t *testing.T) {
	b := newBench(t, watchful)
	s := b.site("plant-7", 1)
	s.put(points("plant-7", 5, b.time()))
	b.close()
	b.pass(3 * time.Hour)
	b.open(watchful)
	b.quiet("the relay was away, not the site")
	b.pass(silentAfter + time.Second)
	e := b.event("now it is silent")
	b.await("the note is written", func() bool { return strings.Contains(string(b.store.KeptSite("plant-7")), `"silent":true`) })
	b.close()
	b.open(watchful)
	b.pass(time.Hour)
	b.quiet("it was told before the restart")
	s = b.siteAt("a", "plant-7", 2)
	s.put(points("plant-7", 5, b.time()))
	if end := b.event("its end"); end.Title != e.Title || end.End == (probes.Stamp{}) {
		t.Errorf("event %+v", end)
	}
	// A broker without a connection is deaf too.
	b.pass(silentAfter - time.Minute)
	b.relayConn("a").end(true)
	b.await("it is back", func() bool { return b.ownState("a").State == wire.StateOnline })
	b.pass(2 * time.Minute)
	b.quiet("nobody has listened all the time")
}

func TestDenyListTravels(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "deny.json")
	write := func(number int64, sig string) {
		data, err := sign.DenyList{Number: number, Issued: time.Now()}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{path + ".sig": []byte(sig), path: data} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(3, "signature-3")
	b := newBench(t, func(o *Options, _ *custody.Options) { o.DenyFile = path })
	published := func() (p denyPaper) {
		m := b.brokers["a"]
		m.mu.Lock()
		defer m.mu.Unlock()
		_ = json.Unmarshal(m.retained[wire.Topics{}.Deny()].Payload, &p)
		return p
	}
	b.await("the list", func() bool { return string(published().Sig) == "signature-3" })
	if list, err := sign.ParseDenyList(published().List); err != nil || list.Number != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	write(4, "signature-4")
	b.await("another list", func() bool { return string(published().Sig) == "signature-4" })
	write(2, "signature-2")
	b.await("an older one is refused", func() bool { return strings.Contains(b.relay.State().Deny, "number 2") })
	if string(published().Sig) != "signature-4" || b.relay.State().DenyNo != 4 {
		t.Error("an older list was published")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b.await("a missing one is told", func() bool { return strings.Contains(b.relay.State().Deny, "relay.deny_file") })
}

// The relay's own points go the way of all others, with its name on them.
func TestMeasure(t *testing.T) {
	b := newBench(t)
	m := b.relay.Measure()
	s := b.site("plant-7", 1)
	s.put(points("plant-7", 7, b.time()))
	if err := b.relay.Shelf().Settle(b.all(), []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
		t.Fatal(err)
	}
	s.expect(1, wire.StatusDelivered)
	if err := m.Tell(context.Background(), drain.State{AmbiguousPosts: 2}); err != nil {
		t.Fatal(err)
	}
	got := map[string]probes.Value{}
	for _, p := range b.all().Points {
		if p.Series.Dim("relay") != "hub-1" {
			t.Errorf("%s has no name of the relay", p.Series.Key())
		}
		got[p.Series.Key()+" "+p.Series.Dim("site")] = p.Value
	}
	for key, want := range map[string]int64{
		"edgehold.relay.blocks.stored hub": 1, "edgehold.relay.ambiguous_posts hub": 2, "edgehold.relay.sites hub": 1,
		"edgehold.relay.site.accepted plant-7": 7, "edgehold.relay.site.delivered plant-7": 7, "edgehold.relay.site.buffered plant-7": 0,
	} {
		if v, is := got[key]; !is || v != probes.Int(want) {
			t.Errorf("%s is %v, want %d", key, v, want)
		}
	}
	if st := b.relay.State(); len(st.Sites) != 1 || st.Sites[0].Name != "plant-7" {
		t.Errorf("the relay is among its sites: %+v", st.Sites)
	}
}
