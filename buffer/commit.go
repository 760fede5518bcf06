package buffer

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// work is one commit: what it brings, and what came of it.
type work struct {
	drafts      []draft
	names       []nameBlock
	notes       map[string][]byte
	series      int // how many the file has the names of afterwards
	settlements []settlement
	unclaimed   []ClaimID
	damaged     map[uint64]bool
	changes     []func(tx *bbolt.Tx, l *ledger, w *work) error
	last        bool // before the store is closed
	state       map[string][]byte

	open    segment // the segment that goes on afterwards, if isOpen
	isOpen  bool
	touched map[uint64]bool // first records of segments that may be wholly settled now
	busy    map[uint64]bool // records with leases out: neither late nor evicted now
	cutoffs cutoffs
	sweep   bool // look for late records out of order too
	anchor  *probes.Anchor
	over    bool  // the anchor is of this boot: others have ended
	letters int64 // most bytes of dead letters

	commit uint64 // number of the try, 0 before the first
	fresh  uint64 // number of the first new record
	ledger ledger // as the try left it
}

const (
	retryDelay  = time.Second
	roundsOfMax = 4 // how often room is made for one commit

	idleBeat   = 10 * time.Second // from one sign of life to the next, without work
	beatGrace  = 30 * time.Second
	longestTry = 10 * time.Minute // a commit on a card that is dying; more is a hang
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
		wait, ok := s.due()
		beat := !ok || wait > idleBeat
		if beat {
			wait = idleBeat
		}
		timer.Reset(wait)
		s.o.Beat(idleBeat + beatGrace)
		select {
		case <-s.stop:
			s.closeErr = s.commitLast()
			return
		case <-s.wake:
		case <-timer.C:
			if !beat {
				s.o.Beat(longestTry)
				_ = s.commitNext(nil)
			}
		}
	}
}

// due tells when the next commit has something to do.
func (s *Store) due() (time.Duration, bool) {
	retry := time.Until(s.retryAt)
	if s.running != nil {
		return retry, true
	}
	points, ok := s.queue.due(s.o.CommitInterval)
	settled, also := s.holds.due(s.o.CommitInterval)
	switch {
	case ok && also:
		return max(min(points, settled), retry), true
	case ok:
		return max(points, retry), true
	}
	return max(settled, retry), also
}

