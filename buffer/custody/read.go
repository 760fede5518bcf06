package custody

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// NextSite gives the first site, in the order of names, behind after that has
// an open block of the query; "" begins, false is the end.
func (s *Store) NextSite(q Query, after string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.x.rounds[q]
	i := sort.SearchStrings(names, after)
	if i < len(names) && names[i] == after {
		i++
	}
	if i == len(names) {
		return "", false
	}
	return names[i], true
}

// Next gives the site's first open block of the query with a number above
// after; 0 begins. Blocks that are held are among them.
func (s *Store) Next(site string, q Query, after uint64) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.x.sites[site]
	if x == nil {
		return Info{}, false
	}
	open := x.open[q]
	if i := open.at(after + 1); i < len(open) {
		return open[i].info(), true
	}
	return Info{}, false
}

// Info gives a block that is in the file.
func (s *Store) Info(number uint64) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.x.blocks[number]; b != nil {
		return b.info(), true
	}
	return Info{}, false
}

// OpenSpans are the positions of a block that are not settled.
func (s *Store) OpenSpans(number uint64) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.x.blocks[number]
	if b == nil {
		return nil
	}
	var out []Span
	for _, r := range b.taken.free(run{0, uint64(b.points)}) {
		out = append(out, Span{int(r.from), int(r.to)})
	}
	return out
}

// Errors of Data.
var (
	ErrGone     = errors.New("the block is gone")
	ErrRecalled = errors.New("the block cannot be read: it waits for its site to send it again")
)

// Data reads a block, as it came. Where its bytes are damaged it is recalled
// and the error is ErrRecalled.
func (s *Store) Data(number uint64) ([]byte, error) {
	s.mu.Lock()
	b := s.x.blocks[number]
	var sum uint32
	recalled := false
	if b != nil {
		sum, recalled = b.sum, b.is(flagBroken)
	}
	s.mu.Unlock()
	if b == nil {
		return nil, fmt.Errorf("read block %d: %w", number, ErrGone)
	}
	if recalled {
		return nil, fmt.Errorf("read block %d: %w", number, ErrRecalled)
	}
	var data []byte
	err := s.view(func(tx *bbolt.Tx) error {
		own := tx.Bucket(bucketData).Bucket(numberKey(number))
		if own == nil {
			return ErrGone
		}
		data = bytes.Clone(own.Get(keyBytes))
		return nil
	})
	if err == nil && checksum(nil, data) != sum {
		s.Recall(number)
		err = ErrRecalled
	}
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", number, err)
	}
	return data, nil
}

// NamesOf gives all Names of an epoch, in the order in which they came.
func (s *Store) NamesOf(site string, epoch uint64) ([][]byte, error) {
	var out [][]byte
	_, err := s.NamesFrom(site, epoch, 0, func(names []byte) (bool, error) {
		out = append(out, bytes.Clone(names))
		return true, nil
	})
	return out, err
}

// NamesFrom calls fn with the Names of an epoch, in the order in which they
// came, without the first so many, until it wants no more. They are valid until
// fn returns. kept is how many there are or, where fn ended it, were up to there.
func (s *Store) NamesFrom(site string, epoch uint64, from int, fn func(names []byte) (more bool, err error)) (kept int, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		prefix := epochKey(site, epoch)
		c := tx.Bucket(bucketNames).Cursor()
		if from > 0 { // are those still there that are left out?
			if k, _ := c.Seek(epochKey(site, epoch, uint64(from-1))); k == nil || !bytes.HasPrefix(k, prefix) {
				return nil
			}
		}
		kept = from
		for k, value := c.Seek(epochKey(site, epoch, uint64(from))); k != nil && bytes.HasPrefix(k, prefix); k, value = c.Next() {
			names, err := unseal(k, value)
			if err != nil {
				return err
			}
			kept++
			if more, err := fn(names); err != nil || !more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read names of site %.80q: %w", site, err)
	}
	return kept, nil
}

// Account is the sum of all sites as of the last commit.
func (s *Store) Account() buffer.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.x.total
}

// Sites gives the account of each site as of the last commit, by name. Oldest
// is of the first blocks of its lanes that are not late.
func (s *Store) Sites() []SiteAccount {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SiteAccount, 0, len(s.x.sites))
	for _, x := range s.x.sites {
		a := SiteAccount{Site: x.name, Account: complete(x.state.account), Blocks: x.state.blocks, Bytes: x.state.bytes}
		if x.state.received != 0 {
			a.LastReceived = time.UnixMilli(x.state.received)
		}
		a.Oldest = x.oldest()
		a.Pressure = pressure(x.state.bytes, s.o.SiteQuota)
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Site < out[j].Site })
	return out
}

// oldest is the time of the oldest point of the first blocks.
func (x *site) oldest() (t time.Time) {
	for q, open := range x.open {
		first := time.UnixMilli(open[0].first)
		if !q.Late && (t.IsZero() || first.Before(t)) {
			t = first
		}
	}
	return t
}

// room is how many bytes new blocks may take. It is called with mu held.
func (s *Store) room(x space) int64 {
	return min(s.o.MaxSize-s.o.Reserve-x.used, x.diskFree+x.file-x.used-s.o.Reserve)
}

// pressure begins at half of what there is.
func pressure(used, of int64) float64 {
	if of <= 0 {
		return 1
	}
	return max(0, min(1, 2*float64(used)/float64(of)-1))
}

// Stat tells how the store is doing now.
func (s *Store) Stat() Stat {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stat
	st.FileBytes, st.UsedBytes, st.MaxBytes, st.DiskFree = s.space.file, s.space.used, s.o.MaxSize, s.space.diskFree
	st.Sites, st.Pending = len(s.x.sites), len(s.puts)
	if s.running != nil {
		st.Pending += len(s.running.puts)
	}
	for _, x := range s.x.sites {
		for _, open := range x.open {
			st.Blocks += int64(len(open))
		}
		if t := x.oldest(); !t.IsZero() && (st.Oldest.IsZero() || t.Before(st.Oldest)) {
			st.Oldest = t
		}
	}
	used := s.space.used - s.x.spare
	st.Pressure = max(pressure(used, used+s.x.spare+s.room(s.space)), pressure(s.pending, maxPending))
	if st.Alarm != "" {
		st.Pressure = 1
	}
	return st
}
