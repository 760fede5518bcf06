package buffer

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"sort"
)

// maxIndex bounds how many runs of records, and how many of each other kind,
// are remembered at a time.
const maxIndex = 1 << 16

// index is where in a damaged file what is.
type index struct {
	// Segments whose first records are from..limit-1. Where there are too many,
	// the limit goes down and the rest is left to another scan.
	from, limit uint64
	most        int // maxIndex, but in tests
	segments    map[segment][]run
	runs        int
	open        openRun
	full        bool // and yet the limit cannot go down

	names   map[uint32]block // by fingerprint
	marks   map[uint64]place // by record
	letters map[uint64]int64 // by number
	ledger  *ledger          // of the newest commit
}

// run is frames of one segment that follow each other in the file.
type run struct {
	first, count uint32 // indexes in the segment
	at           int64
	max          int64 // wall time of the newest point
}

func (r run) end() uint32 { return r.first + r.count }

// openRun is a run that the next frame may lengthen.
type openRun struct {
	segment
	run
	next int64 // offset behind it
}

// block is a block of names; the one before it has the fingerprint of parent.
type block struct {
	parent uint32
	at     int64
}

// place is the newest mark of a record.
type place struct {
	commit uint64
	at     int64
}

func newIndex(from uint64, most int) *index {
	return &index{
		from: from, limit: math.MaxUint64, most: most,
		segments: make(map[segment][]run),
		names:    make(map[uint32]block),
		marks:    make(map[uint64]place),
		letters:  make(map[uint64]int64),
	}
}

// add takes in one frame.
func (x *index) add(f found) {
	if f.kind == frameRecord {
		if r, err := parseRecord(frame{body: f.body}); err == nil {
			x.addRecord(r, f)
		}
		return
	}
	key, content, err := splitKeyed(f.body)
	if err != nil {
		return
	}
	switch f.kind {
	case frameLedger:
		x.addLedger(content)
	case frameNames:
		if len(key) == 4 && len(content) >= 4 && len(x.names) < x.most {
			x.names[fingerprint(content)] = block{binary.LittleEndian.Uint32(content), f.at}
		}
	case frameMark:
		x.addMark(key, content, f.at)
	case frameLetter:
		if len(key) == 8 {
			x.letters[binary.BigEndian.Uint64(key)] = f.at
			x.trimLetters()
		}
	}
}

func (x *index) addLedger(content []byte) {
	var head struct {
		Commit uint64 `json:"commit"`
	}
	if json.Unmarshal(content, &head) != nil || x.ledger != nil && x.ledger.Commit >= head.Commit {
		return
	}
	if l, err := parseLedger(content); err == nil {
		x.ledger = &l
	}
}

func (x *index) addMark(key, content []byte, at int64) {
	if len(key) != 8 {
		return
	}
	n := binary.BigEndian.Uint64(key)
	commit, _, err := parseMark(content)
	old, known := x.marks[n]
	if err != nil || n < x.from || known && old.commit >= commit || !x.mayHold(n) {
		return
	}
	if !known && len(x.marks) >= x.most && !x.full {
		numbers := slices.Sorted(maps.Keys(x.marks))
		x.lower(numbers[len(numbers)/2])
	}
	if known || len(x.marks) < x.most && x.mayHold(n) {
		x.marks[n] = place{commit, at}
	}
}

// mayHold reports whether a record may be of a segment below the limit.
func (x *index) mayHold(n uint64) bool {
	return x.limit > math.MaxUint64-maxSegmentRecords || n <= x.limit+maxSegmentRecords
}

// lower leaves all segments from a first record on to another scan, unless
// that is all there is.
func (x *index) lower(limit uint64) {
	if limit <= x.from {
		x.full = true
		return
	}
	x.limit = limit
	maps.DeleteFunc(x.segments, func(s segment, all []run) bool {
		if s.base >= limit {
			x.runs -= len(all)
		}
		return s.base >= limit
	})
	maps.DeleteFunc(x.marks, func(n uint64, _ place) bool { return !x.mayHold(n) })
}

