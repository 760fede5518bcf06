package relay

import (
	"encoding/json"
	"maps"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
)

// Site is what a relay knows of a site beside its account.
type Site struct {
	Name   string
	Heard  time.Time // a block, a question or a word of its own; zero: never
	Silent bool      // for longer than it may be; an event has told so
	State  wire.SiteState
	Broker string // where it was heard last, in this run
	Fault  string // why the last block that was not taken was not
	Slow   time.Duration
}

// siteNote is what is kept of a site over a restart.
type siteNote struct {
	Heard  time.Time      `json:"heard,omitzero"`
	Silent bool           `json:"silent,omitempty"`
	Since  time.Time      `json:"since,omitzero"` // of the silence, as its event says
	Told   time.Time      `json:"told,omitzero"`  // when its event was sent last
	State  wire.SiteState `json:"state"`
}

// site is one in memory.
type site struct {
	siteNote
	last    string          // broker
	ever    map[string]bool // brokers
	fault   string
	blamed  time.Time // when the log heard of a fault last
	changed bool      // since its note was written
	slow    int64
	refused bool      // its last block was not taken for want of room
	asked   float64   // blocks that it has asked about and that count
	askedAt time.Time // when that was
}

// sites are those that were ever heard of.
type sites struct {
	store       *custody.Store
	silentAfter time.Duration

	mu     sync.Mutex
	all    map[string]*site
	nobody site // whose faults are nobody's
}

// newSites takes up the notes of earlier runs.
func newSites(store *custody.Store, silentAfter time.Duration) *sites {
	s := &sites{store: store, silentAfter: silentAfter, all: make(map[string]*site)}
	for _, name := range store.NotedSites() {
		x := s.of(name)
		_ = json.Unmarshal(store.KeptSite(name), &x.siteNote) // one that cannot be read is as none
	}
	return s
}

// of is called with mu held, or by newSites.
func (s *sites) of(name string) *site {
	x := s.all[name]
	if x == nil {
		x = &site{ever: make(map[string]bool)}
		s.all[name] = x
	}
	return x
}

// heard notes that a site is there.
func (s *sites) heard(name, broker string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of(name)
	x.Heard, x.last, x.changed = now, broker, true
	x.ever[broker] = true
}

// A site may ask about so many blocks at once, and again as many in this time:
// answers cost more than questions, and all sites wait for them.
const (
	mostQuestions = 1 << 16
	questionsTime = time.Minute
)

// mayAsk tells whether a site may ask about so many blocks, and counts them.
func (s *sites) mayAsk(name string, n int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of(name)
	over := now.Sub(x.askedAt).Seconds() / questionsTime.Seconds() * mostQuestions
	x.asked, x.askedAt = max(0, x.asked-max(0, over)), now
	if x.asked+float64(n) > mostQuestions {
		return false
	}
	x.asked += float64(n)
	return true
}

// told takes up the state that a site tells of itself, or its broker in its
// name. A retained one is from some time before.
func (s *sites) told(name, broker string, state wire.SiteState, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of(name)
	if state.State == wire.StateLost { // the rest of a will is as of the connect
		lost := x.State
		lost.State = state.State
		if lost.At.IsZero() {
			lost = state
		}
		state = lost
	} else if at.After(x.Heard) {
		x.Heard = at
	}
	x.State, x.changed = state, true
	if x.last == "" {
		x.last = broker
	}
	x.ever[broker] = true
}

// blameAgain is how long the log hears of no other fault of a site.
const blameAgain = 10 * time.Second

// blame notes a fault of a site; false: the log need not hear of it, for it is
// the same as before, or there are many of them.
func (s *sites) blame(name, fault string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[name]
	if x == nil {
		x = &s.nobody
	}
	same := x.fault == fault
	x.fault = fault
	if same || !x.blamed.IsZero() && now.Sub(x.blamed) < blameAgain && !now.Before(x.blamed) {
		return false
	}
	x.blamed = now
	return true
}

// full notes that a block found no room.
func (s *sites) full(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(name).refused = true
}

// slowed sets how long sites are to wait by their own account, in ms.
func (s *sites) slowed(ms map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, x := range s.all {
		x.slow, x.refused = ms[name], x.refused && ms[name] > 0
	}
}

func (s *sites) slowOf(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[name]
	switch {
	case x == nil:
		return 0
	case x.refused:
		return mostSlow.Milliseconds()
	}
	return x.slow
}

// places are the broker where a site was heard last, and all where it ever was.
func (s *sites) places(name string) (last string, ever map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[name]
	if x == nil {
		return "", nil
	}
	return x.last, maps.Clone(x.ever)
}

// save writes down what has changed.
func (s *sites) save() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, x := range s.all {
		if !x.changed {
			continue
		}
		if note, err := json.Marshal(x.siteNote); err == nil {
			s.store.KeepSite(name, note)
			x.changed = false
		}
	}
}

// list gives all sites by name.
func (s *sites) list() []Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Site, 0, len(s.all))
	for name, x := range s.all {
		out = append(out, Site{
			Name: name, Heard: x.Heard, Silent: x.Silent, State: x.State, Broker: x.last, Fault: x.fault,
			Slow: time.Duration(x.slow) * time.Millisecond,
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// mostWord bounds what is kept of the words of a site, in bytes.
const mostWord = 100

func clip(word string) string { return strings.ToValidUTF8(word[:min(len(word), mostWord)], "") }

// hear takes the state of a site.
func (r *Relay) hear(b *broker, topics wire.Topics, in mqtt.Incoming) {
	defer in.Ack()
	what, name, ok := topics.Parse(in.Topic)
	if !ok || what != wire.StateTopic || len(in.Payload) == 0 {
		return
	}
	state, err := wire.ParseSiteState(in.Payload)
	if err != nil {
		r.garbled(name, err)
		return
	}
	state.Version, state.Config, state.Epochs = clip(state.Version), clip(state.Config), nil // they are kept
	at := r.opts.Now()
	if in.Retained && state.At.Before(at) {
		at = state.At
	}
	r.sites.told(name, b.url, state, at)
}
