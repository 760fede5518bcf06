package buffer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// rescue is one salvage on its way.
type rescue struct {
	s      *Store
	sal    salvage // as far as it was when this began
	scan   *scanner
	index  *index
	names  *dictionary
	cursor *cursor
	batch  batch
}

// batch is points on their way into one ticket.
type batch struct {
	points  []probes.Point
	entries []Entry
	weight  int
	most    int
}

func (b *batch) count() int64 { return int64(len(b.points) + len(b.entries)) }

const (
	maxBatch    = 1 << 16
	letterBatch = 256
)

// rescue saves what the file still holds. What is saved and how far that got
// is in one commit, so another start goes on where this one ended.
func (s *Store) rescue(sal salvage) error {
	f, err := os.Open(filepath.Join(filepath.Dir(s.o.Path), sal.File))
	if errors.Is(err, fs.ErrNotExist) {
		x := &rescue{s: s, sal: sal}
		return x.finish("it is gone")
	}
	if err != nil {
		return fmt.Errorf("open the file that was set aside: %w", err)
	}
	defer func() { _ = f.Close() }()
	scan, err := newScanner(f, func() bool { return s.ended(sal.File) })
	if err != nil {
		return fmt.Errorf("read the file that was set aside: %w", err)
	}
	x := &rescue{s: s, sal: sal, scan: scan, names: newDictionary(), cursor: newCursor(s.volume().codec)}
	x.batch.most = max(1, min(maxBatch, s.o.MaxPending/2))
	return x.run()
}

func (x *rescue) run() error {
	if err := x.look(0); err != nil {
		return err
	}
	if err := x.adopt(); err != nil {
		return err
	}
	if err := x.saveLetters(); err != nil {
		return err
	}
	for {
		for _, st := range x.index.stretches() {
			if x.s.ended(x.sal.File) {
				return errEnded
			}
			if err := x.saveSegment(st); err != nil {
				return err
			}
		}
		if x.index.limit == math.MaxUint64 {
			return x.finish("it is done")
		}
		if err := x.look(x.index.limit); err != nil {
			return err
		}
	}
}

// look finds what is in the file, of segments from a first record on.
func (x *rescue) look(from uint64) error {
	x.index = newIndex(from, maxIndex)
	x.scan.scan(x.index.add)
	if x.s.ended(x.sal.File) {
		return errEnded
	}
	return nil
}

// commit makes a change to the account and the salvage, together with the
// points and entries of the batch, which is empty then. A change that comes
// when another file was set aside has no effect: its points are new ones.
func (x *rescue) commit(change func(tx *bbolt.Tx, l *ledger, n int64) error) error {
	b := &x.batch
	points, entries, n := b.points, b.entries, b.count()
	b.points, b.entries, b.weight = nil, nil, 0
	for {
		t := &Ticket{points: points, entries: entries, done: make(chan struct{})}
		t.change = func(tx *bbolt.Tx, l *ledger, _ *work) error {
			if l.Salvage == nil || l.Salvage.File != x.sal.File {
				return nil
			}
			return change(tx, l, n)
		}
		if !x.s.queue.offer(t, x.s.o.MaxPending) {
			x.s.pause(salvagePause)
			if x.s.ended(x.sal.File) {
				return errEnded
			}
			continue
		}
		x.s.wakeUp()
		err := t.Wait(context.Background())
		switch {
		case err == nil && !x.s.ended(x.sal.File):
			return nil
		case err == nil || errors.Is(err, ErrClosed) || x.s.isClosed():
			return errEnded
		case errors.Is(err, ErrDropped):
			x.s.queue.undrop(n)
			x.s.pause(salvagePause)
		case n == 0:
			return err
		default: // they cannot be packed
			x.s.o.Log.Error().Err(err).Int64("points", n).Msg("points of the damaged buffer file cannot be kept")
			points, entries, n = nil, nil, 0
		}
	}
}

