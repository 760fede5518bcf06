package snmp

import (
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// keepCells is how many cells a column may have had for its memory to be kept.
const keepCells = 1024

// slate is the memory of one poll, wiped and used again for the next one of
// any device. A nil slate gives new memory each time.
type slate struct {
	walks   []*walk // the first walked are taken
	walked  int
	columns []*column // the first used are taken
	used    int
	reading *reading
}

// newReading begins a reading on memory of an earlier one.
func (d *device) newReading(stamp probes.Stamp, uptime plan.Cell) *reading {
	s, _ := d.peer.slates.Get().(*slate)
	if s == nil {
		s = new(slate)
	}
	if s.reading == nil {
		s.reading = newReading(stamp, uptime)
		s.reading.slate = s
		return s.reading
	}
	s.reading.begin(stamp, uptime)
	return s.reading
}

// drop gives the memory of a reading back. Nothing of it may be used after.
func (d *device) drop(r *reading) {
	r.slate.wipe()
	d.peer.slates.Put(r.slate)
}

func (s *slate) column(root string) *column {
	if s == nil {
		return &column{root: root, at: root, cells: map[string]plan.Cell{}}
	}
	if s.used == len(s.columns) {
		s.columns = append(s.columns, &column{cells: map[string]plan.Cell{}})
	}
	c := s.columns[s.used]
	s.used++
	*c = column{root: root, at: root, cells: c.cells}
	return c
}

// walk gives a walk that is empty but for the memory of its lists.
func (s *slate) walk() *walk {
	if s == nil {
		return new(walk)
	}
	if s.walked == len(s.walks) {
		s.walks = append(s.walks, new(walk))
	}
	w := s.walks[s.walked]
	s.walked++
	*w = walk{
		columns: w.columns[:0], best: w.best[:0], oids: w.oids[:0], unread: w.unread[:0],
		ladder: w.ladder, ladderFor: w.ladderFor,
	}
	return w
}

// wipe forgets what was read.
func (s *slate) wipe() {
	for _, c := range s.columns[:s.used] {
		if len(c.cells) > keepCells {
			c.cells = map[string]plan.Cell{}
		}
		clear(c.cells)
		c.holes, c.cut = nil, nil
	}
	s.used, s.walked = 0, 0
	if r := s.reading; r != nil {
		clear(r.Scalars)
		clear(r.Columns)
		clear(r.Partial)
		clear(r.failed)
		r.walks = r.walks[:0]
		r.asked = 0
	}
}
