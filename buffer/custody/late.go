package custody

import (
	"bytes"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

const (
	// sweeps is how often within the shorter window all blocks are looked at.
	sweeps = 120
	// mostLate bounds the blocks that one commit makes late.
	mostLate = 2000
	// retention is how long an epoch is known without a sign of it: twice what a
	// site keeps at most.
	retention = 60 * 24 * time.Hour
	// namesRest is how long the names of an epoch are kept without a sign of it,
	// where the site has begun another one and no block of it is open.
	namesRest = 24 * time.Hour
	// epochsACommit is how many epochs each commit looks at.
	epochsACommit = 16
)

// passed tells whether a block's newest point is older than its window.
func (s *Store) passed(kind uint8, last int64, now time.Time) bool {
	window := s.o.EntryWindow
	if kind == KindPoints {
		window = s.o.Window
	}
	return last < now.Add(-window).UnixMilli()
}

// takeLate gives the blocks that the clock has passed, and those that wait for
// a site that comes no more. It is called with mu held.
func (s *Store) takeLate() (late, lost []*block) {
	now := s.o.Now()
	if now.IsZero() {
		return nil, nil
	}
	step := min(s.o.Window, s.o.EntryWindow) / sweeps
	if d := now.Sub(s.swept); d < step && d > -step {
		return nil, nil
	}
	s.swept = now
	for _, b := range s.x.blocks {
		if len(late) == mostLate {
			s.swept = time.Time{}
			s.later() // the rest goes with the next commit
			break
		}
		switch {
		case !b.free() || b.open() == 0: // what is settled goes by itself
		case b.is(flagBroken):
			if b.received < now.Add(-retention).UnixMilli() {
				b.leaving, lost = true, append(lost, b)
			}
		case s.growsLate(b, now):
			b.leaving, late = true, append(late, b)
		}
	}
	return late, lost
}

// growsLate tells whether the sweep has something to do for a block.
func (s *Store) growsLate(b *block, now time.Time) bool {
	switch {
	case !b.is(flagLate):
		return s.passed(b.kind, b.last, now)
	case s.o.Late == Archive:
		return !b.is(flagTold) // the mode was another one before
	}
	return s.o.Late == Drop
}

// moveLate makes a block late, as the mode says.
func (p *pass) moveLate(number uint64) error {
	e, err := p.entry(number)
	if err != nil || e == nil || e.is(flagBroken) {
		return err
	}
	n := e.open()
	if !e.is(flagLate) {
		e.flags |= flagLate
		p.save(e)
		err = p.book(e.site, func(a *buffer.Account) { a.Buffered -= n; a.Late += n })
	}
	switch {
	case err != nil:
		return err
	case p.s.o.Late == Drop:
		return p.settle(number, []Part{{From: 0, To: int(e.points), Outcome: buffer.Dropped}})
	case p.s.o.Late == Archive && !e.is(flagTold):
		e.counts.LateArchived = n
		p.save(e)
		return p.finish(e)
	}
	return nil
}

// fits tells whether a block may be taken, and evicts archive for it, the
// site's own first where that is over its quota.
func (p *pass) fits(b *Block, x *epochState) (bool, error) {
	if x != nil && len(x.received) >= mostRuns {
		return false, nil
	}
	site, err := p.site(b.Site)
	if err != nil {
		return false, err
	}
	size := len(b.Data) + len(b.Names)
	for site.bytes+charge(uint32(size)) > p.s.o.SiteQuota {
		if there, err := p.evict(b.Site); !there || err != nil {
			return false, err
		}
	}
	for p.room < footprint(uint32(size)) {
		if there, err := p.evict(""); !there || err != nil {
			return false, err
		}
	}
	return true, nil
}

// evict deletes the oldest late block that its site knows of, of one site or
// of all.
func (p *pass) evict(site string) (bool, error) {
	b := p.s.takeArchived(site, p.w)
	if b == nil {
		return false, nil
	}
	e, err := p.entry(b.number)
	if err != nil || e == nil {
		return err == nil, err // it is gone already
	}
	return true, p.end(e, evicted, &e.counts.Evicted)
}

// takeArchived gives the oldest archived block that nobody uses.
func (s *Store) takeArchived(site string, w *work) *block {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.x.archive {
		if b.free() && (site == "" || b.site.name == site) {
			b.leaving = true
			w.evicted = append(w.evicted, b)
			return b
		}
	}
	return nil
}

// expire looks at the next few epochs, and forgets what nobody asks for any
// more.
func (p *pass) expire() error {
	c := p.tx.Bucket(bucketEpochs).Cursor()
	var keys [][]byte
	k, _ := c.Seek(p.w.epochsFrom)
	for ; k != nil && len(keys) < epochsACommit; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	p.w.epochsNext = bytes.Clone(k) // nil: from the start
	for _, key := range keys {
		site, epoch, _, err := splitEpochKey(key, 0)
		if err == nil {
			err = p.expireEpoch(site, epoch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) expireEpoch(site string, epoch uint64) error {
	x, err := p.epoch(site, epoch)
	if err != nil || x == nil || x.open > 0 || p.now == 0 {
		return err
	}
	of, err := p.site(site)
	if err != nil {
		return err
	}
	age := time.Duration(hours(p.now)-x.seen) * time.Hour
	if age <= namesRest || age <= retention && (x.names == 0 || of.latest == epoch) {
		return nil
	}
	if p.archived(site, epoch) {
		return nil // its blocks need the names
	}
	key := epochKey(site, epoch)
	if err := deletePrefix(p.tx.Bucket(bucketNames), key); err != nil {
		return err
	}
	of.bytes -= x.nbytes
	x.names, x.nbytes = 0, 0
	p.touch(site)
	p.touch(string(key))
	if age <= retention {
		return nil
	}
	p.epochs[string(key)] = nil
	of.bytes -= epochCharge
	end := epochKey(site, epoch, math.MaxUint64, math.MaxUint64) // behind all numbers
	if err := p.dropOutcomes(site, key, end); err != nil {
		return err
	}
	return p.tx.Bucket(bucketEpochs).Delete(key)
}

// archived tells whether late blocks of an epoch are kept.
func (p *pass) archived(site string, epoch uint64) bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for _, b := range p.s.x.archive {
		if b.epoch == epoch && b.site.name == site {
			return true
		}
	}
	return false
}

func deletePrefix(bucket *bbolt.Bucket, prefix []byte) error {
	c := bucket.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
