package custody

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// Limits of the dead letters.
const (
	mostLetters     = 10_000
	mostLetterBytes = 4 << 20
	maxLine         = 64 << 10
	maxReason       = 1 << 10
)

// putLetter adds a dead letter, and evicts the oldest ones beyond the limits.
func (p *pass) putLetter(x Letter) error {
	x.Line = x.Line[:min(len(x.Line), maxLine)]
	x.Reason = x.Reason[:min(len(x.Reason), maxReason)]
	x.Number = p.l.NextLetter
	content, err := json.Marshal(x)
	if err != nil {
		return err
	}
	bucket, key := p.tx.Bucket(bucketLetters), numberKey(x.Number)
	value := seal(key, content)
	p.l.NextLetter++
	p.l.Letters++
	p.l.LetterBytes += int64(len(value))
	if err := bucket.Put(key, value); err != nil {
		return err
	}
	for p.l.Letters > mostLetters || p.l.LetterBytes > min(mostLetterBytes, p.s.o.MaxSize/16) {
		k, _ := bucket.Cursor().First()
		if k == nil {
			return nil
		}
		if err := p.dropLetter(binary.BigEndian.Uint64(k), evicted); err != nil {
			return err
		}
	}
	return nil
}

// dropLetter deletes a dead letter, if it is there, and books its points.
func (p *pass) dropLetter(number uint64, to func(*buffer.Account) *int64) error {
	bucket, key := p.tx.Bucket(bucketLetters), numberKey(number)
	value := bucket.Get(key)
	if value == nil {
		return nil
	}
	x, err := parseLetter(key, value)
	if err != nil {
		return err
	}
	p.l.Letters--
	p.l.LetterBytes -= int64(len(value))
	err = p.book(x.Site, func(a *buffer.Account) {
		a.DeadLetter -= x.Points
		*to(a) += x.Points
	})
	return errors.Join(err, bucket.Delete(key))
}

func parseLetter(key, value []byte) (x Letter, err error) {
	content, err := unseal(key, value)
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(content, &x); err != nil {
		return x, fmt.Errorf("%w: %w", errValue, err)
	}
	return x, nil
}

// DeadLetters gives the dead letters, oldest first.
func (s *Store) DeadLetters(fn func(Letter) error) error {
	const some = 64
	for from := uint64(0); ; {
		var letters []Letter
		err := s.view(func(tx *bbolt.Tx) error {
			c := tx.Bucket(bucketLetters).Cursor()
			for k, value := c.Seek(numberKey(from)); k != nil && len(letters) < some; k, value = c.Next() {
				x, err := parseLetter(k, value)
				if err != nil {
					return err
				}
				letters = append(letters, x)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read dead letters of %s: %w", s.o.Path, err)
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

// order is a purge on its way.
type order struct {
	Purge
	blocks []*block
	points int64
	err    error
	done   chan struct{}
}

// Purge deletes points, undelivered, and tells how many they were, those of
// dead letters included. Blocks that are held stay. It is durable when Purge
// returns; if ctx ends before, it may yet be done.
func (s *Store) Purge(ctx context.Context, what Purge) (int64, error) {
	if !what.All && !what.DeadLetters && len(what.Letters) == 0 && what.Before.IsZero() {
		return 0, errors.New("purge the relay's store: nothing is named to be purged")
	}
	o := &order{Purge: what, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, fmt.Errorf("purge the relay's store: %w", ErrClosed)
	}
	s.orders = append(s.orders, o)
	s.wakeUp()
	s.mu.Unlock()
	select {
	case <-o.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("purge the relay's store: %w; it may yet be done", ctx.Err())
	}
	if o.err != nil {
		return 0, fmt.Errorf("purge the relay's store: %w", o.err)
	}
	return o.points, nil
}

// choose finds the blocks of an order. It is called with mu held.
func (o *order) choose(x *index) {
	if !o.All && o.Before.IsZero() {
		return
	}
	for _, b := range x.blocks {
		old := !o.Before.IsZero() && b.last < o.Before.UnixMilli()
		if b.free() && (o.All || old) && (o.Site == "" || b.site.name == o.Site) {
			b.leaving = true
			o.blocks = append(o.blocks, b)
		}
	}
}

func (p *pass) purge(o *order) error {
	before := p.l.Account.Purged
	for _, b := range o.blocks {
		e, err := p.entry(b.number)
		if err == nil && e != nil {
			err = p.end(e, purged, &e.counts.Purged)
		}
		if err != nil {
			return err
		}
	}
	numbers := o.Letters
	if o.All || o.DeadLetters {
		var err error
		if numbers, err = p.letters(o.Site); err != nil {
			return err
		}
	}
	for _, n := range numbers {
		if err := p.dropLetter(n, purged); err != nil {
			return err
		}
	}
	o.points = p.l.Account.Purged - before
	return nil
}

// letters are the numbers of the dead letters of one site or of all.
func (p *pass) letters(site string) (out []uint64, err error) {
	err = p.tx.Bucket(bucketLetters).ForEach(func(k, value []byte) error {
		x, err := parseLetter(k, value)
		if err == nil && (site == "" || x.Site == site) {
			out = append(out, x.Number)
		}
		return err
	})
	return out, err
}
