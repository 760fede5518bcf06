package agent

import (
	"slices"

	"github.com/edgehold/edgehold/agent/privacy"
	"github.com/edgehold/edgehold/probes"
)

// labeler puts the constant dimensions on those series of one task that lack
// them. It remembers the series of the last polls, so that a steady task
// allocates nothing, and forgets those that no longer come.
type labeler struct {
	constants *[]probes.Dimension // the set the cache was made with
	known     map[*probes.Series]*probes.Series
	private   privacy.Cache
}

// Apply replaces the series of points by those with the constants added. A
// constant goes before a dimension of the same key that the probe gave: with
// a package's own `site` two sites could share a series.
func (l *labeler) Apply(points []probes.Point, constants *[]probes.Dimension) {
	if l.constants != constants || len(l.known) > 2*len(points)+1000 {
		l.constants, l.known = constants, map[*probes.Series]*probes.Series{}
	}
	if constants == nil || len(*constants) == 0 {
		return
	}
	for i, p := range points {
		if hasAll(p.Series, *constants) {
			continue
		}
		labelled := l.known[p.Series]
		if labelled == nil {
			labelled = probes.NewSeries(p.Series.Key(), p.Series.Type(), slices.Concat(*constants, p.Series.Dims())...)
			l.known[p.Series] = labelled
		}
		points[i].Series = labelled
	}
}

func hasAll(s *probes.Series, dims []probes.Dimension) bool {
	for _, d := range dims {
		if s.Dim(d.Key) != d.Value {
			return false
		}
	}
	return true
}
