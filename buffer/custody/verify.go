package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// Verify counts anew what the file holds, by site and by epoch, compares that
// with the accounts, and then reads the bytes of every block. An error names
// what is damaged or does not add up.
func (s *Store) Verify(ctx context.Context) error {
	sums := make(map[uint64]uint32)
	var last uint64
	err := s.view(func(tx *bbolt.Tx) error {
		c := &count{tx: tx, sites: make(map[string]*siteState), epochs: make(map[string]*epochCount), sums: sums}
		return c.run()
	})
	for n, sum := range sums {
		if err != nil || ctx.Err() != nil {
			break
		}
		last = n
		err = s.view(func(tx *bbolt.Tx) error { return checkData(tx, n, sum) })
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("verify relay store %s (block %d): %w", s.o.Path, last, err)
	}
	return nil
}

// checkData reads the bytes of a block, unless it has gone or come anew
// meanwhile.
func checkData(tx *bbolt.Tx, number uint64, sum uint32) error {
	own := tx.Bucket(bucketData).Bucket(numberKey(number))
	if own == nil || checksum(nil, own.Get(keyBytes)) == sum {
		return nil
	}
	e, err := decodeEntry(numberKey(number), tx.Bucket(bucketIndex).Get(numberKey(number)))
	if err == nil && e.sum != sum {
		return nil
	}
	return fmt.Errorf("the bytes of block %d do not match their checksum", number)
}

// count is what a walk of the file finds.
type count struct {
	tx     *bbolt.Tx
	l      ledger
	sites  map[string]*siteState // of these only what the file's content tells
	epochs map[string]*epochCount
	sums   map[uint64]uint32
	broken int64
}

type epochCount struct {
	open     set // numbers of blocks
	names    int64
	nbytes   int64
	outcomes set
}

func (c *count) site(name string) *siteState {
	if c.sites[name] == nil {
		c.sites[name] = &siteState{}
	}
	return c.sites[name]
}

func (c *count) epoch(key string) *epochCount {
	if c.epochs[key] == nil {
		c.epochs[key] = &epochCount{}
	}
	return c.epochs[key]
}

func (c *count) run() (err error) {
	if c.l, err = readLedger(c.tx); err != nil {
		return err
	}
	for _, step := range []func() error{c.blocks, c.letters, c.names, c.outcomes, c.compareEpochs, c.compareSites} {
		if err := step(); err != nil {
			return err
		}
	}
	return errors.Join(
		compare("blocks whose bytes are missing", int64(c.tx.Bucket(bucketBroken).Stats().KeyN), c.broken),
		c.l.Account.Check(),
	)
}

