package snmp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// reading is what a poll gathers: the cells, and what is missing and why.
type reading struct {
	plan.Reading
	asked  int // OIDs
	walks  []*walk
	failed map[string]error // scalars
	slate  *slate           // nil: the memory is its own
	narrow bool             // see Probe.see
}

func newReading(stamp probes.Stamp, uptime plan.Cell) *reading {
	r := &reading{
		Reading: plan.Reading{
			Scalars: map[string]plan.Cell{},
			Columns: map[string]map[string]plan.Cell{},
			Partial: map[string]bool{},
		},
		failed: map[string]error{},
	}
	r.begin(stamp, uptime)
	return r
}

func (r *reading) begin(stamp probes.Stamp, uptime plan.Cell) {
	r.Stamp = stamp
	if uptime.Kind != plan.Absent {
		r.Scalars[sysUpTime] = uptime
	}
}

func (r *reading) addScalars(g *gets) {
	for oid, cell := range g.cells {
		r.Scalars[oid] = cell
	}
	for oid, why := range g.failed {
		r.failed[oid] = why
		r.Partial[oid] = true
	}
}

func (r *reading) addTable(w *walk) {
	r.walks = append(r.walks, w)
	for _, c := range w.columns {
		r.Columns[c.root] = c.cells
		if c.cut != nil || c.missing > 0 {
			r.Partial[c.root] = true
		}
	}
}

// empty reports whether nothing came but the sign of life.
func (r *reading) empty() bool {
	for _, cells := range r.Columns {
		if len(cells) > 0 {
			return false
		}
	}
	for oid := range r.Scalars {
		if oid != sysUpTime {
			return false
		}
	}
	return true
}

// onlySystem reports whether nothing came but scalars of the system group.
func (r *reading) onlySystem() bool {
	for _, cells := range r.Columns {
		if len(cells) > 0 {
			return false
		}
	}
	for oid := range r.Scalars {
		if !strings.HasPrefix(oid, systemGroup) {
			return false
		}
	}
	return true
}

var errOnlySystem = errors.New("only the system group answered: check the view that the device gives to this credential")

// verdict is nil where everything was read that the device has, and that is
// something to measure.
func (r *reading) verdict(blocks []*plan.Block, notes plan.Notes) error {
	why := r.reasons()
	nothing := r.asked > 0 && r.empty()
	switch {
	case len(why) == 0 && r.narrow && (notes.Numbers > 0 || !nothing):
		return probes.WithStatus(probes.StatusWarning, errOnlySystem)
	case len(why) == 0 && (notes.Numbers > 0 || notes.Filtered > 0 || r.asked == 0):
		return nil
	case len(why) == 0 && !nothing:
		return probes.WithStatus(probes.StatusWarning, errors.New(
			"the device answered, but gives no number for any metric: it may need another extension, or its SNMP view hides the metrics"))
	case len(why) == 0:
		return probes.WithStatus(probes.StatusWarning, fmt.Errorf(
			"the device answered, but none of the %d requested OIDs exist: it may need another extension, or its SNMP view hides them", r.asked))
	case nothing && errors.Is(errors.Join(why...), errDenied):
		return probes.WithStatus(probes.StatusAuthenticationError,
			fmt.Errorf("the device answered but gave nothing: %w: check the rights (view) of the community", errDenied))
	case nothing && errors.Is(errors.Join(why...), errGone):
		return probes.WithStatus(probes.StatusDeviceConnectionError,
			fmt.Errorf("the device answered once and then no more: check the link and the load of the device"))
	}
	texts := append(r.scalarTexts(), r.tableTexts(blocks)...)
	return probes.WithStatus(probes.StatusWarning, errors.New(strings.Join(texts, "; ")))
}

func (r *reading) reasons() []error {
	var why []error
	for _, err := range r.failed {
		why = append(why, err)
	}
	for _, w := range r.walks {
		for _, c := range w.columns {
			switch {
			case c.cut != nil:
				why = append(why, c.cut)
			case c.missing > 0:
				why = append(why, errUnreadable)
			}
		}
	}
	return why
}

