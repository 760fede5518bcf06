package courier

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/probes"
)

// hub is what all stand-in relays have delivered.
type hub struct {
	mu     sync.Mutex
	points map[string]int // how often each arrived
	logs   int
}

func newHub() *hub { return &hub{points: make(map[string]int)} }

func pointName(p probes.Point) string {
	return fmt.Sprintf("%s %d %v", p.Series.ID(), p.Stamp.Wall, p.Value)
}

func (h *hub) deliver(points []probes.Point, entries []wire.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range points {
		h.points[pointName(p)]++
	}
	h.logs += len(entries)
}

// arrived counts different points, and those that came more than once.
func (h *hub) arrived() (different, twice int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.points {
		different++
		if n > 1 {
			twice++
		}
	}
	return different, twice
}

// held is a block at a stand-in relay.
type held struct {
	points  []probes.Point
	entries []wire.Entry
	counts  *wire.Counts
	done    bool
}

type blockKey struct{ epoch, seq uint64 }

// standIn is the hub's side of the protocol, in memory.
type standIn struct {
	t      testing.TB
	id     string
	hub    *hub
	topics wire.Topics
	say    func(m mqtt.Message)

	mu      sync.Mutex // guards what follows
	store   string
	names   map[uint64]map[uint32]*probes.Series
	blocks  map[blockKey]*held
	order   []blockKey
	got     int // blocks that came
	asked   []wire.Ask
	states  []wire.SiteState
	headers []wire.Header

	// What it does.
	hold    bool  // nothing is delivered until release
	mute    bool  // answers are lost
	deaf    bool  // blocks are lost
	twice   bool  // each answer comes twice
	full    int   // so many blocks are not taken
	slow    int64 // with full
	forget  bool  // it lacks the names of the next block
	reject  bool  // it takes no block
	counted func(n int) *wire.Counts
}

func newStandIn(t testing.TB, id, store string, h *hub) *standIn {
	s := &standIn{t: t, id: id, hub: h}
	s.empty(store)
	return s
}

// empty gives it another store.
func (s *standIn) empty(store string) {
	s.store, s.names, s.blocks, s.order = store, make(map[uint64]map[uint32]*probes.Series), make(map[blockKey]*held), nil
}

func (s *standIn) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// tell publishes its state.
func (s *standIn) tell(state string, lost bool) {
	s.mu.Lock()
	payload, _ := json.Marshal(wire.RelayState{State: state, Store: s.store, Version: "test", DeclaredLost: lost})
	s.mu.Unlock()
	s.say(mqtt.Message{Topic: s.topics.RelayState(s.id), Payload: payload, Retain: true, QoS: 1})
}

// hear takes a message of a site.
func (s *standIn) hear(topic string, payload []byte) {
	what, site, ok := s.topics.Parse(topic)
	if !ok {
		return
	}
	switch what {
	case wire.UpTopic:
		s.block(site, payload)
	case wire.AskTopic:
		s.ask(site, payload)
	case wire.StateTopic:
		if state, err := wire.ParseSiteState(payload); err == nil {
			s.set(func() { s.states = append(s.states, state) })
		} else {
			s.t.Errorf("state of the site: %v", err)
		}
	}
}

func (s *standIn) block(site string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := wire.ParseHeader(payload)
	if err != nil || h.Site != site {
		s.t.Errorf("block of %s: %+v: %v", site, h, err)
		return
	}
	s.got++
	s.headers = append(s.headers, h)
	if s.deaf {
		return
	}
	key := blockKey{h.Epoch, h.Seq}
	if b := s.blocks[key]; b != nil {
		s.answer(site, key, s.status(b), b.counts)
		return
	}
	if s.reject {
		s.answer(site, key, wire.StatusRejected, nil)
		return
	}
	if s.full > 0 {
		s.full--
		s.answer(site, key, wire.StatusFull, nil)
		return
	}
	if s.forget {
		s.forget = false
		delete(s.names, h.Epoch)
		if _, brings, _ := wire.NamesIn(payload); brings == nil && !h.Local {
			s.answer(site, key, wire.StatusNames, nil)
			return
		}
	}
	b, err := s.read(h, payload)
	if missing := (*wire.MissingError)(nil); errors.As(err, &missing) {
		s.answer(site, key, wire.StatusNames, nil)
		return
	}
	if err != nil {
		s.t.Errorf("block %d of %s: %v", h.Seq, site, err)
		return
	}
	s.blocks[key] = b
	s.order = append(s.order, key)
	s.answer(site, key, wire.StatusStored, nil)
	if !s.hold {
		s.deliver(site, key)
	}
}

