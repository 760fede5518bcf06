package buffer

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// bytes is about what the work adds to the file.
func (w *work) bytes() (n int64) {
	for _, d := range w.drafts {
		n += footprint(len(d.content) + 4)
	}
	for _, st := range w.settlements {
		for _, x := range st.letters {
			n += footprint(len(x.Line) + len(x.Reason))
		}
	}
	return n
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
	return s.write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		if err := evict(tx, &l, bytes, w.busy); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		return writeLedger(tx, l)
	})
}

// evict deletes the oldest records until bytes are free. Those with leases
// out go last: what is delivered while evicted stays counted as evicted.
func evict(tx *bbolt.Tx, l *ledger, bytes int64, busy map[uint64]bool) error {
	for _, spare := range []map[uint64]bool{busy, nil} {
		if bytes <= 0 {
			return nil
		}
		var victims []recordKey
		records := tx.Bucket(bucketRecords)
		err := scan(tx, 0, func(key recordKey, value []byte) (bool, error) {
			if !spare[key.seq] {
				victims = append(victims, key)
				bytes -= footprint(len(payload(records, key.bytes(), value)))
			}
			return bytes > 0, nil
		})
		if err != nil {
			return err
		}
		if err := evictRecords(tx, l, victims); err != nil {
			return err
		}
	}
	return nil
}

func evictRecords(tx *bbolt.Tx, l *ledger, victims []recordKey) error {
	for _, key := range victims {
		m, err := readMark(tx, key.seq)
		if err != nil {
			return err
		}
		open := int64(key.count) - m.settled.count()
		*l.Account.held(m.late || key.seq < l.LateThrough) -= open
		l.Account.Evicted += open
		l.Records--
		if err := deleteRecord(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// letter is a point that can never be sent, as it was sent.
type letter struct {
	Time   time.Time `json:"time"`
	Line   string    `json:"line"`
	Reason string    `json:"reason"`
}

// Limits of the dead letters: a line is at most what the endpoint would have
// read, a reason what a person would.
const (
	maxDead       = 10_000
	maxDeadBytes  = 4 << 20
	maxLineBytes  = 64 << 10
	maxReasonSize = 1 << 10
)

func (x letter) put(tx *bbolt.Tx, l *ledger) error {
	x.Line = x.Line[:min(len(x.Line), maxLineBytes)]
	x.Reason = x.Reason[:min(len(x.Reason), maxReasonSize)]
	content, err := json.Marshal(x)
	if err != nil {
		return err
	}
	dead, key := tx.Bucket(bucketDead), number(l.NextDead)
	dead.FillPercent = 1
	sealed := seal(key, content)
	l.NextDead++
	l.DeadBytes += int64(len(sealed))
	return dead.Put(key, sealed)
}

// capDead evicts the oldest dead letters beyond the limits.
func (s *Store) capDead(tx *bbolt.Tx, l *ledger) error {
	most := min(maxDeadBytes, s.o.MaxSize/16)
	c := tx.Bucket(bucketDead).Cursor()
	for l.Account.DeadLetter > maxDead || l.DeadBytes > most {
		key, value := c.First()
		if key == nil {
			return nil
		}
		l.DeadBytes -= int64(len(value))
		l.Account.DeadLetter--
		l.Account.Evicted++
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