// commitLast commits all that is pending, the saved state, and that the stop
// was a planned one.
func (s *Store) commitLast() error {
	var err error
	if s.running != nil {
		err = s.commitNext(nil)
	}
	if err == nil {
		s.mu.Lock()
		state, clean := s.saved, s.ledger.Clean && len(s.unsaved) == 0 && s.ledger.hasAnchor(s.anchor)
		s.mu.Unlock()
		if _, pending := s.due(); !pending && state == nil && clean {
			return nil
		}
		if state == nil {
			state = map[string][]byte{}
		}
		err = s.commitState(state)
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

// commitState makes the last commit. A state that the file has no room for
// costs no points.
func (s *Store) commitState(state map[string][]byte) error {
	err := s.commitNext(state)
	if !errors.Is(err, berrors.ErrMaxSizeReached) || s.running == nil || len(state) == 0 {
		return err
	}
	s.running.state = nil
	if again := s.commitNext(nil); again != nil {
		return again
	}
	return fmt.Errorf("save state: %w", err)
}

// commitNext makes one commit, or tries the last one again. State is for the
// last one.
func (s *Store) commitNext(state map[string][]byte) error {
	err := s.holds.damage()
	if err == nil {
		err = s.begin(state)
	}
	if err == nil {
		err = guard(func() error { return s.try(s.running) }) // reading may panic too
	}
	if isDamage(err) {
		err = s.replaceDamaged(err, state)
	}
	s.sound(err)
	if err != nil {
		s.retryAt = time.Now().Add(retryDelay)
		return err
	}
	w := s.running
	s.running, s.retryAt = nil, time.Time{}
	s.finish(w)
	return nil
}

// begin takes what is pending, unless a commit is still to be tried again.
func (s *Store) begin(state map[string][]byte) error {
	if s.running == nil {
		w := &work{last: state != nil, state: state, damaged: s.holds.takeDamaged()}
		for n := range w.damaged {
			if n >= s.packer.open.base {
				s.packer.seal() // what is behind it in its segment cannot be read
			}
		}
		tickets := s.queue.take()
		if err := s.pack(w, tickets); err != nil {
			s.queue.finish(err)
			return err
		}
		w.settlements, w.notes, w.unclaimed = s.holds.take(), s.takeNotes(tickets), s.holds.takeUnclaimed()
		s.running = w
	}
	w := s.running
	w.letters = mostLetters(s.o.MaxSize)
	s.mu.Lock()
	w.anchor, w.over = s.anchor, s.anchored
	s.mu.Unlock()
	w.cutoffs = s.cutoffs()
	w.busy = s.holds.begin(w.cutoffs)
	step := s.o.Window.Milliseconds() / sweeps
	w.sweep = w.cutoffs.points != never && (w.cutoffs.points >= s.swept+step || w.cutoffs.points < s.swept-step)
	return nil
}

// pack makes records of the tickets.
func (s *Store) pack(w *work, tickets []*Ticket) error {
	v := s.volume()
	s.mu.Lock()
	next, st := s.ledger.NextRecord, newStamper(s.anchor, s.ledger.Guesses)
	s.mu.Unlock()
	kins := st.kins(tickets)
	groups := make([][]arc.Group, len(kins))
	for i, k := range kins {
		groups[i] = group(v.names, tickets, st, k)
	}
	w.series = v.names.len()
	var err error
	if w.names, err = v.names.blocks(v.codec, s.written, w.series); err != nil {
		return err
	}
	s.written = w.series // blocks are made once
	s.pending = append(s.pending, w.names...)
	w.names = s.pending
	if s.tailDone && s.packer.records >= sealRecords/2 {
		s.packer.seal()
	}
	names := dictionaryState{print: v.names.print, grown: len(w.names) > 0}
	for i, k := range kins {
		s.packer.turn(k)
		points, err := s.packer.points(next+uint64(len(w.drafts)), groups[i], names)
		if err != nil {
			return err
		}
		w.draft(points, k, st)
		entries, err := s.packer.entries(next+uint64(len(w.drafts)), collect(tickets, st, k), names)
		if err != nil {
			return err
		}
		w.draft(entries, k, st)
	}
	for _, t := range tickets {
		if t.change != nil {
			w.changes = append(w.changes, t.change)
		}
	}
	w.open, w.isOpen = s.packer.open, s.packer.records > 0
	return nil
}

// draft adds records whose stamps are kin.
func (w *work) draft(drafts []draft, k kin, st *stamper) {
	for _, d := range drafts {
		d.boot, d.ahead = k.boot, st.bases[k.boot]
		w.drafts = append(w.drafts, d)
	}
}

// try brings the work into the file. After an error the outcome is unknown:
// the file may show the commit although its last page was not flushed. So the
// next try looks its number up first, and if it is there only writes the
// other of the two meta pages anew.
func (s *Store) try(w *work) error {
	if err := s.syncName(); err != nil {
		return err
	}
	if w.commit != 0 {
		there, err := s.shows(w)
		if err != nil || there {
			return err
		}
	}
	s.reserve(w.bytes())
	err := s.update(w)
	for round := 1; errors.Is(err, berrors.ErrMaxSizeReached) && round <= roundsOfMax; round++ {
		// Also a commit that only seals or settles needs pages.
		if err = s.makeRoom(w, max(w.bytes(), maxChunkSize)<<round); err != nil {
			return err
		}
		err = s.update(w)
	}
	return err
}

// shows reports whether the file has the commit, and makes that durable.
func (s *Store) shows(w *work) (there bool, err error) {
	v := s.volume()
	err = v.view(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		there = err == nil && l.Commit == w.commit
		return err
	})
	if err != nil || !there {
		return false, err
	}
	return true, v.write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		w.ledger = l
		return writeLedger(tx, l)
	})
}

func (s *Store) update(w *work) error {
	return s.volume().write(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		l.Commit++
		w.commit = l.Commit
		if err := s.apply(tx, &l, w); err != nil {
			return err
		}
		l.Clean = w.last
		w.ledger = l
		return writeLedger(tx, l)
	})
}

