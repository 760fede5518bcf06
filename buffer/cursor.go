package buffer

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
)

// recordError says which record cannot be read. Those before it can.
type recordError struct {
	number uint64
	err    error
}

func (e *recordError) Error() string { return fmt.Sprintf("record %d: %v", e.number, e.err) }

func (e *recordError) Unwrap() error { return e.err }

// cursor decodes the records of a segment, which it must do in their order. It
// holds what it decoded last.
type cursor struct {
	codec *arc.Codec
	dec   *arc.Decoder
	at    segment
	next  uint32 // index of the next record; 0: none was decoded
	used  uint64 // when, for choosing among cursors
	asked bool   // since the last commit

	guess   bool        // the record before next is one
	groups  []arc.Group // of that record
	entries []arc.Entry
}

func newCursor(codec *arc.Codec) *cursor {
	return &cursor{codec: codec, dec: arc.NewDecoder()}
}

// holds reports whether the cursor is at the record.
func (c *cursor) holds(r record) bool {
	return c.next > 0 && c.at == r.segment && c.next == r.index+1
}

// reaches reports whether the cursor gets to the record without a new start.
func (c *cursor) reaches(r record) bool {
	return c.next > 0 && c.at == r.segment && c.next <= r.index+1
}

// rest gives the memory back that nobody has used for the time of a commit.
func (c *cursor) rest() {
	if !c.asked && c.next > 0 {
		*c = *newCursor(c.codec)
	}
	c.asked = false
}

// reset begins a segment.
func (c *cursor) reset(s segment) {
	c.dec.Reset(0)
	c.at, c.next, c.groups, c.entries = s, 0, nil, nil
}

// seek decodes up to the record, whose groups or entries are then at hand. The
// error is a *recordError where a record is to blame.
func (c *cursor) seek(tx *bbolt.Tx, r record, series int) error {
	c.asked = true
	if c.holds(r) {
		return nil
	}
	if !c.reaches(r) {
		c.reset(r.segment)
	}
	err := records(tx, c.at.base+uint64(c.next), func(x record) (bool, error) {
		if err := c.decode(x, series); err != nil {
			return false, err
		}
		return x.number() < r.number(), nil
	})
	if err == nil && !c.holds(r) {
		err = &recordError{r.number(), fmt.Errorf("the records before it are not there: %w", errDamaged)}
	}
	if err != nil {
		c.reset(segment{})
	}
	return err
}

// decode takes the next record of the segment.
func (c *cursor) decode(r record, series int) error {
	if r.segment != c.at || r.index != c.next {
		return &recordError{r.number(), fmt.Errorf("it does not follow record %d: %w", c.at.base+uint64(c.next), errDamaged)}
	}
	if err := c.unpack(r, series); err != nil {
		return &recordError{r.number(), err}
	}
	c.next++
	return nil
}

func (c *cursor) unpack(r record, series int) (err error) {
	c.guess, c.groups, c.entries = r.guess, nil, nil
	if err = r.frame.check(); err != nil {
		return err
	}
	n := 0
	if r.entries {
		c.entries, err = c.codec.DecodeEntries(r.payload)
		n = len(c.entries)
	} else {
		c.dec.Limit(series)
		c.groups, err = c.dec.Decode(r.payload)
		for _, g := range c.groups {
			n += len(g.IDs)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if n != int(r.count) {
		return fmt.Errorf("it holds %d points, its head says %d: %w", n, r.count, errDamaged)
	}
	return nil
}
