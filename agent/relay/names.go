package relay

import (
	"fmt"
	"sync"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// mostSeries bounds the series that are known in memory, about 300 bytes each;
// long ones count as several. The names of what is beyond are read again when a
// block needs them.
const mostSeries = 1 << (16 + 4*(^uint(0)>>63))

// mostEpochs bounds the epochs of a site that are known in memory.
const mostEpochs = 16

// weight is what a series counts.
func weight(x *probes.Series) int { return 1 + x.Size()/512 }

// names knows the series of sites by their ids, as far as the store has them on
// the disk. Equal series of a site are one.
type names struct {
	store namesStore
	most  int

	mu    sync.Mutex
	sites map[string]*siteNames
	total int
	clock uint64
	of    uint64 // epoch of the store
}

type namesStore interface {
	Epoch() uint64
	NamesFrom(site string, epoch uint64, from int, fn func(names []byte) (more bool, err error)) (kept int, err error)
}

var _ namesStore = (*custody.Store)(nil)

type siteNames struct {
	series map[[16]byte]*probes.Series
	weight int // of these
	epochs map[uint64]*epochNames
	used   uint64
}

type epochNames struct {
	byID   map[uint32]*probes.Series
	read   int // names of the store that are among them
	weight int // of what was read
	full   bool
	used   uint64
}

func newNames(store namesStore) *names {
	return &names{store: store, most: mostSeries, sites: make(map[string]*siteNames)}
}

// epoch gives what is known of an epoch. It is called with mu held.
func (n *names) epoch(site string, epoch uint64) (*siteNames, *epochNames) {
	if of := n.store.Epoch(); of != n.of {
		n.of, n.sites, n.total = of, make(map[string]*siteNames), 0
	}
	s := n.sites[site]
	if s == nil {
		s = &siteNames{series: make(map[[16]byte]*probes.Series), epochs: make(map[uint64]*epochNames)}
		n.sites[site] = s
	}
	n.clock++
	s.used = n.clock
	e := s.epochs[epoch]
	if e == nil {
		s.forgetEpochs(mostEpochs - 1)
		e = &epochNames{byID: make(map[uint32]*probes.Series)}
		s.epochs[epoch] = e
	}
	e.used = n.clock
	return s, e
}

// forgetEpochs leaves at most so many, those that were used last.
func (s *siteNames) forgetEpochs(most int) {
	for len(s.epochs) > most {
		oldest, found := uint64(0), false
		for epoch, e := range s.epochs {
			if !found || e.used < s.epochs[oldest].used {
				oldest, found = epoch, true
			}
		}
		delete(s.epochs, oldest)
	}
}

// lookup names series of an epoch by their ids.
type lookup struct {
	names *names
	site  string
	epoch uint64

	again  bool  // the store was read, and has no more
	relied int   // how many names of the store were needed so far
	err    error // of the store
}

func (n *names) lookup(site string, epoch uint64) *lookup {
	return &lookup{names: n, site: site, epoch: epoch}
}

// series is nil where neither memory nor the store has the name.
func (l *lookup) series(id uint32) *probes.Series {
	n := l.names
	n.mu.Lock()
	defer n.mu.Unlock()
	s, e := n.epoch(l.site, l.epoch)
	x := e.byID[id]
	if x == nil && !l.again && l.err == nil {
		l.again = true
		l.err = n.read(l, s, e)
		x = e.byID[id]
	}
	if x != nil {
		l.relied = max(l.relied, e.read)
	}
	return x
}

// read takes up what the store has more of an epoch, as long as that is not too
// much: a block that needs a name beyond has to bring it.
func (n *names) read(l *lookup, s *siteNames, e *epochNames) error {
	kept, err := n.readFrom(l, s, e)
	if err == nil && kept < e.read { // they had their time, and begin anew
		*e = epochNames{byID: make(map[uint32]*probes.Series), used: e.used}
		_, err = n.readFrom(l, s, e)
	}
	n.makeRoom(s)
	return err
}

func (n *names) readFrom(l *lookup, s *siteNames, e *epochNames) (kept int, err error) {
	return n.store.NamesFrom(l.site, l.epoch, e.read, func(payload []byte) (bool, error) {
		if e.full = e.weight >= n.most/2; e.full {
			return false, nil
		}
		named, err := wire.ReadNames(payload)
		if err != nil {
			return false, fmt.Errorf("read names of site %s: %w", l.site, err)
		}
		for id, x := range named {
			e.byID[id] = n.same(s, x)
			e.weight += weight(x)
		}
		e.read++
		return true, nil
	})
}

// same gives the series that is known already, if it is.
func (n *names) same(s *siteNames, x *probes.Series) *probes.Series {
	if known := s.series[x.ID()]; known != nil {
		return known
	}
	s.series[x.ID()] = x
	s.weight += weight(x)
	n.total += weight(x)
	return x
}

// makeRoom forgets the sites that were not asked for longest, the one in use
// last.
func (n *names) makeRoom(inUse *siteNames) {
	for n.total > n.most {
		oldest := ""
		for name, s := range n.sites {
			if s != inUse && (oldest == "" || s.used < n.sites[oldest].used) {
				oldest = name
			}
		}
		if oldest == "" {
			n.forgetOld(inUse)
			return
		}
		n.total -= n.sites[oldest].weight
		delete(n.sites, oldest)
	}
}

// forgetOld drops all series of a single site but those of the epoch in use.
func (n *names) forgetOld(s *siteNames) {
	s.forgetEpochs(1)
	n.total -= s.weight
	s.series, s.weight = make(map[[16]byte]*probes.Series), 0
	for _, e := range s.epochs {
		for _, x := range e.byID {
			n.same(s, x)
		}
	}
}

// unify replaces the series of points by the ones that are known, so that one
// series is one whichever block named it.
// It gives what they weigh beside their points.
func (n *names) unify(site string, epoch uint64, points []probes.Point) (heavy int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, _ := n.epoch(site, epoch)
	seen := make(map[*probes.Series]*probes.Series)
	for i := range points {
		x := points[i].Series
		known := seen[x]
		if known == nil {
			known = n.same(s, x)
			seen[x] = known
			heavy += weight(known) - 1
		}
		points[i].Series = known
	}
	n.makeRoom(s)
	return heavy
}

// has tells whether the store has all names of a payload as they are.
func (n *names) has(site string, epoch uint64, payload []byte) bool {
	named, err := wire.ReadNames(payload)
	if err != nil {
		return false
	}
	l := n.lookup(site, epoch)
	for id, x := range named {
		known := l.series(id)
		if known == nil || known.ID() != x.ID() {
			return false
		}
	}
	return true
}

// full tells that no more names of an epoch are taken up.
func (n *names) full(site string, epoch uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, e := n.epoch(site, epoch)
	return e.full
}

// known is how many series are in memory.
func (n *names) known() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total
}

// forget drops what is known of an epoch: the store has lost some of it.
func (n *names) forget(site string, epoch uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.sites[site]; s != nil {
		delete(s.epochs, epoch)
	}
}
