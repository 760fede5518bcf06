package buffer

import (
	"slices"

	"go.etcd.io/bbolt"
)

// giveUp counts as damaged what is open in the damaged records and in those
// that follow them in their segments, which cannot be decoded without them.
func giveUp(tx *bbolt.Tx, l *ledger, w *work) error {
	for first := range w.damaged {
		var lost []record
		err := records(tx, first, func(r record) (bool, error) {
			if len(lost) == 0 && r.number() != first || len(lost) > 0 && r.segment != lost[0].segment {
				return false, nil // it was deleted meanwhile; or the segment ends
			}
			lost = append(lost, r)
			return true, nil
		})
		if err != nil {
			return err
		}
		for _, r := range lost {
			if err := l.move(tx, w, r, &l.Account.Damaged); err != nil {
				return err
			}
		}
	}
	return nil
}

// move takes the open points of a record to a final state.
func (l *ledger) move(tx *bbolt.Tx, w *work, r record, to *int64) error {
	from, points, err := l.open(tx, r)
	if err != nil || from == nil {
		return err
	}
	*from -= points
	*to += points
	return l.close(tx, w, r)
}

// dropSettled deletes the segments that have no open point any more. They go
// as a whole, since each record is needed to decode those after it.
func dropSettled(tx *bbolt.Tx, l *ledger, w *work) error {
	for base := range w.touched {
		if w.isOpen && base == w.open.base {
			continue
		}
		if err := dropIfSettled(tx, l, base); err != nil {
			return err
		}
	}
	return nil
}

func dropIfSettled(tx *bbolt.Tx, l *ledger, base uint64) error {
	all, err := segmentUnits(tx, base)
	if err != nil || len(all) == 0 || all[0].first != base {
		return err
	}
	if !l.settled.has(spanOf[uint64]{base, all[len(all)-1].span().to}) {
		return nil
	}
	for _, u := range all {
		if err := u.delete(tx); err != nil {
			return err
		}
	}
	l.Segments--
	l.Guesses = l.Guesses.drop(spanOf[uint64]{base, all[len(all)-1].span().to})
	return nil
}

// The tail is sealed where it is longer than one of these. A commit writes the
// root page, so it must stay short; a chunk that is too small wastes its last
// page; and a large one is hard to find room for.
const (
	sealRecords  = 60
	sealLeast    = 32 << 10  // bytes that are worth a chunk
	sealBytes    = 384 << 10 // bytes that are a chunk whatever their number
	longTail     = 480       // records that are one whatever their size
	maxChunkSize = 512 << 10
)

// worthSealing tells whether to seal a tail of open and settled records. One
// that is mostly settled will be deleted soon.
func worthSealing(records, settled int, bytes int64) bool {
	if records >= longTail {
		return true
	}
	return settled*2 <= records && (bytes >= sealBytes || records >= sealRecords && bytes >= sealLeast)
}

// sealTail seals until the tail is short.
func sealTail(tx *bbolt.Tx, l *ledger) error {
	for {
		all, settled, size, err := readTail(tx, l)
		if err != nil || !worthSealing(len(all), settled, size) {
			return err
		}
		if err := sealOldest(tx, all); err != nil {
			return err
		}
	}
}

// sealOldest joins the oldest records of the tail, of one segment, into a
// chunk: each then takes the bytes it has instead of whole pages.
func sealOldest(tx *bbolt.Tx, all []unit) error {
	chunk, frames := all[0], []byte(nil)
	n := 0
	for ; n < len(all) && all[n].segment == chunk.segment; n++ {
		b, err := all[n].frames(tx)
		if err != nil {
			return err
		}
		if n > 0 && len(frames)+len(b) > maxChunkSize {
			break
		}
		frames = append(frames, b...)
		chunk.min, chunk.max = min(chunk.min, all[n].min), max(chunk.max, all[n].max)
	}
	chunk.tail, chunk.records, chunk.points = false, uint32(n), 0
	for _, u := range all[:n] {
		chunk.points += u.points
		if err := u.delete(tx); err != nil {
			return err
		}
	}
	parent := tx.Bucket(bucketChunks)
	parent.FillPercent = 1 // keys only ever grow
	own, err := parent.CreateBucket(chunkKey(chunk))
	if err != nil {
		return err
	}
	return own.Put(keyFrames, slices.Clip(frames))
}

// readTail gives the records that are not sealed, how many of them are
// settled, and their size.
func readTail(tx *bbolt.Tx, l *ledger) (all []unit, settled int, size int64, err error) {
	err = tail(tx, 0, func(u unit) (bool, error) {
		all = append(all, u)
		if l.settled.has(u.span()) {
			settled++
		}
		b, err := u.frames(tx)
		size += int64(len(b))
		return true, err
	})
	return all, settled, size, err
}
