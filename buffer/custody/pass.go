package custody

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// pass is one try of a commit. It begins from what the file holds, and what it
// finds out for the memory counts only once the commit is durable.
type pass struct {
	s   *Store
	tx  *bbolt.Tx
	w   *work
	l   ledger
	now int64 // Unix milliseconds; 0 while the time is unknown

	sites   map[string]*siteState
	epochs  map[string]*epochState
	entries map[uint64]*entry // nil: it is not there
	changed map[string]bool   // sites and epochs, by their keys
	rewrite map[uint64]*entry // entries to be written, and told to the memory
	removed []uint64
	room    int64 // bytes that new blocks may take
	dirty   bool  // something is to be written

	results []Result // of the tickets
	done    []DoneBlock
	added   int64
}

func (s *Store) newPass(tx *bbolt.Tx, w *work, room int64) *pass {
	p := &pass{
		s: s, tx: tx, w: w, room: room,
		sites: make(map[string]*siteState), epochs: make(map[string]*epochState), entries: make(map[uint64]*entry),
		changed: make(map[string]bool), rewrite: make(map[uint64]*entry),
	}
	if now := s.o.Now(); !now.IsZero() {
		p.now = now.UnixMilli()
	}
	return p
}

// site gives the state of a site, to be changed only after touch.
func (p *pass) site(name string) (*siteState, error) {
	if x := p.sites[name]; x != nil {
		return x, nil
	}
	x, key := &siteState{}, []byte(name)
	if value := p.tx.Bucket(bucketSites).Get(key); value != nil {
		var err error
		if x, err = decodeSite(key, value); err != nil {
			return nil, fmt.Errorf("read site %s: %w", name, err)
		}
	}
	p.sites[name] = x
	return x, nil
}

// touch notes that a site or an epoch changes.
func (p *pass) touch(key string) { p.changed[key], p.dirty = true, true }

// epoch gives the state of (site, epoch), nil if nothing is known of it.
func (p *pass) epoch(site string, epoch uint64) (*epochState, error) {
	key := epochKey(site, epoch)
	if x, ok := p.epochs[string(key)]; ok {
		return x, nil
	}
	var x *epochState
	if value := p.tx.Bucket(bucketEpochs).Get(key); value != nil {
		var err error
		if x, err = decodeEpoch(key, value); err != nil {
			return nil, fmt.Errorf("read epoch %016x of %s: %w", epoch, site, err)
		}
	}
	p.epochs[string(key)] = x
	return x, nil
}

// entry gives a block, nil if it is not there.
func (p *pass) entry(number uint64) (*entry, error) {
	if e, ok := p.entries[number]; ok {
		return e, nil
	}
	var e *entry
	key := numberKey(number)
	if value := p.tx.Bucket(bucketIndex).Get(key); value != nil {
		var err error
		if e, err = decodeEntry(key, value); err != nil {
			return nil, fmt.Errorf("read block %d: %w", number, err)
		}
	}
	p.entries[number] = e
	return e, nil
}

func (p *pass) save(e *entry) { p.rewrite[e.number], p.dirty = e, true }

// book changes the account of a site and of the store alike.
func (p *pass) book(name string, change func(*buffer.Account)) error {
	x, err := p.site(name)
	if err != nil {
		return err
	}
	change(&x.account)
	change(&p.l.Account)
	p.touch(name)
	return nil
}

// held is the counter in which a block's open points are.
func held(a *buffer.Account, late bool) *int64 {
	if late {
		return &a.Late
	}
	return &a.Buffered
}

// end moves all open points of a block to a final state, and the block is gone.
func (p *pass) end(e *entry, to func(a *buffer.Account) *int64, counted *int64) error {
	n := e.open()
	err := p.book(e.site, func(a *buffer.Account) {
		*held(a, e.is(flagLate)) -= n
		*to(a) += n
	})
	if err != nil {
		return err
	}
	*counted += n
	e.settled = set{}.add(run{0, uint64(e.points)})
	return p.close(e)
}

// close tells the site's part of the file that a block has no open points,
// and deletes it.
func (p *pass) close(e *entry) error {
	if err := p.finish(e); err != nil {
		return err
	}
	return p.remove(e)
}

