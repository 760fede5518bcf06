package buffer

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Letter is a point that can never be sent, as it was sent.
type Letter struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind,omitempty"` // of the line: "" a metric line, "event", "log"
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

func (x Letter) put(tx *bbolt.Tx, l *ledger) error {
	x.Line = x.Line[:min(len(x.Line), maxLineBytes)]
	x.Reason = x.Reason[:min(len(x.Reason), maxReasonSize)]
	x.Number = l.NextDead
	content, err := json.Marshal(x)
	if err != nil {
		return err
	}
	dead, key := tx.Bucket(bucketDead), number(l.NextDead)
	dead.FillPercent = 1
	sealed := keyed(frameLetter, key, content)
	l.NextDead++
	l.DeadBytes += int64(len(sealed))
	return dead.Put(key, sealed)
}

// dropLetter deletes a dead letter, if it is there.
func dropLetter(tx *bbolt.Tx, l *ledger, n uint64) (there bool, err error) {
	dead, key := tx.Bucket(bucketDead), number(n)
	value := dead.Get(key)
	if value == nil {
		return false, nil
	}
	l.DeadBytes -= int64(len(value))
	l.Account.DeadLetter--
	return true, dead.Delete(key)
}

func mostLetters(quota int64) int64 { return min(maxDeadBytes, quota/16) }

// capDead evicts the oldest dead letters beyond the limits.
func capDead(tx *bbolt.Tx, l *ledger, most int64) error {
	c := tx.Bucket(bucketDead).Cursor()
	for l.Account.letters() > maxDead || l.DeadBytes > most {
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

// evictLetters deletes the oldest dead letters until enough bytes are free.
func evictLetters(tx *bbolt.Tx, l *ledger, bytes int64) (left int64, err error) {
	c := tx.Bucket(bucketDead).Cursor()
	for k, v := c.First(); k != nil && bytes > 0; k, v = c.First() {
		bytes -= footprint(len(v))
		l.DeadBytes -= int64(len(v))
		l.Account.DeadLetter--
		l.Account.Evicted++
		if err := c.Delete(); err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// DeadLetters gives the dead letters, oldest first.
func (s *Store) DeadLetters(fn func(Letter) error) error {
	next := uint64(0) // where to go on in a new file
	return s.onVolume(func(v *volume) error {
		return v.deadLetters(next, func(x Letter) error {
			next = x.Number + 1
			return fn(x)
		})
	})
}

func (v *volume) deadLetters(from uint64, fn func(Letter) error) error {
	const some = 64
	for {
		var letters []Letter
		err := v.view(func(tx *bbolt.Tx) error {
			c := tx.Bucket(bucketDead).Cursor()
			for k, value := c.Seek(number(from)); k != nil && len(letters) < some; k, value = c.Next() {
				content, err := openKeyed(frameLetter, k, value)
				if err != nil {
					return err
				}
				var x Letter
				if err := json.Unmarshal(content, &x); err != nil {
					return err
				}
				letters = append(letters, x)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read dead letters of %s: %w", v.path, err)
		}
		for _, x := range letters {
			if err := fn(x); err != nil {
				return err
			}
			from = x.Number + 1
		}
		if len(letters) < some {
			return nil
		}
	}
}