func (r *reading) scalarTexts() []string {
	if len(r.failed) == 0 {
		return nil
	}
	oids := make([]string, 0, len(r.failed))
	for oid := range r.failed {
		oids = append(oids, oid)
	}
	first := slices.MinFunc(oids, compareOIDs)
	return []string{fmt.Sprintf("%s not read: %s%s: %v", plural(len(oids), "scalar"), first, others(len(oids)-1, "other"), r.failed[first])}
}

// tableTexts names each table that was half read. Where the poll came to an
// early end, the tables after that are only counted.
func (r *reading) tableTexts(blocks []*plan.Block) []string {
	var texts []string
	for i, w := range r.walks {
		worst, cut := w.worst()
		if worst == nil {
			texts = append(texts, w.missingTexts(blocks)...)
			continue
		}
		texts = append(texts, fmt.Sprintf("table %s (%s) half read: %s of column %s%s, then: %v", tableOf(worst.root),
			groupOf(worst.root, blocks), plural(worst.seen, "row"), worst.root, others(cut-1, "other column"), worst.cut))
		left := len(r.walks) - i - 1
		if left > 0 && (errors.Is(worst.cut, errGone) || errors.Is(worst.cut, errOutOfTime) || errors.Is(worst.cut, errTooMuch)) {
			return append(texts, plural(left, "further table")+" not read")
		}
	}
	return texts
}

// missingTexts names a column of which some values could not be decoded.
func (w *walk) missingTexts(blocks []*plan.Block) []string {
	var first *column
	columns := 0
	for _, c := range w.columns {
		if c.missing == 0 {
			continue
		}
		columns++
		if first == nil {
			first = c
		}
	}
	if first == nil {
		return nil
	}
	return []string{fmt.Sprintf("table %s (%s): %s of column %s%s could not be decoded", tableOf(first.root), groupOf(first.root, blocks),
		plural(first.missing, "value"), first.root, others(columns-1, "other column"))}
}

const maxReasons = 8 // of a partial poll

// partial is what was not read to its end, and why, in short.
func (r *reading) partial() (reasons []string) {
	for oid, why := range r.failed {
		reasons = append(reasons, fmt.Sprintf("scalar %s: %v", oid, why))
	}
	slices.Sort(reasons)
	for _, w := range r.walks {
		worst, _ := w.worst()
		missing := 0
		for _, c := range w.columns {
			missing += c.missing
		}
		switch {
		case worst != nil:
			reasons = append(reasons, fmt.Sprintf("table %s: %v", tableOf(worst.root), worst.cut))
		case missing > 0:
			reasons = append(reasons, fmt.Sprintf("table %s: %s could not be decoded", tableOf(w.columns[0].root), plural(missing, "value")))
		}
	}
	if n := len(reasons); n > maxReasons {
		reasons = append(reasons[:maxReasons-1], fmt.Sprintf("and %d more", n-maxReasons+1))
	}
	return reasons
}

// worst finds the cut column with the fewest rows, and counts the cut ones.
func (w *walk) worst() (worst *column, cut int) {
	for _, c := range w.columns {
		if c.cut == nil {
			continue
		}
		cut++
		if worst == nil || c.seen < worst.seen {
			worst = c
		}
	}
	return worst, cut
}

func others(n int, what string) string {
	if n == 0 {
		return ""
	}
	return " and " + plural(n, what)
}

// tableOf is the OID of the table's entry: the column without its last arc.
func tableOf(column string) string {
	if i := strings.LastIndexByte(column, '.'); i > 0 {
		return column[:i]
	}
	return column
}

// groupOf finds the first block that reads the column.
func groupOf(column string, blocks []*plan.Block) string {
	for _, b := range blocks {
		_, tables := plan.Needs([]*plan.Block{b})
		for _, columns := range tables {
			if slices.Contains(columns, column) {
				return b.Path
			}
		}
	}
	return "?"
}
