package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// A site that says another epoch with every block takes no more memory for it.
func TestEpochsByTheHundred(t *testing.T) {
	b := newBench(t)
	s := b.site("plant-7", 0)
	for id := range uint32(3) {
		s.known[id] = true // and leaves out all names
	}
	for range 5 * mostEpochs {
		s.epoch++
		s.send(s.block(points("plant-7", 3, b.time())))
		s.expect(s.seq, wire.StatusNames)
	}
	n := b.relay.names
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := len(n.sites["plant-7"].epochs); got > mostEpochs {
		t.Errorf("%d epochs are known", got)
	}
}

// heavy is a point of a series with a long name that takes few bytes in a block.
func heavy(site string, i int, at time.Time) []probes.Point {
	s := probes.NewSeries(fmt.Sprintf("m.%d", i), probes.Gauge, probes.Dimension{Key: "site", Value: site}, probes.Dimension{Key: "x", Value: strings.Repeat("long ", 40_000)})
	return []probes.Point{{Series: s, Value: probes.Int(int64(i)), Stamp: probes.Stamp{Wall: at.UnixMilli()}}}
}

// Names that are small in a block and large in memory are known up to a bound;
// what is beyond has to come with each block, and no point is lost.
func TestHeavyNames(t *testing.T) {
	b := newBench(t)
	const many, most = 20, 2000 // 390 each
	b.relay.names.most = most
	s := b.site("plant-7", 5)
	for i := range many {
		s.put(heavy("plant-7", i, b.time()))
	}
	if got := b.relay.names.known(); got > most+400 {
		t.Errorf("names in memory weigh %d", got)
	}
	for id := range uint32(many) {
		s.known[id] = true
	}
	s.put(heavy("plant-7", 0, b.time()))
	s.send(s.block(heavy("plant-7", many-1, b.time())))
	s.expect(s.seq, wire.StatusNames)
	s.known = map[uint32]bool{}
	s.put(heavy("plant-7", many-1, b.time()))
	l := b.all()
	if l == nil || len(l.Points) != many+2 {
		t.Fatalf("leased %v", l)
	}
	b.relay.shelf.mu.Lock()
	defer b.relay.shelf.mu.Unlock()
	if got := b.relay.shelf.inside; got < 300*many {
		t.Errorf("what is read weighs %d", got)
	}
}

// Answers cost more than questions: a site gets so many in a minute.
func TestEndlessQuestions(t *testing.T) {
	b := newBench(t)
	s := b.site("plant-7", 9)
	question := ask(t, wire.Ask{Epoch: wire.FormatEpoch(9), Floor: 1, Seq: []wire.Range{{1, wire.MaxSeqs}}})
	s.say(wire.Topics{}.Ask("plant-7"), question)
	s.expect(wire.MaxSeqs, wire.StatusUnknown)
	s.forgetAnswers()
	s.say(wire.Topics{}.Ask("plant-7"), question)
	other := b.site("plant-8", 9)
	other.say(wire.Topics{}.Ask("plant-8"), ask(t, wire.Ask{Epoch: wire.FormatEpoch(9), Floor: 1, Seq: []wire.Range{{1, 5}}}))
	other.expect(5, wire.StatusUnknown)
	if a, _ := s.last(1); a.Status != "" {
		t.Errorf("answer %+v", a)
	}
	b.pass(time.Minute)
	s.say(wire.Topics{}.Ask("plant-7"), question)
	s.expect(1, wire.StatusUnknown)
}

// A state as large as a message may be is kept as far as it is of use.
func TestLargeState(t *testing.T) {
	b := newBench(t)
	state := wire.SiteState{State: wire.StateOnline, Version: strings.Repeat("v", 50_000), Config: strings.Repeat("\u00e9", 20_000), Boot: 3}
	for i := range uint64(500) {
		state.Epochs = append(state.Epochs, wire.FormatEpoch(i))
	}
	data, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	conn := b.brokers["a"].dial(mqtt.Message{})
	newStandIn(t, "plant-7", conn, 1).say(wire.Topics{}.State("plant-7"), data)
	b.await("the state", func() bool {
		all := b.relay.State().Sites
		return len(all) == 1 && all[0].State.Boot == 3
	})
	b.await("its note", func() bool { return len(b.store.KeptSite("plant-7")) > 0 })
	if n := len(b.store.KeptSite("plant-7")); n > 1000 {
		t.Errorf("a note of %d bytes, of at most %d", n, custody.MaxNote)
	}
	if x := b.relay.State().Sites[0].State; len(x.Version) > mostWord || len(x.Config) > mostWord || x.Epochs != nil {
		t.Errorf("state %+v", x)
	}
}

// A site whose blocks have another fault each time does not fill the log, and
// one without a number is answered by nothing that the site cannot read.
func TestFaultsByTheHundred(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	b := newBench(t, func(o *Options, _ *custody.Options) {
		o.Log = zerolog.New(writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}))
	})
	s := b.site("plant-7", 9)
	s.seq = math.MaxUint64
	s.send(s.block(points("plant-7", 1, b.time()))) // 0
	for i := range 100 {
		s.send(s.block(points(fmt.Sprintf("plant-%d", 100+i), 1, b.time())))
		s.say(wire.Topics{}.Up("plant-7"), fmt.Appendf(nil, "no block %d", i))
		s.say(fmt.Sprintf("edgehold/v1/plant-7/up/x%d", i), nil)
	}
	s.expect(100, wire.StatusRejected)
	b.await("all of them", func() bool { return b.relay.State().Counts.Garbled == 201 })
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "\"warn\""); n > 2 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
