package buffer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sort"

	"go.etcd.io/bbolt"
)

// ClaimID names a lease that outlives the process: the batch as which its
// points left.
type ClaimID struct{ Epoch, Seq uint64 }

func (id ClaimID) compare(other ClaimID) int {
	return cmp.Or(cmp.Compare(id.Epoch, other.Epoch), cmp.Compare(id.Seq, other.Seq))
}

const claimKeySize = 16

func (id ClaimID) key() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id.Epoch), id.Seq)
}

// leasedRun is positions side by side in a record: from..to-1.
type leasedRun struct {
	record   uint64
	from, to uint32
}

// claim is what a lease holds, in its order.
type claim struct {
	late, entries bool
	runs          []leasedRun
}

// Flags of a claim.
const (
	claimLate    = 1 << 0
	claimEntries = 1 << 1
)

// encode writes flags, and of each run the distance of its record from the
// one before, where it begins and how long it is.
func (c claim) encode() []byte {
	flags := byte(0)
	if c.late {
		flags |= claimLate
	}
	if c.entries {
		flags |= claimEntries
	}
	b := []byte{flags}
	last := uint64(0)
	for _, r := range c.runs {
		b = binary.AppendVarint(b, int64(r.record-last))
		b = binary.AppendUvarint(b, uint64(r.from))
		b = binary.AppendUvarint(b, uint64(r.to-r.from))
		last = r.record
	}
	return b
}

// parseClaim is the inverse of encode.
func parseClaim(content []byte) (claim, error) {
	h := head{b: content}
	flags := h.bytes(1)[0]
	c := claim{late: flags&claimLate != 0, entries: flags&claimEntries != 0}
	last := uint64(0)
	for len(h.b) > 0 {
		last += uint64(h.varint())
		from, length := h.uvarint(), h.uvarint()
		if h.short || length == 0 || from > maxRecordPoints || length > maxRecordPoints-from {
			return claim{}, fmt.Errorf("claim has malformed runs: %w", errDamaged)
		}
		c.runs = append(c.runs, leasedRun{last, uint32(from), uint32(from + length)})
	}
	if h.short || flags > claimLate|claimEntries || len(c.runs) == 0 {
		return claim{}, fmt.Errorf("claim is malformed: %w", errDamaged)
	}
	return c, nil
}

// runsOf puts positions together that lie side by side.
func runsOf(at []position) (runs []leasedRun) {
	for _, x := range at {
		if n := len(runs) - 1; n >= 0 && runs[n].record == x.record && runs[n].to == x.index {
			runs[n].to++
			continue
		}
		runs = append(runs, leasedRun{x.record, x.index, x.index + 1})
	}
	return runs
}

func pointsOf(runs []leasedRun) (n int) {
	for _, r := range runs {
		n += int(r.to - r.from)
	}
	return n
}

// Claim writes down what the lease holds, under an id that no other claim has,
// so that it is leased again after a restart. It is durable once the ticket
// says so; the claim goes with the settlement of the lease. It makes a commit
// as a settlement does.
func (s *Store) Claim(l *Lease, id ClaimID) *Ticket {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &Ticket{quiet: true, done: make(chan struct{})}
	if l.settled || l.claim != nil {
		t.finish(fmt.Errorf("claim lease: it is settled or claimed already"))
		return t
	}
	l.claim = &id
	runs := l.pieces()
	content := claim{late: l.late, entries: l.entries, runs: runs}.encode()
	t.change = func(tx *bbolt.Tx, _ *ledger, _ *work) error {
		if !h.holds(l) {
			return nil // it is settled already, or its records are of a file that is gone
		}
		return putClaim(tx, id, content)
	}
	s.queue.put(t, 0, s.o.MaxPending)
	h.touch(slices.ContainsFunc(runs, func(r leasedRun) bool { return r.record < h.fresh }))
	s.wakeUp()
	return t
}

// holds tells whether a lease still is one.
func (h *holds) holds(l *Lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !l.settled && l.epoch == h.epoch
}

func putClaim(tx *bbolt.Tx, id ClaimID, content []byte) error {
	bucket, err := tx.CreateBucketIfNotExists(bucketClaims)
	if err != nil {
		return err
	}
	return bucket.Put(id.key(), keyed(frameClaim, id.key(), content))
}

// dropClaims deletes claims; what is not there is gone already.
func dropClaims(tx *bbolt.Tx, ids []ClaimID) error {
	bucket := tx.Bucket(bucketClaims)
	if bucket == nil {
		return nil
	}
	for _, id := range ids {
		if err := bucket.Delete(id.key()); err != nil {
			return err
		}
	}
	return nil
}

// readClaims gives all claims of the file. One that cannot be read is told by
// bad: its points are leased as if there were none.
func readClaims(tx *bbolt.Tx) (found map[ClaimID]claim, bad int, err error) {
	found = make(map[ClaimID]claim)
	bucket := tx.Bucket(bucketClaims)
	if bucket == nil {
		return found, 0, nil
	}
	err = bucket.ForEach(func(k, value []byte) error {
		if id, c, ok := openClaim(k, value); ok {
			found[id] = c
		} else {
			bad++
		}
		return nil
	})
	return found, bad, err
}