// adopt makes the account of the old file part of this one. All that was in
// the old file counts as damaged until it is saved.
func (x *rescue) adopt() error {
	if x.sal.Adopted {
		return nil
	}
	var old Account
	var anchor *savedAnchor
	if l := x.index.ledger; l != nil && l.Account.Check() == nil {
		old, anchor = l.Account, l.Anchor
	}
	sure := x.index.ledger != nil && isNewest(filepath.Join(filepath.Dir(x.s.o.Path), x.sal.File), x.index.ledger.Commit)
	return x.commit(func(_ *bbolt.Tx, l *ledger, _ int64) error {
		missing := old.Buffered + old.archived() + old.letters()
		l.Account.Accepted += old.Accepted
		l.Account.Delivered += old.Delivered
		l.Account.Late += old.LateLogged + old.LateDropped + old.LateElsewhere
		l.Account.LateElsewhere += old.LateElsewhere
		l.Account.DeadLetter += old.DeadElsewhere
		l.Account.DeadElsewhere += old.DeadElsewhere
		l.Account.LateLogged += old.LateLogged
		l.Account.LateDropped += old.LateDropped
		l.Account.Evicted += old.Evicted
		l.Account.Purged += old.Purged
		l.Account.Damaged += old.Damaged + missing
		if l.Anchor == nil {
			l.Anchor = anchor
		}
		l.Salvage.Adopted, l.Salvage.Missing, l.Salvage.Unsure = true, missing, !sure
		return nil
	})
}

// save moves n points from damaged to where they are now. What the old account
// did not know of is accepted only now.
func (s *salvage) save(a *Account, n int64) (unknown int64) {
	known := min(n, s.Missing)
	s.Missing -= known
	s.Saved += n
	a.Damaged -= known
	return n - known
}

