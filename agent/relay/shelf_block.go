package relay

import (
	"errors"
	"math"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// opened is a block that was read. What it holds may be forgotten again while
// nothing of it is lent; what is known of it stays.
type opened struct {
	info    custody.Info
	points  []probes.Point // or
	entries []buffer.Entry // nil both: forgotten
	fate    []fate         // by position
	weight  int            // of what is read, in points
	free    int            // positions
	lent    int            // positions
	first   int64          // oldest time of those that are free, or unknown
	round   int            // of the last Lease that looked into it
	still   bool           // a query of the live lane found nothing in it that it wants
}

// unknown is before all times.
const unknown = math.MinInt64

// fate is what is known of a position.
type fate uint8

const (
	free fate = iota
	lent
	gone
)

// mostKnown bounds the blocks that are known without being read.
const mostKnown = 1 << 16

// open reads a block, if it may hold something that is wanted; nil if not.
func (s *Shelf) open(info custody.Info, w want) (*opened, error) {
	b := s.opened[info.Number]
	if b != nil {
		b.info = info
		if b.free == 0 || b.first > w.newest || b.still && w.live && w.Match != nil && w.Whole == 0 {
			return nil, nil
		}
		if b.points != nil || b.entries != nil {
			return s.inUse(b, w), nil
		}
	}
	data, err := s.store.Data(info.Number)
	switch {
	case errors.Is(err, custody.ErrGone) || errors.Is(err, custody.ErrRecalled):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if b == nil {
		b = s.begin(info)
	}
	if err := s.read(b, data); err != nil {
		// It was read before it was stored, so what it needs has been lost since.
		s.log.Warn().Str("site", info.Site).Uint64("seq", info.Seq).Err(err).Msg("a block cannot be read; its site is to send it again")
		s.store.Recall(info.Number)
		delete(s.opened, info.Number)
		return nil, nil
	}
	b.first = unknown
	b = s.inUse(b, w)
	s.makeRoom()
	return b, nil
}

// inUse gives a block that was read, if it holds something in time.
func (s *Shelf) inUse(b *opened, w want) *opened {
	b.round = s.round
	if b.first == unknown {
		b.look()
	}
	if b.first > w.newest {
		return nil
	}
	return b
}

// begin notes which positions are open.
func (s *Shelf) begin(info custody.Info) *opened {
	b := &opened{info: info, fate: make([]fate, info.Points)}
	for i := range b.fate {
		b.fate[i] = gone
	}
	for _, span := range s.store.OpenSpans(info.Number) {
		for i := span.From; i < span.To; i++ {
			b.fate[i] = free
			b.free++
		}
	}
	s.opened[info.Number] = b
	return b
}

var errOther = errors.New("it holds another number of points than it did")

func (s *Shelf) read(b *opened, data []byte) error {
	if b.info.Kind != uint8(wire.Points) {
		entries, err := s.reader.Entries(data)
		if err != nil {
			return err
		}
		b.entries = make([]buffer.Entry, len(entries))
		size := 0
		for i, e := range entries {
			size += len(e.Data)
			b.entries[i] = buffer.Entry{Kind: buffer.EntryKind(e.Kind), Stamp: e.Stamp, Data: e.Data}
		}
		return s.weigh(b, len(entries), size/512)
	}
	names := s.names.lookup(b.info.Site, b.info.Epoch)
	points, err := s.reader.Points(data, names.series)
	if err != nil {
		return errors.Join(err, names.err)
	}
	heavy := s.names.unify(b.info.Site, b.info.Epoch, points)
	b.points = points
	return s.weigh(b, len(points), heavy)
}

// weigh counts what was read; long names and entries weigh as many points.
func (s *Shelf) weigh(b *opened, n, heavy int) error {
	if err := b.fits(n); err != nil {
		return err
	}
	b.weight = n + heavy
	s.inside += b.weight
	return nil
}

func (b *opened) fits(n int) error {
	if n == len(b.fate) {
		return nil
	}
	b.points, b.entries = nil, nil
	return errOther
}

// wall is when a position was measured. An entry whose time is a guess counts as
// of when it came.
func (b *opened) wall(i int) int64 {
	stamp := probes.Stamp{}
	if b.points != nil {
		stamp = b.points[i].Stamp
	} else {
		stamp = b.entries[i].Stamp
	}
	if stamp.Guess {
		return b.info.Received.UnixMilli()
	}
	return stamp.Wall
}

// look finds the oldest time that is free.
func (b *opened) look() {
	b.first = math.MaxInt64
	for i, f := range b.fate {
		if f == free {
			b.first = min(b.first, b.wall(i))
		}
	}
}

// collect adds what fits of a block, at most so many.
func (b *opened) collect(found []candidate, w want, most int) []candidate {
	for i, f := range b.fate {
		if f != free || most == 0 {
			continue
		}
		wall := b.wall(i)
		if wall < w.oldest || wall > w.newest || w.Match != nil && b.points != nil && !w.Match(b.points[i].Series) {
			continue
		}
		found = append(found, candidate{place{b.info.Number, int32(i)}, wall, b})
		most--
	}
	return found
}

func (b *opened) lend(i int32) {
	b.fate[i] = lent
	b.free--
	b.lent++
	if b.free > 0 && b.wall(int(i)) == b.first {
		b.first = unknown // looked for when it matters
	}
}

// giveBack ends the lease of a position.
func (b *opened) giveBack(i int32, done bool) {
	b.lent--
	b.fate[i] = gone
	if !done {
		b.fate[i] = free
		b.free++
		b.first, b.still = min(b.first, b.wall(int(i))), false
	}
}

// reopen takes back what could not be settled.
func (b *opened) reopen(parts []custody.Part) {
	for _, p := range parts {
		for i := p.From; i < p.To; i++ {
			if b.fate[i] == gone {
				b.fate[i] = free
				b.free++
			}
		}
	}
	b.first, b.still = unknown, false
}

// drop forgets a block.
func (s *Shelf) drop(b *opened) {
	s.forget(b)
	delete(s.opened, b.info.Number)
}

// forget frees what a block holds.
func (s *Shelf) forget(b *opened) {
	if b.points != nil || b.entries != nil {
		s.inside -= b.weight
		b.points, b.entries = nil, nil
	}
}

// makeRoom forgets what blocks hold of which nothing is lent and that this Lease
// does not use, and all of blocks that are no longer there.
func (s *Shelf) makeRoom() {
	if s.inside <= mostOpened && len(s.opened) <= mostKnown {
		return
	}
	gone := len(s.opened) > mostKnown
	for number, b := range s.opened {
		if b.round == s.round || b.lent > 0 {
			continue
		}
		if gone {
			if _, there := s.store.Info(number); !there {
				s.drop(b)
				continue
			}
		}
		if s.inside > mostOpened/2 {
			s.forget(b)
		}
	}
}