func (s *standIn) status(b *held) string {
	if b.done {
		return wire.StatusDelivered
	}
	return wire.StatusStored
}

func (s *standIn) read(h wire.Header, payload []byte) (*held, error) {
	names := s.names[h.Epoch]
	if names == nil {
		names = make(map[uint32]*probes.Series)
		s.names[h.Epoch] = names
	}
	if h.Kind != wire.Points {
		entries, err := wire.NewReader().Entries(payload)
		for _, e := range entries {
			if e.Kind == 2 && err == nil {
				_, err = record.ParseRecord(e.Data)
			}
		}
		return &held{entries: entries}, err
	}
	if _, brought, err := wire.NamesIn(payload); err != nil {
		return nil, err
	} else if brought != nil {
		more, err := wire.ReadNames(brought)
		if err != nil {
			return nil, err
		}
		for id, x := range more {
			names[id] = x
		}
	}
	points, err := wire.NewReader().Points(payload, func(id uint32) *probes.Series { return names[id] })
	return &held{points: points}, err
}

// deliver settles a block, and says so.
func (s *standIn) deliver(site string, key blockKey) {
	b := s.blocks[key]
	if b.done {
		return
	}
	b.done = true
	if s.counted != nil {
		b.counts = s.counted(len(b.points) + len(b.entries))
	}
	s.hub.deliver(b.points, b.entries)
	s.answer(site, key, wire.StatusDelivered, b.counts)
}

// release delivers what is held, the last first.
func (s *standIn) release(site string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = false
	for i := len(s.order) - 1; i >= 0; i-- {
		s.deliver(site, s.order[i])
	}
}

func (s *standIn) answer(site string, key blockKey, status string, counts *wire.Counts) {
	ack := wire.Ack{Epoch: wire.FormatEpoch(key.epoch), Seq: []wire.Range{{key.seq, key.seq}}, Status: status, Counts: counts}
	if status == wire.StatusRejected {
		ack.Reason = "not wanted"
	}
	s.answerAll(site, ack)
}

func (s *standIn) answerAll(site string, ack wire.Ack) {
	if s.mute {
		return
	}
	d := wire.Down{Relay: s.id, Store: s.store, Acks: []wire.Ack{ack}}
	if ack.Status == wire.StatusFull {
		d.SlowMS = s.slow
	}
	payload, err := json.Marshal(d)
	if err != nil {
		s.t.Error(err)
	}
	m := mqtt.Message{Topic: s.topics.Down(site), Payload: payload, QoS: 1}
	s.say(m)
	if s.twice {
		s.say(m)
	}
}

func (s *standIn) ask(site string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := wire.ParseAsk(payload)
	if err != nil {
		s.t.Errorf("question: %v", err)
		return
	}
	s.asked = append(s.asked, a)
	epoch, _ := wire.ParseEpoch(a.Epoch)
	same := map[string][]uint64{}
	for _, r := range a.Seq {
		for seq := r[0]; seq <= r[1]; seq++ {
			key := blockKey{epoch, seq}
			switch b := s.blocks[key]; {
			case b == nil:
				same[wire.StatusUnknown] = append(same[wire.StatusUnknown], seq)
			case b.counts != nil:
				s.answer(site, key, s.status(b), b.counts)
			default:
				same[s.status(b)] = append(same[s.status(b)], seq)
			}
		}
	}
	for status, seqs := range same {
		s.answerAll(site, wire.Ack{Epoch: a.Epoch, Seq: wire.Ranges(seqs), Status: status})
	}
}

func (s *standIn) blocksHeld() (open, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blocks {
		if !b.done {
			open++
		}
	}
	return open, len(s.blocks)
}

func (s *standIn) came() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}
