package draintest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxKept bounds what is remembered of refused and of metadata lines; their
// counts go on.
const maxKept = 1000

// pair is the identity of one measurement: a hash of series and timestamp.
type pair [16]byte

func pairOf(series string, stamp int64) pair {
	return pairOfText(series, strconv.FormatInt(stamp, 10))
}

func pairOfText(series, stamp string) pair {
	sum := sha256.Sum256([]byte(series + " " + stamp))
	return pair(sum[:16])
}

func hash32(text string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(text))
	return h.Sum32()
}

// entry says how often a pair was taken and with which payload first.
type entry struct {
	times   uint32
	payload uint32 // hash
}

// Counts are the sums of the ledger.
type Counts struct {
	Requests   int            `json:"requests"`    // whatever became of them; control requests aside
	Outcomes   map[string]int `json:"outcomes"`    // by status code, or "cut", "hung", "answer lost"
	WireBytes  int64          `json:"wire_bytes"`  // bodies as they came
	PlainBytes int64          `json:"plain_bytes"` // bodies after decompression
	Lines      int            `json:"lines"`       // data lines taken
	Distinct   int            `json:"distinct"`    // different pairs of series and timestamp taken
	Duplicates int            `json:"duplicates"`  // pairs taken twice or more
	Conflicts  int            `json:"conflicts"`   // times a pair came again with another payload
	Refused    int            `json:"refused"`     // lines refused
	Metadata   int            `json:"metadata"`    // metadata lines taken

	Events         int `json:"events"`          // taken with status OK
	EventsInvalid  int `json:"events_invalid"`  // answered 201 with another status
	Records        int `json:"records"`         // log records taken
	LateRecords    int `json:"late_records"`    // those of them that carry late points
	LatePoints     int `json:"late_points"`     // measurements in those, folded ones each counted
	LateDistinct   int `json:"late_distinct"`   // different pairs of series and true time in those
	LateDuplicates int `json:"late_duplicates"` // pairs taken twice or more
	LateConflicts  int `json:"late_conflicts"`  // times a pair came again with another value
}

// Refusal is a line that was not taken.
type Refusal struct {
	Line   string
	Reason string
}

// Ledger remembers what the environment took. Lost and duplicate points are
// counted with it. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	counts   Counts
	pairs    map[pair]entry
	lines    map[pair]string // canonical text as first taken; nil unless lines are kept
	refusals []Refusal
	metadata []Metadata
	events   []Event
	records  []Record
	late     map[pair]entry
	lateKept []LatePoint // nil unless lines are kept
}

func newLedger(keepLines bool) *Ledger {
	l := &Ledger{pairs: map[pair]entry{}, late: map[pair]entry{}}
	l.counts.Outcomes = map[string]int{}
	if keepLines {
		l.lines = map[pair]string{}
	}
	return l
}

func (l *Ledger) outcome(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Requests++
	l.counts.Outcomes[name]++
}

func (l *Ledger) bytes(wire, plain int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.WireBytes += int64(wire)
	l.counts.PlainBytes += int64(plain)
}

func (l *Ledger) take(line Line) {
	series := line.Series()
	p := pairOf(series, line.Timestamp)
	payload := hash32(line.Payload)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Lines++
	e, again := l.pairs[p]
	switch {
	case !again:
		l.counts.Distinct++
		e.payload = payload
		if l.lines != nil {
			l.lines[p] = line.String()
		}
	case e.times == 1:
		l.counts.Duplicates++
	}
	if e.payload != payload {
		l.counts.Conflicts++
	}
	e.times++
	l.pairs[p] = e
}

func (l *Ledger) takeMetadata(m Metadata) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.Metadata++; len(l.metadata) < maxKept {
		l.metadata = append(l.metadata, m)
	}
}

func (l *Ledger) refuse(line, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.Refused++; len(l.refusals) < maxKept {
		l.refusals = append(l.refusals, Refusal{Line: line, Reason: reason})
	}
}

// Counts are the sums of this moment.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Outcomes = maps.Clone(c.Outcomes)
	return c
}

// Times tells how often the series and timestamp of a line were taken, its
// payload aside. The error is the one the line would be refused with.
func (l *Ledger) Times(text string) (int, error) {
	line, err := ParseLine(text)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.pairs[pairOf(line.Series(), line.Timestamp)].times), nil
}

// Find looks a taken line up by key, dimensions and timestamp, gauges before
// counts. It knows lines only when Options.KeepLines is set.
func (l *Ledger) Find(key string, dims map[string]string, stamp time.Time) (Line, bool) {
	want := Line{Key: key}
	for _, k := range slices.Sorted(maps.Keys(dims)) {
		want.Dims = append(want.Dims, Dim{Key: k, Value: dims[k]})
	}
	for _, t := range []Type{Gauge, Count} {
		want.Type = t
		if text, ok := l.kept(pairOf(want.Series(), stamp.UnixMilli())); ok {
			line, err := ParseLine(text)
			return line, err == nil
		}
	}
	return Line{}, false
}

func (l *Ledger) kept(p pair) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, ok := l.lines[p]
	return text, ok
}

// Lines are the taken lines in canonical form, each pair once, sorted. It is
// empty unless Options.KeepLines is set.
func (l *Ledger) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Values(l.lines))
}

// Refusals are the first 1,000 lines that were refused.
func (l *Ledger) Refusals() []Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.refusals)
}

// Metadata are the first 1,000 metadata lines that were taken.
func (l *Ledger) Metadata() []Metadata {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.metadata)
}

// WritePairs writes one text line a pair: its hash in hex, how often it was
// taken, and, where lines are kept, the line. The order is arbitrary.
func (l *Ledger) WritePairs(w io.Writer) error {
	l.mu.Lock()
	pairs := maps.Clone(l.pairs) // so that a slow reader does not stop the intake
	l.mu.Unlock()
	out := bufio.NewWriter(w)
	for p, e := range pairs {
		text, _ := l.kept(p)
		if text != "" {
			text = " " + text
		}
		if _, err := fmt.Fprintf(out, "%s %d%s\n", hex.EncodeToString(p[:]), e.times, text); err != nil {
			return fmt.Errorf("write pairs: %w", err)
		}
	}
	return out.Flush()
}