func openClaim(k, value []byte) (id ClaimID, c claim, ok bool) {
	content, err := openKeyed(frameClaim, k, value)
	if err == nil {
		c, err = parseClaim(content)
	}
	if err != nil || len(k) != claimKeySize {
		return id, c, false
	}
	return ClaimID{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:])}, c, true
}

// recall holds what earlier runs have claimed, as far as it is open.
func (h *holds) recall(tx *bbolt.Tx, l *ledger, claims map[ClaimID]claim) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims = make(map[ClaimID]claim)
	for id, c := range claims {
		open := claim{late: c.late, entries: c.entries}
		for _, r := range c.runs {
			left, err := h.recallRun(tx, l, r)
			if err != nil {
				return err
			}
			open.runs = append(open.runs, left...)
		}
		if len(open.runs) == 0 {
			h.unclaimed = append(h.unclaimed, id)
			continue
		}
		h.claims[id] = open
	}
	return nil
}

// recallRun leases what is open of a run and not leased yet.
func (h *holds) recallRun(tx *bbolt.Tx, l *ledger, r leasedRun) (left []leasedRun, err error) {
	rec, m, err := openRecord(tx, l, r.record)
	if err != nil || rec.count == 0 {
		return nil, err
	}
	taken := m.settled
	if known := h.records[r.record]; known != nil {
		taken = taken.union(known.leased)
	}
	for _, free := range taken.free(span{r.from, min(r.to, rec.count)}) {
		held := h.of(rec)
		held.leased = held.leased.add(free)
		left = append(left, leasedRun{r.record, free.from, free.to})
	}
	return left, nil
}

// openRecord finds a record and its mark; it has no points where it is not
// there or wholly settled.
func openRecord(tx *bbolt.Tx, l *ledger, number uint64) (found record, m mark, err error) {
	err = records(tx, number, func(r record) (bool, error) {
		if r.number() == number && !l.settled.has(r.span()) {
			found = r
			m, err = readMark(tx, number)
		}
		return false, err
	})
	return found, m, err
}

// Claims are those of earlier runs that are not reclaimed yet, in the order of
// their ids.
func (s *Store) Claims() []ClaimID {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := slices.Collect(maps.Keys(h.claims))
	sort.Slice(ids, func(i, j int) bool { return ids[i].compare(ids[j]) < 0 })
	return ids
}

// Reclaim leases again what a claim of an earlier run holds, in the order of
// then; nil if nothing of it is open any more.
func (s *Store) Reclaim(id ClaimID) (*Lease, error) {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.claims[id]
	if !ok {
		return nil, nil
	}
	l := &Lease{runs: c.runs, late: c.late, entries: c.entries, epoch: h.epoch, claim: &id}
	if err := s.load(l); err != nil {
		return nil, fmt.Errorf("reclaim points: %w", err)
	}
	delete(h.claims, id)
	return l, nil
}

// ReleaseClaims gives back what the claims of earlier runs hold, for others to
// lease, and tells how many points and entries that is.
func (s *Store) ReleaseClaims() (points int) {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.claims {
		for _, r := range c.runs {
			h.settle(position{r.record, r.from}, r.to-r.from, Later)
		}
		points += pointsOf(c.runs)
		h.unclaimed = append(h.unclaimed, id)
	}
	h.claims = nil
	if points > 0 {
		h.touch(true)
		s.wakeUp()
	}
	return points
}

// Unload gives back the memory of the points and entries; the lease stays.
// Unloaded, it is settled as a whole.
func (l *Lease) Unload() {
	if l.at == nil {
		return
	}
	l.runs = runsOf(l.at)
	l.at, l.Points, l.Entries = nil, nil, nil
}

// Len is the number of points or entries, unloaded or not.
func (l *Lease) Len() int { return l.len() }

// Reload reads the points or entries of an unloaded lease again, in the order
// they had. After an error the lease stays unloaded.
func (s *Store) Reload(l *Lease) error {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case l.at != nil:
		return nil
	case l.settled:
		return errSettled
	case l.epoch != h.epoch:
		return fmt.Errorf("reload points: the file was replaced: %w", errDamaged)
	}
	if err := s.load(l); err != nil {
		return fmt.Errorf("reload points: %w", err)
	}
	return nil
}

// load fills a lease from its runs. A record that cannot be read is left to
// the next commit.
func (s *Store) load(l *Lease) error {
	v := s.volume()
	x := loader{holds: &s.holds, lease: l, series: v.names.all()}
	err := v.view(x.load)
	if err != nil {
		l.Points, l.Entries, l.at = nil, nil, nil
		if _, other := s.reportDamage(err); other != nil {
			return other
		}
		return err
	}
	l.runs = nil
	return nil
}

// pieces are the runs of the lease.
func (l *Lease) pieces() []leasedRun {
	if l.at == nil {
		return l.runs
	}
	return runsOf(l.at)
}
