package buffer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Selection says what Read gives.
type Selection struct {
	Oldest, Newest time.Time                 // wall time, both included; zero: no bound
	Match          func(*probes.Series) bool // nil: all series
	Settled        bool                      // also what is settled and not deleted yet
	From           uint64                    // number of the record to begin with
}

// PointState is where a point stands.
type PointState uint8

// The states of points that Read gives.
const (
	Buffered PointState = 1
	Late     PointState = 2
	Settled  PointState = 3 // delivered, refused or given up, and not deleted yet
)

// String names the state.
func (s PointState) String() string {
	switch s {
	case Buffered:
		return "buffered"
	case Late:
		return "late"
	case Settled:
		return "settled"
	}
	return "unknown"
}

// Page is what Read gives of one record. It is valid until the function that
// gets it returns. What has no true time has a stamp that is a guess, and comes
// only where the selection has no bounds in time.
type Page struct {
	Record   uint64 // its number; Selection.From = Record+1 goes on behind it
	Done, Of int64  // bytes of records read so far, and of all there were at the start
	Points   []probes.Point
	Entries  []Entry
	State    []PointState // of each point, or of each entry
}

// Read gives what the file holds, oldest record first, without leasing it. No
// transaction stays open while fn runs. Points that come after the start may
// be left out; those that are deleted meanwhile are. A damaged record, with
// those behind it in its segment, is left out too: the error that tells of it
// comes when all others were given, and the next commit counts it as damaged.
func (s *Store) Read(ctx context.Context, sel Selection, fn func(Page) error) error {
	err := s.onVolume(func(v *volume) error {
		return v.read(ctx, sel, func(p Page) error {
			sel.From = p.Record + 1 // where to go on in a new file
			return fn(p)
		})
	})
	if err != nil {
		return fmt.Errorf("read buffer %s: %w", s.o.Path, err)
	}
	return nil
}

// onVolume reads, and goes on in the new file if the old one was copied
// meanwhile.
func (s *Store) onVolume(read func(v *volume) error) error {
	epoch := s.holds.epochNow()
	for {
		v := s.volume()
		err := read(v)
		if bad := (*recordError)(nil); errors.As(err, &bad) && epoch == s.holds.epochNow() {
			s.holds.mu.Lock()
			_, _ = s.reportDamage(bad)
			s.holds.mu.Unlock()
		}
		if errors.Is(err, errMoved) && s.isClosed() {
			return ErrClosed
		}
		if !errors.Is(err, errMoved) || epoch != s.holds.epochNow() {
			return err
		}
	}
}

// reading is one Read on its way.
type reading struct {
	v        *volume
	sel      Selection
	fn       func(Page) error
	old, new int64
	cursor   *cursor
	page     Page

	end     uint64 // records from here on were not there at the start
	next    uint64 // the record to go on with: those before were given
	records []held // of the last unit
	frames  []byte
	late    uint64
	series  []*probes.Series
	guesses guesses
	lost    error // of the first open record that cannot be read
}

// held is a record with what became of its points.
type held struct {
	record
	mark
	dating
	closed bool // it has no open points
}

func (v *volume) read(ctx context.Context, sel Selection, fn func(Page) error) error {
	r := &reading{v: v, sel: sel, fn: fn, old: math.MinInt64, new: math.MaxInt64, cursor: newCursor(v.codec)}
	if !sel.Oldest.IsZero() {
		r.old = sel.Oldest.UnixMilli()
	}
	if !sel.Newest.IsZero() {
		r.new = sel.Newest.UnixMilli()
	}
	next, err := r.begin()
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if next, err = r.load(next); err != nil {
			return err
		}
		if len(r.records) == 0 {
			return r.lost
		}
		for _, x := range r.records {
			if err := r.emit(x); err != nil {
				return err
			}
		}
		r.next = next
	}
}

// begin counts what there is, and finds the first record that must be decoded.
func (r *reading) begin() (first uint64, err error) {
	first = r.sel.From
	err = r.v.view(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		r.end = l.NextRecord
		err = units(tx, first, func(u unit) (bool, error) {
			first = min(first, u.base)
			return false, nil
		})
		if err != nil {
			return err
		}
		return units(tx, 0, func(u unit) (bool, error) {
			b, err := u.frames(tx)
			r.page.Of += int64(len(b))
			if u.first < first {
				r.page.Done += int64(len(b))
			}
			return true, err
		})
	})
	return first, err
}

