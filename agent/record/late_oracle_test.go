package record

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes"
)

// slot is one series in one period, folded the plain way.
type slot struct {
	count         bool
	min, max, sum uint64
	n             int
}

// expected folds points by series and period without the code under test. The
// time of a slot is not told: it depends on what else shares the record.
func expected(points []probes.Point, period time.Duration) map[string]slot {
	slots := map[string]slot{}
	for _, p := range points {
		at := p.Stamp.Time().UTC()
		word := "time"
		if p.Stamp.Guess {
			at, word = time.UnixMilli(p.Stamp.Uptime.Milliseconds()).UTC(), "uptime"
		}
		if period > 0 {
			at = at.Truncate(period)
		}
		key := fmt.Sprintf("%s %v %s %s", strings.TrimPrefix(p.Series.Key(), "com.dynatrace.extension."), p.Series.Dims(), word, at)
		s, again := slots[key]
		v := p.Value.Uint64()
		if !again {
			s = slot{count: p.Series.Type() == probes.Count, min: v, max: v}
		}
		s.min, s.max, s.sum, s.n = min(s.min, v), max(s.max, v), s.sum+v, s.n+1
		slots[key] = s
	}
	return slots
}

// checkArrived compares what the environment read with the slots: as many, of
// the same values, none in another period than its own.
func checkArrived(t *testing.T, arrived []draintest.LatePoint, slots map[string]slot) {
	t.Helper()
	var got, want []string
	for _, p := range arrived {
		got = append(got, fmt.Sprint(p.Metric, " ", p.Dims, " ", strings.Contains(p.Time, "+"), " ", p.Value))
	}
	for key, s := range slots {
		value := fmt.Sprint(s.sum)
		if !s.count && s.n > 1 {
			value = fmt.Sprintf("%d,%d,%d,%d", s.min, s.max, s.sum, s.n)
		}
		name, word, _ := strings.Cut(key, "] ")
		want = append(want, fmt.Sprint(name, "] ", strings.HasPrefix(word, "uptime"), " ", value))
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(got) != len(want) {
		t.Errorf("%d measurements arrived, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("measurement %d\n got %s\nwant %s", i, got[i], want[i])
		}
	}
}
