package custody

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// work is one commit: what it brings, and what came of it.
type work struct {
	puts       []*Ticket
	recalls    []uint64
	settled    map[uint64][]Part
	forgets    map[string]uint64
	orders     []*order
	late       []*block
	lost       []*block // their sites come no more
	notes      map[string][]byte
	evicted    []*block // by the last try
	last       bool     // before the store is closed
	probe      bool     // write something, so that the disk shows whether it takes it
	commit     uint64   // number of the last try, 0 before the first
	pass       *pass    // the last try
	space      space    // before it
	epochsNext []byte
	epochsFrom []byte
}

// empty: there is nothing to be written.
func (w *work) empty() bool {
	return !w.probe && len(w.puts)+len(w.recalls)+len(w.settled)+len(w.forgets)+len(w.orders)+len(w.late)+len(w.lost)+len(w.notes) == 0
}

const (
	retryDelay = time.Second
	lookAround = 10 * time.Second // without a commit, for late blocks

	beatGrace  = 30 * time.Second // how late a sign of life may be
	longestTry = 10 * time.Minute // a commit on a card that is dying; more is a hang
)

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// later has the next commit made within the interval. It is called with mu
// held.
func (s *Store) later() {
	if s.since.IsZero() {
		s.since = time.Now()
		s.wakeUp()
	}
}

// refusing: the disk takes nothing, and it is not time to try again. It is
// called with mu held.
func (s *Store) refusing() bool { return s.stat.Alarm != "" && time.Now().Before(s.retryAt) }

// committer makes all commits until the store is closed. While one runs, what
// comes waits for the next: so many share one when the disk is slow.
func (s *Store) committer() {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := s.due()
		if wait <= 0 {
			s.o.Beat(longestTry)
			_ = s.commitNext(false)
			wait = s.due()
		}
		timer.Reset(wait)
		s.o.Beat(lookAround + beatGrace)
		select {
		case <-s.stop:
			s.closeErr = s.commitLast()
			return
		case <-s.wake:
		case <-timer.C:
			if s.idle() {
				s.lookAround()
			}
		}
	}
}

// due is how long the next commit may wait.
func (s *Store) due() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	retry := time.Until(s.retryAt)
	switch {
	case s.running != nil:
		return retry
	case s.broken != nil || len(s.puts)+len(s.orders)+len(s.late)+len(s.lost) > 0:
		return max(retry, 0)
	case !s.since.IsZero():
		return max(retry, s.o.SettleInterval-time.Since(s.since))
	}
	return lookAround
}

func (s *Store) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == nil && s.since.IsZero() && len(s.puts)+len(s.orders) == 0
}

// lookAround finds what becomes late without a commit.
func (s *Store) lookAround() {
	s.mu.Lock()
	defer s.mu.Unlock()
	late, lost := s.takeLate()
	s.late, s.lost = append(s.late, late...), append(s.lost, lost...)
}

// commitLast commits all that is pending.
func (s *Store) commitLast() error {
	var err error
	for err == nil && s.hasWork() {
		err = s.commitNext(true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.running; w != nil {
		w.finish(ErrClosed)
	}
	for _, t := range s.puts {
		t.finish(Result{}, ErrClosed)
	}
	for _, o := range s.orders {
		o.err = ErrClosed
		close(o.done)
	}
	if err != nil {
		return fmt.Errorf("commit to relay store %s: %w", s.o.Path, err)
	}
	return nil
}

func (s *Store) hasWork() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil || len(s.puts)+len(s.orders)+len(s.late)+len(s.lost)+len(s.recalls)+len(s.settled)+len(s.forgets)+len(s.unsaved) > 0
}

// finish ends all that waits for the work, without success.
func (w *work) finish(err error) {
	for _, t := range w.puts {
		t.finish(Result{}, err)
	}
	for _, o := range w.orders {
		o.err = err
		close(o.done)
	}
	w.puts, w.orders = nil, nil
}

// commitNext makes one commit, or tries the last one again.
func (s *Store) commitNext(last bool) error {
	s.begin(last)
	err := s.takeBroken()
	if err == nil {
		err = s.try(s.running)
	}
	if isDamage(err) {
		err = s.replaceDamaged(err)
	}
	if err != nil {
		s.failed(err)
		return err
	}
	s.succeeded()
	return nil
}

// takeBroken gives what a reader has found wrong with the file.
func (s *Store) takeBroken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.broken
	s.broken = nil
	return err
}

