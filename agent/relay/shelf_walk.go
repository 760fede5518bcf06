package relay

import (
	"math"

	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// walk goes through the open blocks of a site that may hold what is wanted,
// those with the oldest points first as far as its lists are in that order.
type walk struct {
	shelf *Shelf
	site  string
	want  want
	heads []head
}

// head is where a list stands.
type head struct {
	list custody.Query
	info custody.Info
	ok   bool
}

func (s *Shelf) walk(site string, w want) *walk {
	x := &walk{shelf: s, site: site, want: w}
	for _, list := range w.lists {
		h := head{list: list}
		h.info.Number = s.from(site, w)
		x.step(&h)
		x.heads = append(x.heads, h)
	}
	return x
}

// from is the number behind which the walk begins: the live lane never comes
// back to what was too old for it once.
func (s *Shelf) from(site string, w want) uint64 {
	if !w.live {
		return 0
	}
	if w.oldest < s.oldest {
		clear(s.passed) // the clock has gone back
	}
	s.oldest = w.oldest
	return s.passed[site]
}

// step goes on to the next block of a list that the times fit.
func (x *walk) step(h *head) {
	passing := x.want.live
	for {
		h.info, h.ok = x.shelf.store.Next(x.site, h.list, h.info.Number)
		switch {
		case !h.ok:
			return
		case h.info.Last >= x.want.oldest && h.info.First <= x.want.newest:
			return
		case passing && h.info.Last < x.want.oldest && x.shelf.passed[x.site] < h.info.Number && x.before(h.info):
			x.shelf.passed[x.site] = h.info.Number
		default:
			passing = false
		}
	}
}

// before tells that no block that fits has come yet in this walk.
func (x *walk) before(info custody.Info) bool {
	return len(x.heads) == 0 || !x.heads[0].ok || x.heads[0].info.Number >= info.Number
}

func (x *walk) next() (custody.Info, bool) {
	best := -1
	for i := range x.heads {
		if h := &x.heads[i]; h.ok && (best < 0 || h.info.First < x.heads[best].info.First) {
			best = i
		}
	}
	if best < 0 {
		return custody.Info{}, false
	}
	info := x.heads[best].info
	x.step(&x.heads[best])
	return info, true
}

// mostSpread bounds the blocks among which a whole period is looked for.
const mostSpread = 512

// wholeOf adds one period of a site: for each series all that is free of it, or
// nothing.
func (s *Shelf) wholeOf(site string, c *catch) (int, error) {
	p := periods{shelf: s, want: c.want, length: max(1, c.Whole.Milliseconds())}
	if c.Late { // a period is late once its end is
		p.newest = min(p.newest, floor(s.now().Add(-s.window).UnixMilli(), p.length)-1)
	}
	w := s.walk(site, c.want)
	for info, ok := w.next(); ok && len(p.blocks) < mostSpread; info, ok = w.next() {
		p.blocks = append(p.blocks, info)
	}
	for from, ok := p.after(math.MinInt64); ok; from, ok = p.after(from + p.length) {
		found, err := p.collect(from)
		if err != nil {
			return 0, err
		}
		if len(found) > 0 {
			found = wholeSeries(found, c.Max)
			c.found = append(c.found, found...)
			return len(found), nil
		}
	}
	return 0, nil
}

// periods looks for whole ones in blocks of one site.
type periods struct {
	shelf *Shelf
	want
	length int64
	blocks []custody.Info
}

// floor is where the period of a time begins.
func floor(wall, length int64) int64 {
	n := wall / length
	if wall%length < 0 {
		n--
	}
	return n * length
}

// after is the first period from a time on in which a block may have something,
// and which the bounds do not cut at its end.
func (p *periods) after(start int64) (from int64, ok bool) {
	from = math.MaxInt64
	for _, info := range p.blocks {
		first := info.First
		if b := p.shelf.opened[info.Number]; b != nil {
			if b.free == 0 {
				continue
			}
			first = max(first, b.first)
		}
		first = max(first, start, p.oldest)
		if first <= info.Last {
			from = min(from, floor(first, p.length))
		}
	}
	return from, from != math.MaxInt64 && from <= p.newest-p.length+1
}

// collect gives what is free in a period.
func (p *periods) collect(from int64) ([]candidate, error) {
	w := p.want
	w.oldest, w.newest = max(w.oldest, from), min(w.newest, from+p.length-1)
	var found []candidate
	for _, info := range p.blocks {
		if info.First > w.newest || info.Last < w.oldest {
			continue
		}
		b, err := p.shelf.open(info, w)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		found = b.collect(found, w, math.MaxInt)
	}
	return found, nil
}

// wholeSeries keeps as many series as have room with all their points, one at
// least.
func wholeSeries(found []candidate, most int) []candidate {
	if len(found) <= most {
		return found
	}
	counts := make(map[*probes.Series]int)
	for _, x := range found {
		counts[x.series()]++
	}
	taken, total := make(map[*probes.Series]bool), 0
	kept := found[:0]
	for _, x := range found {
		series := x.series()
		in, decided := taken[series]
		if !decided {
			in = total == 0 || total+counts[series] <= most
			taken[series] = in
			if in {
				total += counts[series]
			}
		}
		if in {
			kept = append(kept, x)
		}
	}
	return kept
}
