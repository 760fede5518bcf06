package custody

import (
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/buffer"
)

var (
	errNotHeld = errors.New("it is not held")
	errOutcome = errors.New("its points cannot have that outcome")
)

// Hold keeps a block from becoming late, evicted or purged until Release;
// Holds of one block count. False: the block is gone, is about to go, or
// waits for its site.
func (s *Store) Hold(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.x.blocks[number]
	if b == nil || b.leaving || b.is(flagBroken) || b.holds == 1<<16-1 {
		return false
	}
	b.holds++
	return true
}

// Release ends one Hold.
func (s *Store) Release(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.x.blocks[number]; b != nil && b.holds > 0 {
		b.holds--
	}
}

// Settle says what became of points of a held block. Points that are settled
// already, and those with Later, stay as they are. It takes effect in memory at
// once and in the file with the next commit; if the process dies before, the
// points are open again. A block that is gone is no error.
func (s *Store) Settle(number uint64, parts []Part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.x.blocks[number]
	switch {
	case s.closed:
		return fmt.Errorf("settle block %d: %w", number, ErrClosed)
	case b == nil:
		return nil
	case b.holds == 0:
		return fmt.Errorf("settle block %d: %w", number, errNotHeld)
	}
	for _, x := range parts {
		if err := b.allows(x); err != nil {
			return fmt.Errorf("settle block %d: points %d to %d: %w", number, x.From, x.To, err)
		}
	}
	before := b.open()
	for _, x := range parts {
		if x.Outcome != buffer.Later {
			s.settled[number] = append(s.settled[number], s.dated(b, x)...)
			b.taken = b.taken.add(run{uint64(x.From), uint64(x.To)})
		}
	}
	if b.open() < before {
		s.later()
	}
	if b.open() == 0 && before > 0 {
		s.x.unqueue(b)
	}
	return nil
}

// dated gives the part of x that is not settled yet.
func (s *Store) dated(b *block, x Part) []Part {
	var out []Part
	for _, r := range b.taken.free(run{uint64(x.From), uint64(x.To)}) {
		part := Part{From: int(r.from), To: int(r.to), Outcome: x.Outcome}
		if x.Outcome == buffer.Refused {
			letter := buffer.Letter{}
			if x.Letter != nil {
				letter = *x.Letter
			}
			if letter.Time.IsZero() {
				letter.Time = s.clock()
			}
			part.Letter = &letter
		}
		out = append(out, part)
	}
	return out
}

// allows tells whether the points may come to that: late ones are not
// delivered, others neither logged nor dropped.
func (b *block) allows(x Part) error {
	if x.From < 0 || x.To <= x.From || x.To > int(b.points) {
		return fmt.Errorf("the block has %d", b.points)
	}
	late := b.is(flagLate)
	switch x.Outcome {
	case buffer.Refused, buffer.Later:
		return nil
	case buffer.Delivered:
		if !late {
			return nil
		}
	case buffer.Logged, buffer.Dropped:
		if late {
			return nil
		}
	}
	return fmt.Errorf("%w (%d)", errOutcome, x.Outcome)
}

// settle books parts of a block.
func (p *pass) settle(number uint64, parts []Part) error {
	e, err := p.entry(number)
	if err != nil || e == nil {
		return err
	}
	for _, x := range parts {
		if err := p.settlePart(e, x); err != nil {
			return err
		}
	}
	if e.open() > 0 {
		p.save(e)
		return nil
	}
	return p.close(e)
}

func (p *pass) settlePart(e *entry, x Part) error {
	r := run{uint64(x.From), uint64(x.To)}
	n := e.settled.free(r).count()
	if n == 0 {
		return nil
	}
	e.settled = e.settled.add(r)
	late := e.is(flagLate)
	var letter error
	err := p.book(e.site, func(a *buffer.Account) {
		switch x.Outcome {
		case buffer.Delivered:
			*held(a, late) -= n
			a.Delivered += n
		case buffer.Refused:
			*held(a, late) -= n
			a.DeadLetter += n
		case buffer.Logged:
			a.LateLogged += n
		case buffer.Dropped:
			a.LateDropped += n
		}
	})
	switch x.Outcome {
	case buffer.Delivered:
		e.counts.Delivered += n
	case buffer.Refused:
		e.counts.DeadLetter += n
		letter = p.putLetter(Letter{Letter: *x.Letter, Site: e.site, Points: n})
	case buffer.Logged:
		e.counts.LateLogged += n
	case buffer.Dropped:
		e.counts.LateDropped += n
	}
	return errors.Join(err, letter)
}

// Recall says that a block cannot be read. Its open points stay, and wait for
// the site, which hears Unknown and sends the block again. One that the site
// has let go is given up as damaged.
func (s *Store) Recall(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.x.blocks[number]; b != nil && !b.is(flagBroken) {
		s.recalls = append(s.recalls, number)
		s.x.unqueue(b)
		s.later()
	}
}

// recall deletes the bytes of a block and leaves the rest.
func (p *pass) recall(number uint64) error {
	e, err := p.entry(number)
	if err != nil || e == nil || e.is(flagBroken) {
		return err
	}
	if e.is(flagTold) {
		return p.end(e, damaged, &e.counts.Damaged)
	}
	x, err := p.epoch(e.site, e.epoch)
	if err != nil || x == nil || e.seq < x.floor {
		return errors.Join(err, p.end(e, damaged, &e.counts.Damaged))
	}
	if err := p.dropData(e); err != nil {
		return err
	}
	e.size, e.sum = 0, 0
	e.flags |= flagBroken
	p.save(e)
	key := epochKey(e.site, e.epoch, e.seq)
	return p.tx.Bucket(bucketBroken).Put(key, seal(key, numberKey(e.number)))
}

func damaged(a *buffer.Account) *int64 { return &a.Damaged }
func evicted(a *buffer.Account) *int64 { return &a.Evicted }
func purged(a *buffer.Account) *int64  { return &a.Purged }
