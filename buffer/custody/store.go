// Package custody keeps blocks of many sites on disk until they are
// delivered: what is acknowledged is durable, each block is taken once, and
// every point of it is in exactly one state (ACCOUNT.md).
package custody

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// Options of a Store.
type Options struct {
	Path string
	// MaxSize bounds the file, in bytes; 0 is 4 GiB (256 MiB on 32-bit
	// machines), the least is 16 MiB.
	MaxSize int64
	// Reserve is the room that blocks leave free, in the file's MaxSize and on
	// the disk, in bytes; 0 is a sixteenth of MaxSize, 2 to 256 MiB.
	Reserve int64
	// SiteQuota bounds the bytes of one site; 0 is 256 MiB.
	SiteQuota int64
	// Window is the age at which points become late, EntryWindow that of
	// events and log records; 0 is an hour and a day.
	Window, EntryWindow time.Duration
	Late                Mode
	// SettleInterval is how long settlements wait for a block to share its
	// commit; 0 is 250 ms.
	SettleInterval time.Duration
	Log            zerolog.Logger
	// Beat is called by the committer: it is well, and says so again within that
	// time. nil: nobody asks.
	Beat func(within time.Duration)
	// Now gives the true time, or the zero time while that is unknown: then
	// nothing becomes late. nil: time.Now.
	Now func() time.Time
}

const leastMaxSize = 16 << 20

func (o Options) withDefaults() (Options, error) {
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 32 & math.MaxInt
		if buffer.SmallMap {
			o.MaxSize = 256 << 20
		}
	}
	o.Reserve = cmp.Or(o.Reserve, max(2<<20, min(o.MaxSize/16, 256<<20)))
	o.SiteQuota = cmp.Or(o.SiteQuota, 256<<20)
	o.Window = cmp.Or(o.Window, time.Hour)
	o.EntryWindow = cmp.Or(o.EntryWindow, 24*time.Hour)
	o.SettleInterval = cmp.Or(o.SettleInterval, 250*time.Millisecond)
	switch {
	case o.MaxSize < leastMaxSize:
		return o, fmt.Errorf("open relay store %s: buffer.max_size of %v is too small, set at least %v",
			o.Path, probes.Size(o.MaxSize), probes.Size(leastMaxSize))
	case o.MaxSize > math.MaxInt:
		return o, fmt.Errorf("open relay store %s: buffer.max_size of %v is more than this machine can map, set at most %v",
			o.Path, probes.Size(o.MaxSize), probes.Size(256<<20))
	case o.Reserve < 0 || o.Reserve > o.MaxSize/2:
		return o, fmt.Errorf("open relay store %s: reserve of %v is not within half of buffer.max_size", o.Path, probes.Size(o.Reserve))
	case o.SiteQuota < 0 || o.Window < 0 || o.EntryWindow < 0 || o.SettleInterval < 0 || o.Late > Drop:
		return o, fmt.Errorf("open relay store %s: relay.site_quota, windows and intervals must not be negative, and buffer.late one of three", o.Path)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat == nil {
		o.Beat = func(time.Duration) {}
	}
	return o, nil
}

// Store keeps blocks. It is safe for concurrent use. One goroutine, owned by
// the store and ended by Close, makes all commits.
type Store struct {
	o Options

	mu       sync.Mutex // guards what follows; never held while the disk works
	vol      *volume    // nil: a damaged file is being replaced
	x        index
	ledger   ledger // as of the last commit
	space    space
	stat     Stat
	notes    map[string][]byte // all of them; a site's have the prefix of sitePrefix
	unsaved  map[string][]byte // those that the file does not have
	finished []DoneBlock
	broken   error // what a reader found wrong with the file

	// What waits for the next commit.
	puts    []*Ticket
	pending int64 // bytes, also of the running commit
	settled map[uint64][]Part
	recalls []uint64
	forgets map[string]uint64
	orders  []*order
	late    []*block
	lost    []*block
	since   time.Time // when the first of what may wait came
	retryAt time.Time
	swept   time.Time
	running *work // begun, not known to be durable; only the committer changes it
	closed  bool

	epochsFrom []byte // where the next commit looks for old epochs; of the committer
	aside      string // a damaged file in whose place there is no new one yet; of the committer

	committed, finishedC, wake chan struct{}
	stop, done                 chan struct{}
	closeOnce                  sync.Once
	closeErr                   error
}

