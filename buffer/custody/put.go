package custody

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// ErrClosed is what waits when the store is closed.
var ErrClosed = errors.New("the relay's store is closed")

// Limits of blocks.
const (
	maxSite    = 64
	maxData    = 1 << 20 // bytes of a block, and of its names
	maxPoints  = 1 << 20
	maxPending = 32 << 20 // bytes that wait for their commit
	mostBytes  = 8 << 20  // of one commit
	mostRuns   = 1 << 16  // gaps in the numbers of an epoch
)

// Ticket stands for a block on its way to the disk.
type Ticket struct {
	block  Block
	result Result
	err    error
	done   chan struct{} // the result is there
}

// Done is closed when the result is there.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait gives the result; what it says is durable. After ErrClosed, or the
// error of ctx if that ends first, nothing is known of the block. A block that
// is malformed is an error too.
func (t *Ticket) Wait(ctx context.Context) (Result, error) {
	select {
	case <-t.done:
		return t.result, t.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("wait for commit: %w", ctx.Err())
	}
}

func (t *Ticket) finish(r Result, err error) {
	t.block = Block{}
	t.result, t.err = r, err
	close(t.done)
}

// Put hands a block over and never waits for the disk. The store keeps its
// slices until the result is there: the caller must not change them before.
// Whatever waits goes into one commit. While the disk takes nothing, or too
// much waits, the result is Full at once.
func (s *Store) Put(b Block) *Ticket {
	t := &Ticket{block: b, done: make(chan struct{})}
	err := b.check()
	size := int64(b.weight())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		t.finish(Result{}, fmt.Errorf("take block %d of site %.80q: %w", b.Seq, b.Site, err))
	case s.closed:
		t.finish(Result{}, ErrClosed)
	case s.pending+size > maxPending || s.refusing():
		s.stat.Refused++
		t.finish(Result{Status: Full}, nil)
	default:
		s.puts = append(s.puts, t)
		s.pending += size
		s.wakeUp()
	}
	return t
}

func (b *Block) weight() int { return len(b.Data) + len(b.Names) + 256 }

// CheckSite refuses a name that no site can have.
func CheckSite(name string) error {
	if name == "" || len(name) > maxSite {
		return fmt.Errorf("site has a name of %d bytes, not 1 to %d", len(name), maxSite)
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("site has byte %q in its name, not a letter, a digit or one of . _ -", c)
		}
	}
	return nil
}

func (b *Block) check() error {
	if err := CheckSite(b.Site); err != nil {
		return err
	}
	switch {
	case b.Seq == 0 || b.Seq == 1<<64-1:
		return fmt.Errorf("number %d is not one", b.Seq)
	case b.Points < 1 || b.Points > maxPoints:
		return fmt.Errorf("it has %d points, not 1 to %d", b.Points, maxPoints)
	case len(b.Data) == 0 || len(b.Data) > maxData || len(b.Names) > maxData:
		return fmt.Errorf("it has %d bytes and %d of names, not 1 to %d", len(b.Data), len(b.Names), maxData)
	case b.Last < b.First:
		return errors.New("its newest point is older than its oldest")
	}
	return nil
}

// put takes one block, or finds that it is here.
func (p *pass) put(b *Block) (Result, error) {
	x, err := p.epoch(b.Site, b.Epoch)
	if err != nil {
		return Result{}, err
	}
	if x != nil && (b.Seq < x.floor || x.received.has(b.Seq)) {
		return p.again(b, x)
	}
	if b.Relies > 0 && (x == nil || int64(b.Relies) > x.names) {
		return Result{Status: NamesMissing}, nil
	}
	fits, err := p.fits(b, x)
	if err != nil || !fits {
		return Result{Status: Full}, err
	}
	return Result{Status: Stored}, p.store(b)
}

