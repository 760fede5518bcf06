package buffer

import (
	"cmp"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// loader reads the points of a lease from its runs: records in their order,
// since they are decoded in it, each point to its place in the lease.
type loader struct {
	holds  *holds
	lease  *Lease
	series []*probes.Series
}

// spot is a run and where it begins in the lease.
type spot struct {
	leasedRun
	at int
}

func (x *loader) load(tx *bbolt.Tx) error {
	led, err := readLedger(tx)
	if err != nil {
		return err
	}
	l, n := x.lease, pointsOf(x.lease.runs)
	l.at = make([]position, n)
	if l.entries {
		l.Entries = make([]Entry, n)
	} else {
		l.Points = make([]probes.Point, n)
	}
	spots, at := make([]spot, 0, len(l.runs)), 0
	for _, r := range l.runs {
		spots = append(spots, spot{r, at})
		at += int(r.to - r.from)
	}
	slices.SortStableFunc(spots, func(a, b spot) int { return cmp.Compare(a.record, b.record) })
	for len(spots) > 0 {
		end := 1
		for end < len(spots) && spots[end].record == spots[0].record {
			end++
		}
		if err := x.record(tx, &led, spots[:end]); err != nil {
			return err
		}
		spots = spots[end:]
	}
	return nil
}

// record fills in the runs that are in one record.
func (x *loader) record(tx *bbolt.Tx, led *ledger, spots []spot) error {
	number := spots[0].record
	rec, _, err := openRecord(tx, led, number)
	if err != nil {
		return err
	}
	if rec.count == 0 || rec.entries != x.lease.entries {
		return &recordError{number, fmt.Errorf("it is not there as it was leased: %w", errDamaged)}
	}
	c, err := x.holds.reader(tx, rec, Query{Late: x.lease.late}, len(x.series))
	if err != nil {
		return err
	}
	d := led.Guesses.of(number)
	for _, p := range spots {
		if p.to > rec.count {
			return &recordError{number, fmt.Errorf("it has %d points, %d are leased: %w", rec.count, p.to, errDamaged)}
		}
		if rec.entries {
			x.entries(p, c.entries, d)
		} else {
			x.points(p, c.groups, d)
		}
	}
	return nil
}

func (x *loader) entries(p spot, entries []arc.Entry, d dating) {
	for i := p.from; i < p.to; i++ {
		at := p.at + int(i-p.from)
		x.lease.Entries[at], x.lease.at[at] = fromEntry(entries[i], d), position{p.record, i}
	}
}

func (x *loader) points(p spot, groups []arc.Group, d dating) {
	start := uint32(0)
	for _, g := range groups {
		end := start + uint32(len(g.IDs))
		for i := max(start, p.from); i < min(end, p.to); i++ {
			at := p.at + int(i-p.from)
			x.lease.Points[at], x.lease.at[at] = toPoint(g, int(i-start), x.series, d), position{p.record, i}
		}
		start = end
	}
}
