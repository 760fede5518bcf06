package buffer

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// bytes is about what the work adds to the file.
func (w *work) bytes() (n int64) {
	for _, d := range w.drafts {
		n += footprint(len(d.framed))
	}
	for _, b := range w.names {
		n += 2 * footprint(len(b.value))
	}
	for _, data := range w.notes {
		n += footprint(len(data))
	}
	letters := int64(0)
	for _, st := range w.settlements {
		for _, x := range st.letters {
			letters += footprint(min(len(x.Line), maxLineBytes) + min(len(x.Reason), maxReasonSize))
		}
	}
	return n + min(letters, 2*w.letters)
}

// excess is how many bytes must go so that the file stays within its quota
// with a reserve: a commit writes all it changes to free pages before it frees
// the old ones. One step of growth is left out too, the file grows by whole
// ones.
func (s *Store) excess(w *work) int64 {
	reserve := max(s.o.MaxSize/32, 256<<10)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stat.UsedBytes + w.bytes() - (s.o.MaxSize - allocSize - reserve)
}

// makeRoom evicts in a commit of its own, where free pages are too scattered
// or too few for the work.
func (s *Store) makeRoom(w *work, bytes int64) error {
	return s.volume().write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		own := &work{busy: w.busy, open: w.open, isOpen: w.isOpen, touched: make(map[uint64]bool)}
		if len(w.drafts) > 0 { // the first one may go on with a segment that another one ends
			own.open, own.isOpen = w.drafts[0].segment, w.drafts[0].index > 0
		}
		if err := evict(tx, &l, own, bytes); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		if err := dropSettled(tx, &l, own); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		return writeLedger(tx, l)
	})
}

// evictAll brings the file back into its quota: the late archive goes first,
// then dead letters, then the oldest points.
func (s *Store) evictAll(tx *bbolt.Tx, l *ledger, w *work) error {
	if err := capDead(tx, l, w.letters); err != nil {
		return err
	}
	return evict(tx, l, w, s.excess(w))
}

// evict frees about so many bytes.
func evict(tx *bbolt.Tx, l *ledger, w *work, bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	bytes, err := evictSegments(tx, l, w, evictRule{bytes: bytes, archive: true, spare: w.busy})
	if err != nil || bytes <= 0 {
		return err
	}
	if bytes, err = evictLetters(tx, l, bytes); err != nil || bytes <= 0 {
		return err
	}
	if bytes, err = evictSegments(tx, l, w, evictRule{bytes: bytes, spare: w.busy}); err != nil || bytes <= 0 {
		return err
	}
	_, err = evictSegments(tx, l, w, evictRule{bytes: bytes})
	return err
}

// evictRule says which segments go: those that are late as a whole, or any,
// and which records are to be spared.
type evictRule struct {
	bytes   int64
	archive bool
	spare   map[uint64]bool
}

// evictSegments deletes segments, oldest first, until enough bytes are free.
// The open one stays. What is delivered while evicted stays counted as evicted.
func evictSegments(tx *bbolt.Tx, l *ledger, w *work, rule evictRule) (left int64, err error) {
	var victims []uint64
	left = rule.bytes
	var current []unit
	judge := func() error {
		if len(current) == 0 || left <= 0 {
			return nil
		}
		if ok, err := rule.allows(tx, l, w, current); err != nil || !ok {
			return err
		}
		victims = append(victims, current[0].base)
		for _, u := range current {
			size, err := u.size(tx)
			if err != nil {
				return err
			}
			left -= size
		}
		return nil
	}
	err = units(tx, 0, func(u unit) (bool, error) {
		if len(current) > 0 && current[0].base != u.base {
			if err := judge(); err != nil {
				return false, err
			}
			current = current[:0]
		}
		current = append(current, u)
		return left > 0, nil
	})
	if err == nil {
		err = judge()
	}
	for _, base := range victims {
		if err == nil {
			err = evictSegment(tx, l, w, base)
		}
	}
	return left, err
}

func (rule evictRule) allows(tx *bbolt.Tx, l *ledger, w *work, all []unit) (bool, error) {
	if w.isOpen && all[0].base == w.open.base {
		return false, nil
	}
	last := all[len(all)-1].span().to
	for n := range rule.spare {
		if n >= all[0].base && n < last {
			return false, nil
		}
	}
	if !rule.archive || last <= l.LateThrough {
		return true, nil
	}
	archived := true
	err := records(tx, all[0].base, func(r record) (bool, error) {
		if r.number() >= last {
			return false, nil
		}
		if r.number() >= l.LateThrough && !l.settled.has(r.span()) {
			m, err := readMark(tx, r.number())
			archived = m.late
			return archived, err
		}
		return true, nil
	})
	return archived, err
}

func evictSegment(tx *bbolt.Tx, l *ledger, w *work, base uint64) error {
	all, err := segmentUnits(tx, base)
	if err != nil {
		return err
	}
	for _, u := range all {
		var lost []record
		if _, err := u.each(tx, func(r record) (bool, error) { lost = append(lost, r); return true, nil }); err != nil {
			return err
		}
		for _, r := range lost {
			if err := l.move(tx, w, r, &l.Account.Evicted); err != nil {
				return err
			}
		}
	}
	return nil // dropSettled deletes it
}