// store adds a block.
func (p *pass) store(b *Block) error {
	x, err := p.begin(b)
	if err != nil {
		return err
	}
	site, err := p.site(b.Site)
	if err != nil {
		return err
	}
	x.open++
	x.received = x.received.add(run{b.Seq, b.Seq + 1})
	e := &entry{
		number: p.l.Next, site: b.Site, epoch: b.Epoch, seq: b.Seq, kind: b.Kind, lane: b.Lane,
		points: uint32(b.Points), first: b.First, last: b.Last, received: p.stamp(),
	}
	p.l.Next++
	p.added++
	p.entries[e.number] = e
	p.save(e)
	site.blocks++
	site.received = e.received
	n := int64(b.Points)
	if err := p.book(b.Site, func(a *buffer.Account) { a.Accepted += n; a.Buffered += n }); err != nil {
		return err
	}
	return errors.Join(p.putData(e, b.Data), p.putNames(b, x))
}

// stamp is the time as well as it is known.
func (p *pass) stamp() int64 {
	if p.now != 0 {
		return p.now
	}
	return p.s.clock().UnixMilli()
}

// begin gives the epoch of a block, a new one if nothing is known of it.
func (p *pass) begin(b *Block) (*epochState, error) {
	key := string(epochKey(b.Site, b.Epoch))
	x, err := p.epoch(b.Site, b.Epoch)
	if err != nil {
		return nil, err
	}
	if x == nil {
		site, err := p.site(b.Site)
		if err != nil {
			return nil, err
		}
		x = &epochState{floor: 1}
		site.latest = b.Epoch
		site.bytes += epochCharge
		p.epochs[key] = x
	}
	x.seen = hours(p.stamp())
	p.touch(key)
	return x, nil
}

func (p *pass) putNames(b *Block, x *epochState) error {
	if len(b.Names) == 0 {
		return nil
	}
	site, err := p.site(b.Site)
	if err != nil {
		return err
	}
	key := epochKey(b.Site, b.Epoch, uint64(x.names))
	x.names++
	x.nbytes += int64(len(b.Names))
	site.bytes += int64(len(b.Names))
	return p.tx.Bucket(bucketNames).Put(key, seal(key, b.Names))
}

// again is for a block that came before.
func (p *pass) again(b *Block, x *epochState) (Result, error) {
	if b.Seq < x.floor {
		return Result{Status: Done}, nil
	}
	if x.finished.has(b.Seq) {
		counts, err := outcome(p.tx, b.Site, b.Epoch, b.Seq)
		return Result{Status: Done, Counts: counts}, err
	}
	key := epochKey(b.Site, b.Epoch, b.Seq)
	value := p.tx.Bucket(bucketBroken).Get(key)
	if value == nil {
		return Result{Status: Duplicate}, nil
	}
	content, err := unseal(key, value)
	if err != nil {
		return Result{}, err
	}
	e, err := p.entry(binary.BigEndian.Uint64(content))
	if err != nil || e == nil {
		return Result{}, errors.Join(err, fmt.Errorf("%w: a block that waits for its site is missing", buffer.ErrPages))
	}
	return p.refill(b, x, e)
}

// refill gives a block back its bytes, which could not be read. What was
// settled of it stays settled.
func (p *pass) refill(b *Block, x *epochState, e *entry) (Result, error) {
	if int64(b.Relies) > x.names {
		return Result{Status: NamesMissing}, nil
	}
	if fits, err := p.fits(b, x); err != nil || !fits {
		return Result{Status: Full}, err
	}
	if e.points != uint32(b.Points) || e.kind != b.Kind {
		return Result{Status: Stored}, p.replace(b, x, e)
	}
	if err := p.dropData(e); err != nil {
		return Result{}, err
	}
	e.flags &^= flagBroken
	p.save(e)
	p.touch(string(epochKey(b.Site, b.Epoch)))
	p.added++
	return Result{Status: Stored}, errors.Join(p.putData(e, b.Data), p.putNames(b, x))
}

// replace takes a block under the number of another one, whose bytes are lost
// and which the site does not have any more as it was.
func (p *pass) replace(b *Block, x *epochState, e *entry) error {
	n := e.open()
	err := p.book(e.site, func(a *buffer.Account) {
		*held(a, e.is(flagLate)) -= n
		a.Damaged += n
	})
	if err != nil {
		return err
	}
	x.open--
	return errors.Join(p.remove(e), p.store(b))
}