// load copies the unit that holds the record, or the next one, out of the file.
func (r *reading) load(from uint64) (next uint64, err error) {
	r.records = r.records[:0]
	next = from
	err = r.v.view(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		r.late, r.series, r.guesses = l.LateThrough, r.v.names.all(), l.Guesses
		return units(tx, from, func(u unit) (bool, error) {
			if u.first >= r.end {
				return false, nil
			}
			next = u.span().to
			needed, err := r.needs(tx, u, &l)
			if err == nil && needed {
				err = r.copy(tx, u, &l)
			}
			if err != nil || needed {
				return false, err
			}
			b, err := u.frames(tx)
			r.page.Done += int64(len(b))
			return true, err
		})
	})
	return next, err
}

// needs reports whether anything of the segment may be wanted of the unit: a
// segment is decoded from its start.
func (r *reading) needs(tx *bbolt.Tx, u unit, l *ledger) (needed bool, err error) {
	if u.first != u.base && !(r.cursor.at == u.segment && r.cursor.next > 0) {
		return false, nil
	}
	d := r.guesses.of(u.first) // and of all its segment
	err = units(tx, u.first, func(x unit) (bool, error) {
		if x.segment != u.segment {
			return false, nil
		}
		needed = r.within(d, x.min, x.max) && x.span().to > r.sel.From && (r.sel.Settled || !l.settled.has(x.span()))
		return !needed, nil
	})
	return needed, err
}

func (r *reading) copy(tx *bbolt.Tx, u unit, l *ledger) error {
	b, err := u.frames(tx)
	if err != nil {
		return err
	}
	r.frames = bytes.Clone(b)
	rest := r.frames
	_, err = u.each(tx, func(record) (bool, error) {
		x := held{dating: r.guesses.of(u.first)}
		if x.record, rest, err = cutRecord(rest); err != nil {
			return false, err
		}
		if x.closed = l.settled.has(x.span()); !x.closed {
			if x.mark, err = readMark(tx, x.number()); err != nil {
				return false, err
			}
		}
		r.records = append(r.records, x)
		return true, nil
	})
	return err
}

// emit decodes one record and hands out what is wanted of it.
func (r *reading) emit(x held) error {
	given := x.number() < r.next // its unit was joined with later ones meanwhile
	if given && r.cursor.at == x.segment && r.cursor.next > x.index {
		return nil
	}
	if x.index == 0 {
		r.cursor.reset(x.segment)
	}
	if !given {
		r.page.Done = min(r.page.Done+int64(x.frame.size), r.page.Of)
	}
	if err := r.cursor.decode(x.record, len(r.series)); err != nil {
		r.cursor.reset(segment{})
		if !x.closed && r.lost == nil { // closed: it was given up, with those behind it in its segment
			r.lost = err
		}
		return nil
	}
	if given || x.number() < r.sel.From || !r.within(x.dating, x.min, x.max) || x.closed && !r.sel.Settled {
		return nil
	}
	r.page.Record = x.number()
	r.page.Points, r.page.Entries, r.page.State = r.page.Points[:0], r.page.Entries[:0], r.page.State[:0]
	at := uint32(0)
	for _, g := range r.cursor.groups {
		r.group(x, g, at)
		at += uint32(len(g.IDs))
	}
	for i, e := range r.cursor.entries {
		if state, ok := r.state(x, uint32(i), e.Stamp); ok {
			r.page.Entries, r.page.State = append(r.page.Entries, fromEntry(e, x.dating)), append(r.page.State, state)
		}
	}
	if len(r.page.State) == 0 {
		return nil
	}
	return r.fn(r.page)
}

func (r *reading) group(x held, g arc.Group, at uint32) {
	for i, id := range g.IDs {
		state, ok := r.state(x, at+uint32(i), g.Stamp)
		if ok && (r.sel.Match == nil || r.sel.Match(r.series[id])) {
			r.page.Points, r.page.State = append(r.page.Points, toPoint(g, i, r.series, x.dating)), append(r.page.State, state)
		}
	}
}

// within tells whether the bounds touch a part of time. What has no true time
// is in no bounds.
func (r *reading) within(d dating, from, to int64) bool {
	if d.state != timed {
		return r.old == math.MinInt64 && r.new == math.MaxInt64
	}
	return d.wall(to) >= r.old && d.wall(from) <= r.new
}

// state tells the state of a point, and whether it is wanted.
func (r *reading) state(x held, i uint32, stamp arc.Stamp) (PointState, bool) {
	if !r.within(x.dating, stamp.Wall, stamp.Wall) {
		return 0, false
	}
	switch {
	case x.closed || x.settled.has(span{i, i + 1}):
		return Settled, r.sel.Settled
	case x.late || x.number() < r.late:
		return Late, true
	}
	return Buffered, true
}
