package drain

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// TestMetricsAreDescribedOnce holds that metadata goes after points that were
// taken, once for each key, counts as no point, and waits while nothing answers.
func TestMetricsAreDescribedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		w := &world{answer: func(p post) (int, string) {
			if down && strings.HasPrefix(p.body, "#") {
				return 503, ""
			}
			return p.good()
		}}
		store := newStore(t)
		r := run(t, store, nil, w.serve)
		both := []probes.Metadata{{Key: "a.b", Type: probes.Gauge, Unit: "%"}, {Key: "c.d", Type: probes.Count, DisplayName: "C"}}
		r.Describe(both)
		r.Describe(both)
		synctest.Wait()
		if n := len(w.described()); n != 0 {
			t.Fatalf("%d posts before any point was taken", n)
		}
		for i := range 4 {
			if i == 2 {
				down = false
				r.Describe([]probes.Metadata{both[0], {Key: "e.f", Type: probes.Gauge, Unit: "s"}})
			}
			store.add(probes.Point{Series: probes.NewSeries("a.b", probes.Gauge), Value: probes.Int(1), Stamp: probes.Stamp{Wall: time.Now().UnixMilli()}})
			r.Wake()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		posts := w.described()
		if len(posts) < 3 || posts[len(posts)-1] != "#a.b gauge dt.meta.unit=\"%\"\n#c.d count dt.meta.displayName=\"C\"\n#e.f gauge dt.meta.unit=\"s\"\n" {
			t.Errorf("%d posts: %q", len(posts), posts)
		}
		taken := 0
		for _, p := range posts {
			if p == posts[len(posts)-1] {
				taken++
			}
		}
		if taken != 1 || len(r.described.lines) != 0 {
			t.Errorf("told %d times, %d lines wait", taken, len(r.described.lines))
		}
		if s := r.State(); s.LinesAccepted != 4 || s.LinesRefused != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// described are the bodies that hold metadata.
func (w *world) described() []string {
	var out []string
	for _, p := range w.seen("/api/v2/metrics/ingest") {
		if strings.HasPrefix(p.body, "#") {
			out = append(out, p.body)
		}
	}
	return out
}