// outcome is what became of a block that is finished for its site.
func outcome(tx *bbolt.Tx, site string, epoch, seq uint64) (Counts, error) {
	key := epochKey(site, epoch, seq)
	value := tx.Bucket(bucketOutcomes).Get(key)
	if value == nil {
		return Counts{}, nil
	}
	content, err := unseal(key, value)
	if err != nil {
		return Counts{}, err
	}
	d := decoder{b: content}
	c := d.counts()
	return c, d.end()
}

// Lookup says how the store stands to blocks of (site, epoch): one result for
// each number, as of the last commit. Stored is a block with open points.
func (s *Store) Lookup(site string, epoch uint64, seqs ...uint64) ([]Result, error) {
	out := make([]Result, len(seqs))
	err := s.view(func(tx *bbolt.Tx) error {
		key := epochKey(site, epoch)
		value := tx.Bucket(bucketEpochs).Get(key)
		if value == nil {
			return nil
		}
		x, err := decodeEpoch(key, value)
		if err != nil {
			return err
		}
		for i, seq := range seqs {
			if out[i], err = x.lookup(tx, site, epoch, seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up blocks of site %.80q: %w", site, err)
	}
	return out, nil
}

func (x *epochState) lookup(tx *bbolt.Tx, site string, epoch, seq uint64) (Result, error) {
	switch {
	case seq < x.floor:
		return Result{Status: Done}, nil
	case x.finished.has(seq):
		counts, err := outcome(tx, site, epoch, seq)
		return Result{Status: Done, Counts: counts}, err
	case !x.received.has(seq) || tx.Bucket(bucketBroken).Get(epochKey(site, epoch, seq)) != nil:
		return Result{}, nil
	}
	return Result{Status: Stored}, nil
}

// Forget says that the site has settled all its blocks below floor: what
// became of them need not be known any more. It rides with the next commit.
func (s *Store) Forget(site string, epoch, floor uint64) {
	if CheckSite(site) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(epochKey(site, epoch))
	if s.forgets == nil {
		s.forgets = make(map[string]uint64)
	}
	s.forgets[key] = max(s.forgets[key], floor)
	s.later()
}

// forget raises the floor of an epoch, and is a sign of it.
func (p *pass) forget(key string, floor uint64) error {
	site, epoch, _, err := splitEpochKey([]byte(key), 0)
	if err != nil {
		return err
	}
	x, err := p.epoch(site, epoch)
	if err != nil || x == nil {
		return err
	}
	if now := hours(p.stamp()); now > x.seen {
		x.seen = now
		p.touch(key)
	}
	if floor <= x.floor {
		return nil
	}
	x.floor, x.received, x.finished = floor, x.received.below(floor), x.finished.below(floor)
	p.touch(key)
	end := epochKey(site, epoch, floor)
	if err := p.dropOutcomes(site, []byte(key), end); err != nil {
		return err
	}
	return p.giveUp([]byte(key), end)
}

// dropOutcomes forgets what became of blocks of a site.
func (p *pass) dropOutcomes(site string, from, to []byte) error {
	x, err := p.site(site)
	if err != nil {
		return err
	}
	c := p.tx.Bucket(bucketOutcomes).Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.Compare(k, to) < 0; k, _ = c.Seek(from) {
		if err := c.Delete(); err != nil {
			return err
		}
		x.bytes -= outcomeCharge
		p.touch(site)
	}
	return nil
}

// giveUp ends blocks that wait for a site which will not send them again.
func (p *pass) giveUp(from, to []byte) error {
	var numbers []uint64
	c := p.tx.Bucket(bucketBroken).Cursor()
	for k, value := c.Seek(from); k != nil && bytes.Compare(k, to) < 0; k, value = c.Next() {
		content, err := unseal(k, value)
		if err != nil {
			return err
		}
		numbers = append(numbers, binary.BigEndian.Uint64(content))
	}
	for _, n := range numbers {
		e, err := p.entry(n)
		if err == nil && e != nil {
			err = p.end(e, damaged, &e.counts.Damaged)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func hours(ms int64) int64 { return ms / 3_600_000 }