// apply is the whole of a commit, in the order that ACCOUNT.md gives.
func (s *Store) apply(tx *bbolt.Tx, l *ledger, w *work) error {
	w.touched = make(map[uint64]bool)
	for _, base := range s.leftover {
		w.touched[base] = true
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"give up damaged records", func() error { return giveUp(tx, l, w) }},
		{"settle", func() error { return settleAll(tx, l, w) }},
		{"delete claims", func() error { return dropClaims(tx, w.unclaimed) }},
		{"write series", func() error { return putNames(tx, w.names) }},
		{"add records", func() error { return add(tx, l, w) }},
		{"change the buffer", func() error { return change(tx, l, w) }},
		{"date records", func() error { w.sweep = l.date(w.anchor, w.over) || w.sweep; return nil }},
		{"move to late", func() error { return moveLate(tx, l, w) }},
		{"evict", func() error { return s.evictAll(tx, l, w) }},
		{"delete settled segments", func() error { return dropSettled(tx, l, w) }},
		{"seal records", func() error { return sealTail(tx, l) }},
		{"save notes", func() error { return putNotes(tx, w.notes) }},
		{"save state", func() error { return s.writeState(tx, w.state) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func change(tx *bbolt.Tx, l *ledger, w *work) error {
	for _, do := range w.changes {
		if err := do(tx, l, w); err != nil {
			return err
		}
	}
	return nil
}

// add writes the new records.
func add(tx *bbolt.Tx, l *ledger, w *work) error {
	w.fresh = l.NextRecord
	for _, d := range w.drafts {
		own, err := tx.CreateBucket(tailKey(d.number()))
		if err != nil {
			return err
		}
		if err := own.Put(keyFrames, d.framed); err != nil {
			return err
		}
		if d.index == 0 {
			w.touched[l.Open] = true // it has got all its records
			l.Open = d.base
			l.Segments++
		}
		if d.guess {
			l.Guesses = l.Guesses.add(d.number(), d.boot, d.ahead)
		}
		l.NextRecord = d.number() + 1
		l.Records++
		l.Account.Accepted += int64(d.count)
		l.Account.Buffered += int64(d.count)
	}
	return nil
}

func settleAll(tx *bbolt.Tx, l *ledger, w *work) error {
	for _, st := range w.settlements {
		if err := settle(tx, l, w, st); err != nil {
			return err
		}
	}
	return nil
}

// settle marks points of one record as settled. A record without open points
// was evicted or found damaged; its points are counted there.
func settle(tx *bbolt.Tx, l *ledger, w *work, st settlement) error {
	if l.settled.has(st.record.span()) {
		return nil
	}
	m, err := readMark(tx, st.record.number())
	if err != nil {
		return err
	}
	delivered, refused := st.by[Delivered].count(), st.by[Refused].count()
	late := m.late || st.record.number() < l.LateThrough
	*l.Account.held(late) -= delivered + refused
	l.Account.bookElsewhere(st.by, late)
	l.Account.Delivered += delivered
	l.Account.DeadLetter += refused
	l.Account.LateLogged += st.by[Logged].count() // and stay late
	l.Account.LateDropped += st.by[Dropped].count()
	for _, x := range st.letters {
		if err := x.put(tx, l); err != nil {
			return err
		}
		if err := capDead(tx, l, w.letters); err != nil { // now, lest the file cannot hold them
			return err
		}
	}
	m.settled = m.settled.union(st.by[:]...)
	if m.settled.count() < int64(st.record.count) {
		return writeMark(tx, l.Commit, st.record.number(), m)
	}
	return l.close(tx, w, st.record)
}

// close notes that the record has no open points any more.
func (l *ledger) close(tx *bbolt.Tx, w *work, r record) error {
	l.Records--
	l.settled = l.settled.add(r.span())
	w.touched[r.base] = true
	return tx.Bucket(bucketMarks).Delete(number(r.number()))
}

// open gives the counter that the open points of a record are in, and how many
// they are: none once the record is settled.
func (l *ledger) open(tx *bbolt.Tx, r record) (counter *int64, points int64, err error) {
	if l.settled.has(r.span()) {
		return nil, 0, nil
	}
	m, err := readMark(tx, r.number())
	if err != nil {
		return nil, 0, err
	}
	return l.Account.held(m.late || r.number() < l.LateThrough), int64(r.count) - m.settled.count(), nil
}

// finish tells everybody about a durable commit.
func (s *Store) finish(w *work) {
	s.pending, s.leftover, s.stale = nil, nil, false
	if w.sweep {
		s.swept = w.cutoffs.points
	}
	s.mu.Lock()
	s.ledger = w.ledger
	if s.anchor == nil {
		s.anchor = w.ledger.Anchor.anchor() // of a file that was set aside
	}
	s.mu.Unlock()
	err := s.measure()
	s.holds.finish(w, err)
	s.volume().codec.Rest()
	s.sound(err)
	if err := s.giveBackSpace(w.last); err != nil {
		s.o.Log.Warn().Err(err).Str("path", s.o.Path).Msg("buffer cannot give free space back to the disk")
	}
	s.queue.finish(nil)
	if len(w.drafts) == 0 {
		return
	}
	select {
	case s.committed <- struct{}{}:
	default:
	}
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