// begin takes what is pending, unless a commit is still to be tried again.
func (s *Store) begin(last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running.last = s.running.last || last
		return
	}
	w := &work{
		recalls: s.recalls, settled: s.settled, forgets: s.forgets, orders: s.orders, notes: s.unsaved,
		last: last, probe: s.stat.Alarm != "", epochsFrom: s.epochsFrom,
	}
	bytes := 0
	for len(s.puts) > len(w.puts) && (bytes == 0 || bytes+s.puts[len(w.puts)].block.weight() <= mostBytes) {
		t := s.puts[len(w.puts)]
		bytes += t.block.weight()
		w.puts = s.puts[:len(w.puts)+1]
	}
	if s.puts = s.puts[len(w.puts):]; len(s.puts) == 0 {
		s.puts = nil
	}
	s.recalls, s.settled, s.forgets, s.orders, s.unsaved, s.since = nil, make(map[uint64][]Part), nil, nil, nil, time.Time{}
	for _, o := range w.orders {
		o.choose(&s.x)
	}
	late, lost := s.takeLate()
	w.late, w.lost = append(s.late, late...), append(s.lost, lost...)
	s.late, s.lost = nil, nil
	s.running = w
}

// try brings the work into the file. After an error the outcome is unknown: the
// file may show the commit although its last page was not flushed. So the next
// try looks its number up first, and if it is there only writes the other of
// the two meta pages anew.
func (s *Store) try(w *work) error {
	if w.commit != 0 {
		there, err := s.shows(w)
		if err != nil || there {
			return err
		}
	}
	if w.empty() {
		w.pass = nil
		return nil
	}
	v := s.volume()
	var err error
	if w.space, err = v.space(); err != nil {
		return err
	}
	bytes := int64(0)
	for _, t := range w.puts {
		bytes += footprint(uint32(t.block.weight()))
	}
	if bytes > 0 {
		v.reserve(w.space, bytes, s.o.MaxSize)
	}
	return v.write(func(tx *bbolt.Tx) error { return s.apply(tx, w) })
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
	return true, v.write(func(tx *bbolt.Tx) error { return writeLedger(tx, w.pass.l) })
}

