package buffer

import (
	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
)

// maxDecoded bounds the points that are kept decoded, at 28 bytes each.
const maxDecoded = 400_000

// decoded holds the points of the records that one period lies in: each lease
// of whole series reads all of them again, and to decode them takes a segment
// from its begin.
type decoded struct {
	from   int64 // the period's begin
	groups map[uint64][]arc.Group
	points int
	used   bool // since the last commit
}

// reader gives a cursor that holds the record.
func (h *holds) reader(tx *bbolt.Tx, r record, q Query, series int) (*cursor, error) {
	if groups := h.decoded.groups[r.number()]; groups != nil && q.Whole > 0 {
		h.decoded.used = true
		return &cursor{groups: groups}, nil
	}
	if groups := h.recent.groups[r.number()]; groups != nil && !q.Late {
		return &cursor{groups: groups}, nil
	}
	c := h.cursor(r, q.Late)
	return c, c.seek(tx, r, series)
}

// keep adds what was read of a record. The groups are a cursor's, which uses
// their memory again, or kept ones.
func (d *decoded) keep(number uint64, before decoded, groups []arc.Group) {
	points := 0
	for _, g := range groups {
		points += len(g.IDs)
	}
	if d.points += points; points == 0 || d.points > maxDecoded {
		return
	}
	if d.groups == nil {
		d.groups = make(map[uint64][]arc.Group)
	}
	if kept := before.groups[number]; kept != nil {
		d.groups[number] = kept
		return
	}
	ids, values := make([]uint32, 0, points), make([]arc.Value, 0, points)
	copies := make([]arc.Group, len(groups))
	for i, g := range groups {
		first := len(ids)
		ids = append(ids, g.IDs...)
		for _, v := range g.Values {
			if v.Stats != nil {
				stats := *v.Stats
				v.Stats = &stats
			}
			values = append(values, v)
		}
		copies[i] = arc.Group{Stamp: g.Stamp, IDs: ids[first:], Values: values[first:]}
	}
	for i := range copies {
		n := len(groups[i].IDs)
		copies[i].IDs, copies[i].Values = copies[i].IDs[:n:n], copies[i].Values[:n:n]
	}
	d.groups[number] = copies
}

// rest gives the memory back that nobody has used for the time of a commit.
func (d *decoded) rest() {
	if !d.used {
		*d = decoded{}
	}
	d.used = false
}

// maxRecent bounds the points that are kept from their commit on.
const maxRecent = 1 << 16

// recent holds the points of the newest records as they were before they were
// packed. They are leased next, so where all goes well none of them is ever
// unpacked, and there is no decoder that remembers every series.
type recent struct {
	groups map[uint64][]arc.Group
	order  []uint64 // records, the oldest first
	points int
}

// renew adds the records of a commit, and forgets those that are settled and
// those that are too many.
func (x *recent) renew(w *work) {
	for n := range x.groups {
		if w.ledger.settled.has(spanOf[uint64]{n, n + 1}) {
			x.forget(n)
		}
	}
	for _, d := range w.drafts {
		if d.groups == nil {
			continue
		}
		if x.groups == nil {
			x.groups = make(map[uint64][]arc.Group)
		}
		x.groups[d.number()] = d.groups
		x.order = append(x.order, d.number())
		x.points += int(d.count)
	}
	for len(x.order) > 0 && (x.points > maxRecent || x.groups[x.order[0]] == nil) {
		x.forget(x.order[0])
		x.order = x.order[1:]
	}
}

func (x *recent) forget(n uint64) {
	for _, g := range x.groups[n] {
		x.points -= len(g.IDs)
	}
	delete(x.groups, n)
}