// saveLetters saves the dead letters, a few at a time. The file holds those
// with the last numbers.
func (x *rescue) saveLetters() error {
	first := x.sal.Letter
	if l := x.index.ledger; l != nil && l.Account.letters() >= 0 {
		first = max(first, l.NextDead-min(l.NextDead, uint64(l.Account.letters())))
	}
	numbers := slices.Sorted(maps.Keys(x.index.letters))
	numbers = numbers[max(0, len(numbers)-maxDead):]
	numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n < first })
	for some := range slices.Chunk(numbers, letterBatch) {
		var letters []Letter
		for _, n := range some {
			if letter, err := x.letter(n); err == nil {
				letters = append(letters, letter)
			}
		}
		err := x.commit(func(tx *bbolt.Tx, l *ledger, _ int64) error {
			for _, letter := range letters {
				if err := letter.put(tx, l); err != nil {
					return err
				}
			}
			n := int64(len(letters))
			l.Account.DeadLetter += n
			l.Account.Accepted += l.Salvage.save(&l.Account, n)
			l.Salvage.Letter = some[len(some)-1] + 1
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *rescue) letter(n uint64) (letter Letter, err error) {
	f, err := x.scan.again(frameLetter, x.index.letters[n])
	if err != nil {
		return letter, err
	}
	_, content, err := splitKeyed(f.body)
	if err == nil {
		err = json.Unmarshal(content, &letter)
	}
	return letter, err
}

// saveSegment decodes a segment as far as that goes, and saves what is open.
func (x *rescue) saveSegment(st stretch) error {
	if st.to <= x.sal.Next || x.settled(spanOf[uint64]{st.base, st.to}) {
		return nil
	}
	x.cursor.reset(st.segment)
	for _, r := range st.runs {
		at := r.at
		for i := r.first; i < r.end() && st.base+uint64(i) < st.to; i++ {
			size, ok := x.advance(at, i)
			if !ok {
				return nil // what follows cannot be decoded either
			}
			at += size
			if i+1 != x.cursor.next {
				continue
			}
			if err := x.saveRecord(st.base + uint64(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *rescue) settled(numbers spanOf[uint64]) bool {
	return x.index.ledger != nil && x.index.ledger.settled.has(numbers)
}

// decode takes the next record of the segment, if its names are there.
func (x *rescue) decode(f frame) error {
	r, err := parseRecord(f)
	if err != nil {
		return err
	}
	if r.hasNames {
		if err := x.dictionary(r.names); err != nil {
			return err
		}
	}
	return x.cursor.decode(r, x.names.len())
}

// dictionary makes the names those of a fingerprint: of the block that has it
// and all before that.
func (x *rescue) dictionary(print uint32) error {
	var path []uint32
	for p := print; p != x.names.print; {
		b, ok := x.index.names[p]
		if p == 0 {
			x.names = newDictionary()
			break
		}
		if !ok || len(path) > len(x.index.names) {
			return fmt.Errorf("names: %w", errNotHere)
		}
		path, p = append(path, p), b.parent
	}
	for _, p := range slices.Backward(path) {
		f, err := x.scan.again(frameNames, x.index.names[p].at)
		if err != nil {
			return err
		}
		key, content, err := splitKeyed(f.body)
		if err == nil && !slices.Equal(key, binary.BigEndian.AppendUint32(nil, uint32(x.names.len()))) {
			err = errDamaged
		}
		if err == nil {
			err = x.names.add(x.cursor.codec, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// advance decodes record i of the segment, if that was not done, and tells how
// long its frame is.
func (x *rescue) advance(at int64, i uint32) (size int64, ok bool) {
	f, err := x.scan.again(frameRecord, at)
	if err == nil && i >= x.cursor.next {
		err = x.decode(f)
	}
	return int64(f.size), err == nil
}

// saveRecord saves what is open of the record that was decoded last.
func (x *rescue) saveRecord(n uint64) error {
	if n < x.sal.Next || x.settled(spanOf[uint64]{n, n + 1}) {
		return nil
	}
	var m mark
	if place, ok := x.index.marks[n]; ok {
		// A mark that cannot be read any more: better some points twice than none.
		if f, err := x.scan.again(frameMark, place.at); err == nil {
			_, content, _ := splitKeyed(f.body)
			_, m, _ = parseMark(content)
		}
	}
	done := uint32(0)
	if n == x.sal.Next {
		done = x.sal.Part
	}
	taken := m.settled.add(span{0, done})
	return errors.Join(x.savePoints(n, taken), x.saveEntries(n, taken))
}

func (x *rescue) savePoints(n uint64, taken spans) error {
	at, series, d := uint32(0), x.names.all(), x.index.dating(n, x.cursor)
	for _, g := range x.cursor.groups {
		for i := range g.IDs {
			p := toPoint(g, i, series, d)
			at++
			if taken.has(span{at - 1, at}) || checkPoint(p) != nil {
				continue
			}
			if err := x.make(1, n, at-1); err != nil {
				return err
			}
			x.batch.points = append(x.batch.points, p)
		}
	}
	return nil
}

func (x *rescue) saveEntries(n uint64, taken spans) error {
	d := x.index.dating(n, x.cursor)
	for i, packed := range x.cursor.entries {
		at := span{uint32(i), uint32(i) + 1}
		e := fromEntry(packed, d)
		if len(taken.free(at)) == 0 || checkEntry(e) != nil || e.weight() > x.s.o.MaxPending {
			continue
		}
		if err := x.make(e.weight(), n, at.from); err != nil {
			return err
		}
		x.batch.entries = append(x.batch.entries, e)
	}
	return nil
}

// make makes room in the batch for what comes next: point i of record n.
func (x *rescue) make(weight int, n uint64, i uint32) error {
	if x.batch.weight > 0 && x.batch.weight+weight > x.batch.most {
		if err := x.flush(n, i); err != nil {
			return err
		}
	}
	x.batch.weight += weight
	return nil
}

// flush saves the batch, which is all that is to be saved before a point of a
// record.
func (x *rescue) flush(next uint64, part uint32) error {
	return x.commit(func(_ *bbolt.Tx, l *ledger, n int64) error {
		l.Account.Accepted -= n - l.Salvage.save(&l.Account, n) // add has counted them
		l.Salvage.Next, l.Salvage.Part = next, part
		return nil
	})
}

// finish saves the last batch and ends the salvage.
func (x *rescue) finish(why string) error {
	var end salvage
	err := x.commit(func(_ *bbolt.Tx, l *ledger, n int64) error {
		l.Account.Accepted -= n - l.Salvage.save(&l.Account, n)
		l.Salvage.Done, l.Salvage.Lost = true, l.Salvage.Missing
		end = *l.Salvage
		return nil
	})
	if err == nil {
		x.s.o.Log.Info().Str("set_aside", end.File).Int64("points_saved", end.Saved).Int64("points_lost", end.Lost).
			Msg("salvage of the damaged buffer file has ended: " + why)
	}
	return err
}
