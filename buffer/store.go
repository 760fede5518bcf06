// Package buffer keeps points on disk until they are delivered: durable when
// acknowledged, bounded in size, and counted, so that every accepted point is
// in exactly one state at any time (ACCOUNT.md).
package buffer

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// Options of a Store.
type Options struct {
	Path string
	// MaxSize bounds the file, in bytes; 0 is the default (1 GiB, 256 MiB on
	// 32-bit machines), the least is 4 MiB.
	MaxSize int64
	// CommitInterval is how long points wait for others to share their commit;
	// 0 commits every batch.
	CommitInterval time.Duration
	// Window is the age at which a point becomes late; 0 is the default, one hour.
	Window time.Duration
	// EntryWindow is that of events and log records; 0 is the default, a day.
	EntryWindow time.Duration
	// MaxPending bounds the points that wait in memory; 0 is the default,
	// 200,000 or what half of MaxSize surely holds, if that is less.
	MaxPending int
	Log        zerolog.Logger
	// Beat is called by the committer: it is well, and says so again within that
	// time. nil: nobody asks.
	Beat func(within time.Duration)
	// Now gives the true time, or the zero time while that is unknown: then
	// nothing becomes late. nil: time.Now.
	Now func() time.Time
}

const (
	defaultWindow     = time.Hour
	defaultEntries    = 24 * time.Hour
	defaultMaxPending = 200_000
	leastMaxSize      = 4 << 20
	worstPoint        = 40 // bytes a point takes at most, near enough
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 30
		if math.MaxInt == math.MaxInt32 {
			o.MaxSize = 256 << 20
		}
	}
	if o.MaxSize < leastMaxSize {
		return o, fmt.Errorf("open buffer %s: max_size of %v is too small, set at least %v",
			o.Path, probes.Size(o.MaxSize), probes.Size(leastMaxSize))
	}
	if o.MaxSize > math.MaxInt {
		return o, fmt.Errorf("open buffer %s: max_size of %v is more than this machine can map, set at most %v",
			o.Path, probes.Size(o.MaxSize), probes.Size(256<<20))
	}
	if o.CommitInterval < 0 || o.Window < 0 || o.EntryWindow < 0 || o.MaxPending < 0 {
		return o, fmt.Errorf("open buffer %s: commit interval, window and pending points must not be negative", o.Path)
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.EntryWindow == 0 {
		o.EntryWindow = defaultEntries
	}
	if o.MaxPending == 0 {
		o.MaxPending = int(min(defaultMaxPending, o.MaxSize/2/worstPoint))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat == nil {
		o.Beat = func(time.Duration) {}
	}
	return o, nil
}

// Store is a durable queue of points. It is safe for concurrent use. One
// goroutine, owned by the store and ended by Close, makes all commits; another
// one saves what a damaged file still holds.
type Store struct {
	o      Options
	packer *packer
	queue  queue
	holds  holds

	mu        sync.Mutex // guards what follows; never held while the disk works
	vol       *volume
	ledger    ledger // as of the last commit
	stat      Stat
	saved     map[string][]byte // to be written by the last commit
	handedOut map[string][]byte // found at the start, until taken
	notes     map[string][]byte // all of them
	unsaved   map[string][]byte // those that the file does not have
	anchor    *probes.Anchor    // the last one
	anchored  bool              // in this run

	// Of the committer alone.
	running  *work       // begun, not known to be durable
	retryAt  time.Time   // when to try the running one again
	stale    bool        // the file still holds the state of the last stop
	written  int         // series that blocks were made of
	pending  []nameBlock // made, not known to be durable
	leftover []uint64    // segments that may be wholly settled since the last run
	tailDone bool        // the tail is long and mostly settled
	swept    int64       // cut-off of the last sweep for late records
	renewAt  time.Time   // when the file may be written anew again
	unsynced bool        // a new file has its name, but not durably
	aside    string      // a damaged file in whose place there is no new one yet

	committed chan struct{}
	wake      chan struct{}
	stop      chan struct{}
	done      chan struct{}
	salvaging sync.WaitGroup
	saving    bool // a salvage runs; guarded by mu
	closeOnce sync.Once
	closeErr  error
}

// Open opens the file or makes it, with mode 0600. A file that is damaged is
// renamed and its content saved in the background. Errors name the path and
// say what to do.
func Open(o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	go s.committer()
	s.startSalvage()
	return s, nil
}

// newStore opens all but the goroutines.
func newStore(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		o:         o,
		committed: make(chan struct{}, 1),
		wake:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.warn()
	if err := s.openOrReplace(); err != nil {
		return nil, openError(o.Path, err)
	}
	return s, nil
}

// adopt makes the volume the one of the store.
func (s *Store) adopt(v *volume, l ledger) error {
	var handedOut, notes map[string][]byte
	var claims map[ClaimID]claim
	s.leftover = nil
	err := v.view(func(tx *bbolt.Tx) (err error) {
		if handedOut, err = readState(tx); err != nil {
			return err
		}
		if notes, err = readNotes(tx); err != nil {
			return err
		}
		bad := 0
		if claims, bad, err = readClaims(tx); err != nil {
			return err
		}
		if bad > 0 {
			s.o.Log.Warn().Int("claims", bad).Str("path", s.o.Path).Msg("buffer: what was handed over cannot be read in part, those points may be sent twice")
		}
		return units(tx, 0, func(u unit) (bool, error) {
			if l.settled.has(u.span()) {
				s.leftover = append(s.leftover, u.base)
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	if s.packer == nil {
		s.packer = newPacker(v.codec, s.o.MaxSize)
	}
	s.packer.seal()
	s.written, s.pending, s.stale, s.swept = v.names.len(), nil, len(handedOut) > 0, 0
	s.holds.moved(v, s.volume() == v)
	s.holds.fresh = l.NextRecord // all that is there is backlog
	if err := v.view(func(tx *bbolt.Tx) error { return s.holds.recall(tx, &l, claims) }); err != nil {
		return err
	}
	s.mu.Lock()
	if s.vol == nil {
		s.handedOut, s.notes = handedOut, notes // of the last run; what other files have is of this one
	}
	s.vol, s.ledger = v, l
	if s.anchor == nil {
		s.anchor = l.Anchor.anchor()
	}
	s.mu.Unlock()
	// bbolt counts free pages when a transaction that may write ends.
	tx, err := v.db.Begin(true)
	if err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}
	return s.measure()
}

func (s *Store) volume() *volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vol
}

// Committed gets a signal after each commit that added points. Signals that
// nobody took yet are one.
func (s *Store) Committed() <-chan struct{} { return s.committed }

// Account gives the counters as of the last commit.
func (s *Store) Account() Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Account.withSubStates()
}

// SaveState keeps parts of state, by name, for the next start. They are
// written by the commit that Close makes.
func (s *Store) SaveState(parts map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = parts
}

// TakeState hands out, once, what SaveState kept before the last stop. The
// first commit deletes it from the file, so that it is never used twice.
func (s *Store) TakeState() (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.handedOut
	s.handedOut = nil
	return parts, nil
}

func (s *Store) isClosed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Close commits what is pending, ends the committer and closes the file.
// Further calls return what the first one did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.queue.close()
		close(s.stop)
		<-s.done
		s.salvaging.Wait()
		if err := s.volume().close(); err != nil && s.closeErr == nil {
			s.closeErr = fmt.Errorf("close buffer %s: %w", s.o.Path, err)
		}
	})
	return s.closeErr
}