func (c *count) blocks() error {
	data := c.tx.Bucket(bucketData)
	buckets := int64(0)
	err := c.tx.Bucket(bucketIndex).ForEach(func(k, value []byte) error {
		e, err := decodeEntry(k, value)
		if err != nil {
			return err
		}
		if e.number >= c.l.Next || e.open() == 0 {
			return fmt.Errorf("block %d has number or points that it cannot have", e.number)
		}
		if err := e.checkCounts(); err != nil {
			return err
		}
		x := c.site(e.site)
		x.blocks++
		*held(&x.account, e.is(flagLate)) += e.open()
		if !e.is(flagTold) {
			of := c.epoch(string(epochKey(e.site, e.epoch)))
			of.open = of.open.add(run{e.seq, e.seq + 1})
		}
		if e.is(flagBroken) {
			c.broken++
			return nil
		}
		x.bytes += charge(e.size)
		c.sums[e.number] = e.sum
		buckets++
		if data.Bucket(k) == nil {
			return fmt.Errorf("the bytes of block %d are not there", e.number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := int64(0)
	err = data.ForEachBucket(func([]byte) error { found++; return nil })
	return errors.Join(err, compare("blocks with bytes", buckets, found))
}

// checkCounts compares the counts of a block with its settled positions.
func (e *entry) checkCounts() error {
	if e.is(flagTold) {
		return nil // what came afterwards is not for the site
	}
	return compare(fmt.Sprintf("settled points of block %d", e.number), e.counts.Sum(), e.settled.count())
}

func (c *count) letters() error {
	n, size := int64(0), int64(0)
	err := c.tx.Bucket(bucketLetters).ForEach(func(k, value []byte) error {
		x, err := parseLetter(k, value)
		if err == nil {
			n, size = n+1, size+int64(len(value))
			c.site(x.Site).account.DeadLetter += x.Points
		}
		return err
	})
	return errors.Join(err, compare("dead letters", c.l.Letters, n), compare("bytes of dead letters", c.l.LetterBytes, size))
}

func (c *count) names() error {
	return c.tx.Bucket(bucketNames).ForEach(func(k, value []byte) error {
		site, epoch, rest, err := splitEpochKey(k, 1)
		if err != nil {
			return err
		}
		names, err := unseal(k, value)
		if err != nil {
			return err
		}
		x := c.epoch(string(epochKey(site, epoch)))
		if !bytes.Equal(rest, numberKey(uint64(x.names))) {
			return fmt.Errorf("names %d of epoch %016x of site %s are missing", x.names, epoch, site)
		}
		x.names++
		x.nbytes += int64(len(names))
		c.site(site).bytes += int64(len(names))
		return nil
	})
}

func (c *count) outcomes() error {
	return c.tx.Bucket(bucketOutcomes).ForEach(func(k, _ []byte) error {
		site, epoch, rest, err := splitEpochKey(k, 1)
		if err != nil {
			return err
		}
		d := uint64(0)
		for _, b := range rest {
			d = d<<8 | uint64(b)
		}
		if _, err := outcome(c.tx, site, epoch, d); err != nil {
			return err
		}
		x := c.epoch(string(epochKey(site, epoch)))
		x.outcomes = x.outcomes.add(run{d, d + 1})
		c.site(site).bytes += outcomeCharge
		return nil
	})
}

// compareEpochs holds what is known of each epoch against its blocks.
func (c *count) compareEpochs() error {
	err := c.tx.Bucket(bucketEpochs).ForEach(func(k, value []byte) error {
		x, err := decodeEpoch(k, value)
		if err != nil {
			return err
		}
		found := c.epoch(string(k))
		delete(c.epochs, string(k))
		site, _, _, err := splitEpochKey(k, 0)
		if err != nil {
			return err
		}
		c.site(site).bytes += epochCharge
		what := fmt.Sprintf(" of epoch %x", k)
		err = errors.Join(
			compare("open blocks"+what, x.open, found.open.count()),
			compare("names"+what, x.names, found.names),
			compare("bytes of names"+what, x.nbytes, found.nbytes),
		)
		for _, r := range x.received {
			gaps := x.finished.free(r).count()
			open := r.to - r.from - uint64(found.open.free(r).count())
			if uint64(gaps) != open {
				return fmt.Errorf("of the blocks %d to %d%s %d are not finished, and %d open", r.from, r.to-1, what, gaps, open)
			}
		}
		for _, r := range found.outcomes {
			if len(x.finished.free(r)) > 0 {
				return fmt.Errorf("an outcome%s is of a block that is not finished", what)
			}
		}
		return err
	})
	if err == nil && len(c.epochs) > 0 {
		err = fmt.Errorf("%d epochs have blocks, names or outcomes and are not known", len(c.epochs))
	}
	return err
}

// compareSites holds the accounts against what was found, and their sum
// against that of the store.
func (c *count) compareSites() error {
	var sum buffer.Account
	err := c.tx.Bucket(bucketSites).ForEach(func(k, value []byte) error {
		x, err := decodeSite(k, value)
		if err != nil {
			return err
		}
		found := c.site(string(k))
		delete(c.sites, string(k))
		a := complete(x.account)
		total := siteState{account: sum}
		for i, n := range total.numbers()[:10] {
			*n += *x.numbers()[i]
		}
		sum = total.account
		what := " of site " + string(k)
		return errors.Join(
			a.Check(),
			compare("points buffered"+what, a.Buffered, found.account.Buffered),
			compare("points late"+what, a.LateArchived, found.account.Late),
			compare("points of dead letters"+what, a.DeadLetter, found.account.DeadLetter),
			compare("blocks"+what, x.blocks, found.blocks),
			compare("bytes"+what, x.bytes, found.bytes),
		)
	})
	if err == nil && len(c.sites) > 0 {
		err = fmt.Errorf("%d sites have blocks and no account", len(c.sites))
	}
	if err == nil && sum != c.l.Account {
		err = fmt.Errorf("the accounts of the sites sum up to %+v, that of the store is %+v", sum, c.l.Account)
	}
	return err
}

func compare(what string, counted, found int64) error {
	if counted != found {
		return fmt.Errorf("the account says %d %s, the file holds %d", counted, what, found)
	}
	return nil
}
