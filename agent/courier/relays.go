package courier

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
)

// holder is a relay with the store that it has: with another store it is
// another holder.
type holder struct{ relay, store string }

// relay is what is known of one.
type relay struct {
	holder
	state   string // as it told, or its broker in its name
	version string
	lost    bool      // somebody has said that its store will not come back
	slow    time.Time // until when it wants nothing
	told    time.Time // that it says it is
	names   idSet     // that it has, of this epoch
}

// relays are those that have told of themselves over the broker in use.
type relays struct{ all map[string]*relay }

func newRelays() relays { return relays{make(map[string]*relay)} }

// told takes up the state of a relay. gone is the holder that will not come
// back, if there is one; came says that it is online and was not.
func (r *relays) told(id string, s wire.RelayState, now time.Time) (gone holder, came bool) {
	x := r.all[id]
	if x == nil {
		x = &relay{holder: holder{id, s.Store}}
		r.all[id] = x
	}
	if s.State != wire.StateOnline && s.At.Before(x.told) && s.Store != x.store {
		s.Store, s.DeclaredLost, s.At = x.store, x.lost, x.told // a will, or a word kept by another broker, from before the store of now
	}
	if x.store != s.Store {
		gone = r.replaced(x, s.Store)
	}
	came = s.State == wire.StateOnline && x.state != wire.StateOnline
	x.state, x.version, x.lost, x.told = s.State, s.Version, s.DeclaredLost, s.At
	x.slow = slowUntil(s.SlowMS, now)
	if x.lost {
		gone = x.holder
	}
	return gone, came
}

// replaced gives a relay another store: what the old one had is gone.
func (r *relays) replaced(x *relay, store string) (gone holder) {
	gone = x.holder
	x.store, x.names = store, idSet{}
	return gone
}

// answered takes up what comes with an answer. A relay that answers is there,
// whether or not it has told its state.
func (r *relays) answered(d *wire.Down, now time.Time) (x *relay, gone holder) {
	x = r.all[d.Relay]
	if x == nil {
		x = &relay{holder: holder{d.Relay, d.Store}}
		r.all[d.Relay] = x
	}
	if x.store != d.Store {
		gone = r.replaced(x, d.Store)
	}
	x.slow = slowUntil(d.SlowMS, now)
	return x, gone
}

// mostSlow is how long a relay may keep sites silent with one word.
const mostSlow = 10 * time.Minute

func slowUntil(ms int64, now time.Time) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(min(ms, mostSlow.Milliseconds())) * time.Millisecond)
}

// forget drops a relay whose state was taken back.
func (r *relays) forget(id string) { delete(r.all, id) }

// disconnected notes that nothing is known of who is online.
func (r *relays) disconnected() {
	for _, x := range r.all {
		x.state = ""
	}
}

func (x *relay) online() bool { return x.state == wire.StateOnline && !x.lost }

// online counts the relays that are.
func (r *relays) online() (n int) {
	for _, x := range r.all {
		if x.online() {
			n++
		}
	}
	return n
}

// open tells whether one of them takes blocks now; if none does, wait is how
// long until one that is slow will, 0 where none is online.
func (r *relays) open(now time.Time) (yes bool, wait time.Duration) {
	for _, x := range r.all {
		if !x.online() {
			continue
		}
		left := x.slow.Sub(now)
		if left <= 0 {
			return true, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return false, wait
}

// all of those that may hold what nobody has answered for: that their store
// is lost was not said of them.
func (r *relays) may() (holders []holder) {
	for _, x := range r.all {
		if !x.lost {
			holders = append(holders, x.holder)
		}
	}
	return holders
}

// know tells whether every relay that is online can name a series.
func (r *relays) know(id uint32) bool {
	any := false
	for _, x := range r.all {
		if x.online() {
			if !x.names.has(id) {
				return false
			}
			any = true
		}
	}
	return any
}

// ids are the relays in order.
func (r *relays) ids() (ids []string) {
	for id := range r.all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// idSet is a set of ids of series, which are dense.
type idSet struct{ words []uint64 }

func (s *idSet) has(id uint32) bool {
	return int(id/64) < len(s.words) && s.words[id/64]&(1<<(id%64)) != 0
}

func (s *idSet) add(ids []uint32) {
	for _, id := range ids {
		for int(id/64) >= len(s.words) {
			s.words = append(s.words, 0)
		}
		s.words[id/64] |= 1 << (id % 64)
	}
}
