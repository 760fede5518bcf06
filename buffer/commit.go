package buffer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// work is one commit: what it brings, and what came of it.
type work struct {
	drafts      []draft
	seriesFrom  int // the series seriesFrom..seriesTo-1 are new
	seriesTo    int
	settlements []settlement
	damaged     map[uint64]bool
	repair      bool
	state       map[string][]byte // written by the last commit only

	busy   map[uint64]bool // records with leases out: neither late nor evicted now
	cutoff int64
	sweep  bool // look for late records out of order too

	commit uint64 // number of the try, 0 before the first
	fresh  uint64 // number of the first new record
	ledger ledger // as the try left it
}

const (
	retryDelay  = time.Second
	roundsOfMax = 4 // how often room is made for one commit
)

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// committer makes all commits until the store is closed. A failed one is
// tried again, unchanged, before anything newer.
func (s *Store) committer() {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait, ok := s.due(); ok {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-s.stop:
			s.closeErr = s.commitLast()
			return
		case <-s.wake:
		case <-timer.C:
			_ = s.commitNext(nil)
		}
	}
}

// due tells when the next commit has something to do.
func (s *Store) due() (time.Duration, bool) {
	if s.running != nil {
		return time.Until(s.retryAt), true
	}
	points, ok := s.queue.due(s.o.CommitInterval)
	settled, also := s.holds.due(s.o.CommitInterval)
	switch {
	case ok && also:
		return min(points, settled), true
	case ok:
		return points, true
	}
	return settled, also
}

// commitLast commits all that is pending and the saved state.
func (s *Store) commitLast() error {
	s.mu.Lock()
	state := s.saved
	s.mu.Unlock()
	var err error
	if s.running != nil {
		err = s.commitNext(nil)
	}
	if _, pending := s.due(); err == nil && (pending || len(state) > 0) {
		err = s.commitNext(state)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("commit to buffer %s: %w", s.o.Path, err)
	s.queue.finish(err)
	s.queue.take()
	s.queue.finish(err)
	return err
}

// commitNext makes one commit, or tries the last one again.
func (s *Store) commitNext(state map[string][]byte) error {
	err := s.begin(state)
	if err == nil {
		err = guard(func() error { return s.try(s.running) }) // reading may panic too
	}
	s.sound(err)
	if err != nil {
		s.retryAt = time.Now().Add(retryDelay)
		return err
	}
	w := s.running
	s.running = nil
	s.finish(w)
	return nil
}

// errPages says that bbolt cannot read its own pages.
var errPages = errors.New("file is damaged")

// guard turns a panic, which bbolt has on damaged pages, into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPages, r)
		}
	}()
	return fn()
}

// write is one transaction. It is not bbolt's Update, which after a panic
// scans the whole file in a goroutine of its own, where nothing stops the next
// panic.
func (s *Store) write(fn func(tx *bbolt.Tx) error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	err = guard(func() error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		_ = tx.Rollback() // has no effect where Commit has done it
	}
	return err
}

// begin takes what is pending, unless a commit is still to be tried again.
func (s *Store) begin(state map[string][]byte) error {
	if s.running == nil {
		w := &work{state: state, seriesFrom: s.written}
		var err error
		if w.drafts, err = s.drafts(s.queue.take()); err != nil {
			err = fmt.Errorf("pack points: %w", err)
			s.queue.finish(err)
			return err
		}
		w.seriesTo = s.names.len()
		w.settlements, w.damaged, w.repair = s.holds.take()
		s.running = w
	}
	w := s.running
	w.cutoff = s.cutoff()
	w.busy = s.holds.begin(w.cutoff)
	step := s.o.Window.Milliseconds() / sweeps
	w.sweep = w.cutoff >= s.swept+step || w.cutoff < s.swept-step
	return nil
}

// try brings the work into the file. After an error the outcome is unknown:
// the file may show the commit although its last page was not flushed. So the
// next try looks its number up first, and if it is there only writes the
// other of the two meta pages anew.
func (s *Store) try(w *work) error {
	if w.commit != 0 {
		there, err := s.shows(w)
		if err != nil || there {
			return err
		}
	}
	err := s.update(w)
	if errors.Is(err, errDamaged) && !w.repair {
		w.repair = true
		err = s.update(w)
	}
	for round := 1; errors.Is(err, berrors.ErrMaxSizeReached) && round <= roundsOfMax; round++ {
		if err = s.makeRoom(w, w.bytes()<<round); err != nil {
			return err
		}
		err = s.update(w)
	}
	return err
}