// apply is the whole of a commit, in the order that ACCOUNT.md gives.
func (s *Store) apply(tx *bbolt.Tx, w *work) error {
	s.stay(&w.evicted)
	s.mu.Lock()
	room := s.room(w.space)
	s.mu.Unlock()
	p := s.newPass(tx, w, room)
	var err error
	if p.l, err = readLedger(tx); err != nil {
		return err
	}
	p.l.Commit++
	w.commit, w.pass = p.l.Commit, p
	steps := []struct {
		what string
		do   func() error
	}{
		{"recall blocks", p.recallAll},
		{"settle", p.settleAll},
		{"forget", p.forgetAll},
		{"add blocks", p.putAll},
		{"purge", p.purgeAll},
		{"move to late", p.moveAll},
		{"expire epochs", p.expire},
		{"save notes", p.saveNotes},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	if !p.dirty && !w.probe && len(p.done) == 0 {
		w.commit = 0
		return errNothing
	}
	return p.flush()
}

func (p *pass) recallAll() error {
	for _, n := range p.w.recalls {
		if err := p.recall(n); err != nil {
			return err
		}
	}
	for _, b := range p.w.lost {
		e, err := p.entry(b.number)
		if err == nil && e != nil && e.is(flagBroken) {
			err = p.end(e, damaged, &e.counts.Damaged)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) settleAll() error {
	for n, parts := range p.w.settled {
		if err := p.settle(n, parts); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) putAll() error {
	for _, t := range p.w.puts {
		r, err := p.put(&t.block)
		if err != nil {
			return err
		}
		p.results = append(p.results, r)
	}
	return nil
}

func (p *pass) forgetAll() error {
	for key, floor := range p.w.forgets {
		if err := p.forget(key, floor); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) purgeAll() error {
	for _, o := range p.w.orders {
		if err := p.purge(o); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) moveAll() error {
	for _, b := range p.w.late {
		if err := p.moveLate(b.number); err != nil {
			return err
		}
	}
	return nil
}

// stay gives blocks free that a commit was to move or delete.
func (s *Store) stay(lists ...*[]*block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range lists {
		for _, b := range *list {
			b.leaving = false
		}
		*list = nil
	}
}

// failed keeps the work for a later try, but for new blocks where it is sure
// that the file does not have them: their sites keep them.
func (s *Store) failed(err error) {
	w := s.running
	v := s.volume()
	absent := w.commit == 0 || v == nil
	if !absent {
		there := false
		broken := v.view(func(tx *bbolt.Tx) error {
			l, err := readLedger(tx)
			there = err == nil && l.Commit == w.commit
			return err
		})
		absent = broken == nil && !there
	}
	s.sound(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retryAt = time.Now().Add(retryDelay)
	if !absent {
		return
	}
	w.probe = true
	s.refuse(w.puts)
	s.refuse(s.puts)
	w.puts, s.puts = nil, nil
}

// refuse answers Full. It is called with mu held.
func (s *Store) refuse(tickets []*Ticket) {
	for _, t := range tickets {
		s.pending -= int64(t.block.weight())
		s.stat.Refused++
		t.finish(Result{Status: Full}, nil)
	}
}

// succeeded tells everybody about a durable commit.
func (s *Store) succeeded() {
	w := s.running
	p := w.pass
	s.stayAll(w)
	if p != nil {
		s.sound(nil)
	}
	x, err := s.volume().space()
	if err != nil {
		s.sound(err)
	}
	s.mu.Lock()
	s.running, s.retryAt = nil, time.Time{}
	if err == nil {
		s.space = x
	}
	if p != nil {
		s.learn(p)
	}
	s.answer(w)
	finished, added := len(s.finished) > 0, p != nil && p.added > 0
	s.mu.Unlock()
	if finished {
		signal(s.finishedC)
	}
	if added {
		signal(s.committed)
	}
}

func (s *Store) stayAll(w *work) {
	s.stay(&w.evicted, &w.late, &w.lost)
	for _, o := range w.orders {
		s.stay(&o.blocks)
	}
}

// learn brings the memory to the state of the file. It is called with mu held.
func (s *Store) learn(p *pass) {
	s.stat.Commits++
	s.stat.Stored += p.added
	s.epochsFrom = p.w.epochsNext
	s.ledger = p.l
	s.x.total = complete(p.l.Account)
	for _, n := range p.removed {
		s.x.remove(n)
		delete(s.settled, n)
	}
	for _, e := range p.rewrite {
		s.x.update(e)
	}
	for name, x := range p.sites {
		if p.changed[name] {
			s.x.site(name).state = *x
		}
	}
	s.finished = append(s.finished, p.done...)
}

// answer gives the tickets and orders their results. It is called with mu held.
func (s *Store) answer(w *work) {
	for i, t := range w.puts {
		r := w.pass.results[i]
		switch r.Status {
		case Duplicate, Done:
			s.stat.Duplicates++
		case Full:
			s.stat.Refused++
		}
		s.pending -= int64(t.block.weight())
		t.finish(r, nil)
	}
	for _, o := range w.orders {
		close(o.done)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
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
		s.o.Log.Info().Str("path", s.o.Path).Msg("relay store takes blocks again")
	}
}

// replaceDamaged sets the file aside while the store runs, and goes on with a
// new one. The blocks of the old one come again from their sites, since the
// store's epoch is another one; new ones are committed.
func (s *Store) replaceDamaged(cause error) error {
	s.mu.Lock()
	v := s.vol
	s.vol = nil
	s.mu.Unlock()
	if v != nil {
		v.abandon()
	}
	if err := s.startAnew(cause); err != nil {
		s.mu.Lock()
		s.broken = errors.Join(buffer.ErrPages, cause)
		s.mu.Unlock()
		return err
	}
	w := s.running
	s.mu.Lock()
	s.x = newIndex()
	s.settled, s.recalls, s.forgets, s.late, s.lost = make(map[uint64][]Part), nil, nil, nil, nil
	s.unsaved = maps.Clone(s.notes)
	s.running = &work{puts: w.puts, orders: w.orders, last: w.last, probe: true, notes: s.unsaved}
	s.unsaved = nil
	s.mu.Unlock()
	for _, o := range w.orders {
		o.blocks = nil
	}
	return s.try(s.running)
}
