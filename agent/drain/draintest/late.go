package draintest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LatePoint is a measurement that came as attributes of a log record, as the
// server understood it.
type LatePoint struct {
	Metric string // the attribute's name
	Dims   []Dim  // sorted by key
	// Time is when it was measured: RFC 3339 in UTC with milliseconds; where that
	// is unknown, the boot and its uptime in milliseconds as "boot+uptime".
	Time string
	// Value is the number as it was sent, or "min,max,sum,count" of several.
	Value string
	Count int64 // how many measurements it stands for
}

// series is the identity of the point but for its time.
func (p LatePoint) series() string {
	return Line{Key: p.Metric, Dims: p.Dims, Type: "late"}.Series()
}

// own is the prefix of attributes that are not dimensions.
const own = "edgehold."

// latePoints reads the measurements of a record. Numbers are metrics, texts
// are dimensions.
func (r Record) latePoints() []LatePoint {
	at := r.Attributes[own+"time"]
	if r.Attributes[own+"time_unknown"] == "true" {
		at = r.Attributes[own+"boot"] + "+" + r.Numbers[own+"uptime"].String()
	}
	var dims []Dim
	for _, key := range slices.Sorted(maps.Keys(r.Attributes)) {
		if !strings.HasPrefix(key, own) && key != "log.source" {
			dims = append(dims, Dim{Key: key, Value: r.Attributes[key]})
		}
	}
	var points []LatePoint
	for name, value := range r.Numbers {
		if strings.HasPrefix(name, own) || r.statistic(name) {
			continue
		}
		points = append(points, LatePoint{Metric: name, Dims: dims, Time: at, Value: value.String(), Count: 1})
	}
	for name := range r.Numbers {
		if base, ok := strings.CutSuffix(name, ".min"); ok && r.statistic(name) {
			p := LatePoint{Metric: base, Dims: dims, Time: at}
			p.Value, p.Count = r.statistics(base)
			points = append(points, p)
		}
	}
	return points
}

// parts are the endings of the four attributes of a folded metric.
var parts = []string{".min", ".max", ".sum", ".count"}

// statistic tells whether a number is one of the four of a folded metric.
func (r Record) statistic(name string) bool {
	for _, part := range parts {
		if base, ok := strings.CutSuffix(name, part); ok && r.folded(base) {
			return true
		}
	}
	return false
}

func (r Record) folded(base string) bool {
	for _, part := range parts {
		if _, ok := r.Numbers[base+part]; !ok {
			return false
		}
	}
	return true
}

func (r Record) statistics(base string) (value string, count int64) {
	var numbers []string
	for _, part := range parts {
		numbers = append(numbers, r.Numbers[base+part].String())
	}
	count, err := json.Number(numbers[3]).Int64()
	if err != nil || count < 1 {
		count = 0 // shows in the sums
	}
	return strings.Join(numbers, ","), count
}

// takeLate is called with mu held.
func (l *Ledger) takeLate(p LatePoint) {
	l.counts.LatePoints += int(p.Count)
	at := pairOfText(p.series(), p.Time)
	e, again := l.late[at]
	switch {
	case !again:
		l.counts.LateDistinct++
		e.payload = hash32(p.Value)
		if l.lines != nil {
			l.lateKept = append(l.lateKept, p)
		}
	case e.times == 1:
		l.counts.LateDuplicates++
	}
	if e.payload != hash32(p.Value) {
		l.counts.LateConflicts++
	}
	e.times++
	l.late[at] = e
}

// LateTimes tells how often a late measurement was taken as part of a log
// record: the number itself, of one series, at one time.
func (l *Ledger) LateTimes(metric string, dims map[string]string, at time.Time) int {
	p := LatePoint{Metric: metric}
	for _, k := range slices.Sorted(maps.Keys(dims)) {
		p.Dims = append(p.Dims, Dim{Key: k, Value: dims[k]})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.late[pairOfText(p.series(), at.UTC().Format(lateTime))].times)
}

const lateTime = "2006-01-02T15:04:05.000Z"

// LatePoints are the late measurements that were taken, each once, in the
// order they came. It is empty unless Options.KeepLines is set.
func (l *Ledger) LatePoints() []LatePoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lateKept)
}

// String is the point on one line.
func (p LatePoint) String() string {
	return fmt.Sprintf("%s %s at %s from %s", strings.TrimSuffix(p.series(), " late"), p.Value, p.Time, strconv.FormatInt(p.Count, 10))
}