// Open opens the file or makes it, with mode 0600. A file that is damaged is
// set aside, and a new one with a new epoch takes its place; one of a newer
// format is refused and left as it is. Errors name the path and say what to do.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, settled: make(map[uint64][]Part), notes: make(map[string][]byte), x: newIndex(),
		committed: make(chan struct{}, 1), finishedC: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.stat.Warnings = buffer.PathWarnings(o.Path)
	for _, w := range s.stat.Warnings {
		o.Log.Warn().Str("path", o.Path).Msg("relay store: " + w)
	}
	v, err := openVolume(o, ledger{Next: 1, NextLetter: 1})
	if err == nil {
		if err = s.adopt(v); isDamage(err) {
			v.abandon() // closing it may wait for ever
		} else if err != nil {
			_ = v.close()
		}
	}
	if isDamage(err) {
		err = s.startAnew(err)
	}
	if err != nil {
		return nil, openError(o.Path, err)
	}
	go s.committer()
	return s, nil
}

// adopt reads what the file holds.
func (s *Store) adopt(v *volume) error {
	x, notes := newIndex(), make(map[string][]byte)
	var l ledger
	err := v.view(func(tx *bbolt.Tx) (err error) {
		if l, err = readLedger(tx); err != nil {
			return err
		}
		if err := x.load(tx); err != nil {
			return err
		}
		return readNotes(tx, notes)
	})
	if err != nil {
		return err
	}
	x.total = complete(l.Account)
	// bbolt counts free pages when a transaction that may write ends.
	tx, err := v.db.Begin(true)
	if err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}
	size, err := v.space()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, note := range notes {
		if _, known := s.notes[name]; !known {
			s.notes[name] = note
		}
	}
	s.vol, s.ledger, s.space, s.x = v, l, size, x
	return nil
}

// load reads all entries and sites.
func (x *index) load(tx *bbolt.Tx) error {
	err := tx.Bucket(bucketSites).ForEach(func(k, value []byte) error {
		st, err := decodeSite(k, value)
		if err == nil {
			x.site(string(k)).state = *st
		}
		return err
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketIndex).ForEach(func(k, value []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("%w: a block has key %x", buffer.ErrPages, k)
		}
		e, err := decodeEntry(k, value)
		if err == nil {
			x.insert(e)
		}
		return err
	})
}

// startAnew sets the file aside, because of its damage, and goes on with a new
// one. Where it failed before, the file is set aside already, and what lies in
// its place is a new one that was never used.
func (s *Store) startAnew(cause error) (err error) {
	if s.aside == "" {
		if s.aside, err = buffer.SetAside(s.o.Path, s.clock()); err != nil {
			return fmt.Errorf("set the damaged file aside (%w): %w", cause, err)
		}
		s.o.Log.Error().Err(cause).Str("path", s.o.Path).Str("set_aside", s.aside).
			Msg("relay store is damaged: it is set aside and a new one begins; sites send again what was not delivered")
	} else if err := os.Remove(s.o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete an unused new file: %w", err)
	}
	s.mu.Lock()
	start := ledger{Next: max(1, s.ledger.Next+1<<32), NextLetter: max(1, s.ledger.NextLetter)}
	s.mu.Unlock()
	v, err := openVolume(s.o, start)
	if err != nil {
		return err
	}
	if err := s.adopt(v); err != nil {
		_ = v.close()
		return err
	}
	s.mu.Lock()
	s.stat.SetAside, s.aside = s.aside, ""
	s.mu.Unlock()
	return nil
}

func (s *Store) volume() *volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vol
}

// view reads. Damage of the file is left to the next commit.
func (s *Store) view(fn func(tx *bbolt.Tx) error) error {
	v := s.volume()
	if v == nil {
		return errMoved
	}
	err := v.view(fn)
	if isDamage(err) {
		s.mu.Lock()
		if s.broken == nil && s.vol == v {
			s.broken = err
			s.wakeUp()
		}
		s.mu.Unlock()
	}
	return err
}

// clock is the time as well as it is known.
func (s *Store) clock() time.Time { return cmp.Or(s.o.Now(), time.Now()) }

// Epoch is random, and belongs to the file: a new file has a new one.
func (s *Store) Epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Epoch
}

// Committed gets a signal after each commit that added blocks. Signals that
// nobody took yet are one.
func (s *Store) Committed() <-chan struct{} { return s.committed }

// Finished gets a signal when TakeFinished has something.
func (s *Store) Finished() <-chan struct{} { return s.finishedC }

// TakeFinished gives the blocks that were settled for their sites since the
// last call; that is durable. After a restart Lookup has them.
func (s *Store) TakeFinished() []DoneBlock {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.finished
	s.finished = nil
	return out
}

// Close commits what is pending, ends the committer and closes the file.
// Further calls return what the first one did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.stop)
		<-s.done
		if v := s.volume(); v != nil {
			if err := v.close(); err != nil && s.closeErr == nil {
				s.closeErr = fmt.Errorf("close relay store %s: %w", s.o.Path, err)
			}
		}
	})
	return s.closeErr
}