// finish writes down what became of a block, for its site.
func (p *pass) finish(e *entry) error {
	if e.is(flagTold) {
		return nil
	}
	x, err := p.epoch(e.site, e.epoch)
	if err != nil {
		return err
	}
	if x == nil {
		return fmt.Errorf("%w: block %d is of an epoch that is missing", buffer.ErrPages, e.number)
	}
	e.flags |= flagTold
	x.open--
	p.touch(string(epochKey(e.site, e.epoch)))
	p.done = append(p.done, DoneBlock{Site: e.site, Epoch: e.epoch, Seq: e.seq, Counts: e.counts})
	if e.seq < x.floor {
		return nil // the site asks no more
	}
	x.finished = x.finished.add(run{e.seq, e.seq + 1})
	if e.counts.Plain() {
		return nil
	}
	site, err := p.site(e.site)
	if err != nil {
		return err
	}
	site.bytes += outcomeCharge
	p.touch(e.site)
	key := epochKey(e.site, e.epoch, e.seq)
	return p.tx.Bucket(bucketOutcomes).Put(key, seal(key, e.counts.appendTo(nil)))
}

// remove deletes a block.
func (p *pass) remove(e *entry) error {
	if err := p.dropData(e); err != nil {
		return err
	}
	x, err := p.site(e.site)
	if err != nil {
		return err
	}
	x.blocks--
	p.touch(e.site)
	delete(p.rewrite, e.number)
	p.entries[e.number] = nil
	p.removed = append(p.removed, e.number)
	return p.tx.Bucket(bucketIndex).Delete(numberKey(e.number))
}

// dropData deletes the bytes of a block, or the note that they are missing.
func (p *pass) dropData(e *entry) error {
	if e.is(flagBroken) {
		return p.tx.Bucket(bucketBroken).Delete(epochKey(e.site, e.epoch, e.seq))
	}
	x, err := p.site(e.site)
	if err != nil {
		return err
	}
	x.bytes -= charge(e.size)
	p.touch(e.site)
	p.room += footprint(e.size)
	err = p.tx.Bucket(bucketData).DeleteBucket(numberKey(e.number))
	if err != nil {
		return fmt.Errorf("%w: delete the bytes of block %d: %w", buffer.ErrPages, e.number, err)
	}
	return nil
}

// putData writes the bytes of a block in a bucket of their own, so that no
// other block's are written again with them.
func (p *pass) putData(e *entry, data []byte) error {
	parent := p.tx.Bucket(bucketData)
	parent.FillPercent = 0.9
	own, err := parent.CreateBucket(numberKey(e.number))
	if err != nil {
		return err
	}
	e.size, e.sum = uint32(len(data)), checksum(nil, data)
	x, err := p.site(e.site)
	if err != nil {
		return err
	}
	x.bytes += charge(e.size)
	p.touch(e.site)
	p.room -= footprint(e.size)
	return own.Put(keyBytes, data)
}

// flush writes what the steps have changed.
func (p *pass) flush() error {
	index := p.tx.Bucket(bucketIndex)
	index.FillPercent = 0.9
	for n, e := range p.rewrite {
		key := numberKey(n)
		if err := index.Put(key, seal(key, e.encode())); err != nil {
			return err
		}
	}
	for name, x := range p.sites {
		if !p.changed[name] {
			continue
		}
		key := []byte(name)
		if err := p.tx.Bucket(bucketSites).Put(key, seal(key, x.encode())); err != nil {
			return err
		}
	}
	for name, x := range p.epochs {
		if x == nil || !p.changed[name] {
			continue
		}
		key := []byte(name)
		if err := p.tx.Bucket(bucketEpochs).Put(key, seal(key, x.encode())); err != nil {
			return err
		}
	}
	return writeLedger(p.tx, p.l)
}

// splitEpochKey is the inverse of epochKey.
func splitEpochKey(key []byte, more int) (site string, epoch uint64, rest []byte, err error) {
	n := len(key) - 9 - 8*more
	if n < 1 || key[n] != 0 {
		return "", 0, nil, fmt.Errorf("%w: key %.80q is malformed", buffer.ErrPages, key)
	}
	return string(key[:n]), binary.BigEndian.Uint64(key[n+1:]), key[n+9:], nil
}