// trimLetters keeps the newest ones.
func (x *index) trimLetters() {
	if len(x.letters) <= 2*maxDead {
		return
	}
	all := slices.Sorted(maps.Keys(x.letters))
	for _, n := range all[:len(all)-maxDead] {
		delete(x.letters, n)
	}
}

func (x *index) addRecord(r record, f found) {
	o := &x.open
	if o.count > 0 && r.segment == o.segment && r.index == o.end() && f.at == o.next {
		o.count, o.max, o.next = o.count+1, max(o.max, r.max), f.at+f.size
		return
	}
	x.close()
	if r.base >= x.from && r.base < x.limit {
		x.open = openRun{r.segment, run{r.index, 1, f.at, r.max}, f.at + f.size}
	}
}

// close ends the run that may have got longer.
func (x *index) close() {
	o := x.open
	x.open = openRun{}
	if o.count == 0 {
		return
	}
	all := x.segments[o.segment]
	i, _ := slices.BinarySearchFunc(all, o.first, func(r run, first uint32) int { return cmp.Compare(r.first, first) })
	if i < len(all) && all[i].first == o.first && all[i].end() >= o.end() || i > 0 && all[i-1].end() >= o.end() {
		return // known
	}
	j := i
	for j < len(all) && all[j].end() <= o.end() {
		j++
	}
	if x.runs >= x.most && !x.full {
		bases := slices.Collect(func(yield func(uint64) bool) {
			for s, all := range x.segments {
				for range all {
					if !yield(s.base) {
						return
					}
				}
			}
		})
		slices.Sort(bases)
		x.lower(bases[len(bases)/2])
	}
	if x.runs < x.most && o.base < x.limit {
		x.segments[o.segment] = slices.Insert(slices.Delete(all, i, j), i, o.run)
		x.runs += 1 - (j - i)
	}
}

// stretch is a segment as far as it can be decoded, and which of its records
// are to be saved: all those below to.
type stretch struct {
	segment
	runs    []run
	records uint32
	to      uint64
	max     int64
}

func (s stretch) last() uint64 { return s.base + uint64(s.records) }

// stretches gives the segments in order. A power cut may have undone a commit,
// whose numbers went to a later one then: where two segments have a record of
// the same number, that counts which goes on for longer, then the later one.
func (x *index) stretches() []stretch {
	x.close()
	var all []stretch
	for s, runs := range x.segments {
		n := stretch{segment: s, runs: runs, max: math.MinInt64}
		for _, r := range runs {
			if r.first > n.records {
				break
			}
			n.records, n.max = max(n.records, r.end()), max(n.max, r.max)
		}
		if n.records > 0 {
			all = append(all, n)
		}
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		return cmp.Or(cmp.Compare(b.last(), a.last()), cmp.Compare(b.max, a.max), cmp.Compare(a.nonce, b.nonce)) < 0
	})
	taken := uint64(math.MaxUint64)
	for i := range all {
		all[i].to = min(all[i].last(), taken)
		taken = min(taken, all[i].base)
	}
	all = slices.DeleteFunc(all, func(s stretch) bool { return s.to <= s.base })
	sort.Slice(all, func(i, j int) bool { return all[i].base < all[j].base })
	return all
}

// dating tells what the wall times of the record that was decoded last are
// worth. Guesses that the ledger does not know of stay guesses.
func (x *index) dating(n uint64, c *cursor) dating {
	if !c.guess {
		return dating{}
	}
	var boot bootID
	for _, g := range c.groups {
		boot = bootID(g.Stamp.Boot)
	}
	for _, e := range c.entries {
		boot = bootID(e.Stamp.Boot)
	}
	if x.ledger != nil {
		if g := x.ledger.Guesses.find(n); g != nil && g.State == timed && g.Boot == boot {
			return dating{timed, g.Shift}
		}
	}
	return dating{state: waiting}
}