// shows reports whether the file has the commit, and makes that durable.
func (s *Store) shows(w *work) (there bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		there = err == nil && l.Commit == w.commit
		return err
	})
	if err != nil || !there {
		return false, err
	}
	return true, s.write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		w.ledger = l
		return writeLedger(tx, l)
	})
}

func (s *Store) update(w *work) error {
	return s.write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		l.Commit++
		w.commit = l.Commit
		if err := s.apply(tx, &l, w); err != nil {
			return err
		}
		w.ledger = l
		return writeLedger(tx, l)
	})
}

// apply is the whole of a commit, in the order that ACCOUNT.md gives.
func (s *Store) apply(tx *bbolt.Tx, l *ledger, w *work) error {
	if w.repair || len(w.damaged) > 0 {
		if err := repair(tx, l, w.damaged); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	for _, st := range w.settlements {
		if err := settle(tx, l, st); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	if err := s.names.write(tx, s.codec, w.seriesFrom, w.seriesTo); err != nil {
		return err
	}
	if err := add(tx, l, w); err != nil {
		return fmt.Errorf("add record: %w", err)
	}
	if err := moveLate(tx, l, w); err != nil {
		return fmt.Errorf("move to late: %w", err)
	}
	if err := s.capDead(tx, l); err != nil {
		return fmt.Errorf("evict dead letters: %w", err)
	}
	if err := evict(tx, l, s.excess(w), w.busy); err != nil {
		return fmt.Errorf("evict: %w", err)
	}
	return s.writeState(tx, w.state)
}

// add writes the new records.
func add(tx *bbolt.Tx, l *ledger, w *work) error {
	records := tx.Bucket(bucketRecords)
	records.FillPercent = 1 // keys only ever grow
	w.fresh = l.NextRecord
	for _, d := range w.drafts {
		key := recordKey{seq: l.NextRecord, min: d.min, max: d.max, count: d.count}.bytes()
		if err := putRecord(records, key, seal(key, d.content)); err != nil {
			return err
		}
		l.NextRecord++
		l.Records++
		l.Account.Accepted += int64(d.count)
		l.Account.Buffered += int64(d.count)
	}
	return nil
}

// settle marks points of one record as settled, or deletes it once all are.
// A record that is gone was evicted or found damaged; its points are counted
// there.
func settle(tx *bbolt.Tx, l *ledger, st settlement) error {
	if !exists(tx, st.key) {
		return nil
	}
	m, err := readMark(tx, st.key.seq)
	if err != nil {
		return err
	}
	delivered, refused := st.delivered.count(), st.refused.count()
	*l.Account.held(m.late || st.key.seq < l.LateThrough) -= delivered + refused
	l.Account.Delivered += delivered
	l.Account.DeadLetter += refused
	for _, x := range st.letters {
		if err := x.put(tx, l); err != nil {
			return err
		}
	}
	m.settled = m.settled.union(st.delivered, st.refused)
	if m.settled.count() < int64(st.key.count) {
		return writeMark(tx, st.key.seq, m)
	}
	l.Records--
	return deleteRecord(tx, st.key)
}

// finish tells everybody about a durable commit.
func (s *Store) finish(w *work) {
	s.stale, s.written = false, w.seriesTo
	if w.sweep {
		s.swept = w.cutoff
	}
	err := s.measure()
	s.mu.Lock()
	s.ledger = w.ledger
	s.mu.Unlock()
	s.sound(err)
	s.holds.finish(w)
	s.queue.finish(nil)
	if len(w.drafts) == 0 {
		return
	}
	select {
	case s.committed <- struct{}{}:
	default:
	}
}

// measure looks at the file after a commit.
func (s *Store) measure() error {
	info, err := os.Stat(s.o.Path)
	if err != nil {
		return fmt.Errorf("look at the file: %w", err)
	}
	var high, first int64
	err = s.db.View(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		high, first = tx.Size(), s.oldest(tx, l.LateThrough)
		return err
	})
	if err != nil {
		return err
	}
	free := s.db.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stat.FileBytes = info.Size()
	s.stat.UsedBytes = high - int64(free.FreePageN+free.PendingPageN)*pageSize
	s.stat.Oldest = time.Time{}
	if first != noTime {
		s.stat.Oldest = time.UnixMilli(first)
	}
	return nil
}

// sound keeps the alarm up to date and logs when it changes.
func (s *Store) sound(err error) {
	text := ""
	if err != nil {
		text = alarmText(s.o.Path, err)
	}
	s.mu.Lock()
	changed := s.stat.Alarm != text
	s.stat.Alarm = text
	s.mu.Unlock()
	switch {
	case changed && err != nil:
		s.o.Log.Error().Err(err).Msg(text)
	case changed:
		s.o.Log.Info().Str("path", s.o.Path).Msg("buffer takes points again")
	}
}
