package custody

import (
	"sort"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// block is an entry of the file in memory; there may be many.
type block struct {
	number      uint64
	site        *site
	epoch, seq  uint64
	first, last int64
	received    int64
	taken       set // settled positions, also those that no commit has written
	points      uint32
	size        uint32
	sum         uint32
	holds       uint16
	kind, lane  uint8
	flags       uint8
	leaving     bool // the running commit moves or deletes it
}

func (b *block) is(f uint8) bool { return b.flags&f != 0 }
func (b *block) open() int64     { return int64(b.points) - b.taken.count() }
func (b *block) query() Query    { return Query{b.kind, b.lane, b.is(flagLate)} }

// free: nobody uses it, and no commit moves it.
func (b *block) free() bool { return b.holds == 0 && !b.leaving }

func (b *block) info() Info {
	return Info{
		Number: b.number, Site: b.site.name, Epoch: b.epoch, Seq: b.seq, Kind: b.kind, Lane: b.lane, Late: b.is(flagLate),
		Points: int(b.points), Open: int(b.open()), First: b.first, Last: b.last, Bytes: int(b.size), Received: time.UnixMilli(b.received),
	}
}

// blocks are sorted by number.
type blocks []*block

func (l blocks) at(number uint64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].number >= number })
}

func (l blocks) add(b *block) blocks {
	i := l.at(b.number)
	l = append(l, nil)
	copy(l[i+1:], l[i:])
	l[i] = b
	return l
}

// drop moves the shorter side: blocks go from the front as a rule.
func (l blocks) drop(number uint64) blocks {
	i := l.at(number)
	switch {
	case i == len(l) || l[i].number != number:
		return l
	case i < len(l)/2:
		copy(l[1:i+1], l[:i])
		l[0] = nil
		return l[1:]
	}
	copy(l[i:], l[i+1:])
	l[len(l)-1] = nil
	return l[:len(l)-1]
}

// site is one in memory.
type site struct {
	name  string
	state siteState // as of the last commit
	open  map[Query]blocks
}

// index is all that is known in memory of the blocks in the file.
type index struct {
	blocks  map[uint64]*block
	sites   map[string]*site
	rounds  map[Query][]string // names of the sites that have open blocks, sorted
	archive blocks             // late ones that their sites know of: they may be evicted
	spare   int64              // bytes of these
	broken  map[uint64]*block
	total   buffer.Account // as of the last commit
}

func newIndex() index {
	return index{blocks: make(map[uint64]*block), sites: make(map[string]*site), rounds: make(map[Query][]string), broken: make(map[uint64]*block)}
}

func (x *index) site(name string) *site {
	s := x.sites[name]
	if s == nil {
		s = &site{name: name, open: make(map[Query]blocks)}
		x.sites[name] = s
	}
	return s
}

func (x *index) insert(e *entry) {
	b := &block{
		number: e.number, site: x.site(e.site), epoch: e.epoch, seq: e.seq, first: e.first, last: e.last, received: e.received,
		taken: append(set(nil), e.settled...), points: e.points, size: e.size, sum: e.sum, kind: e.kind, lane: e.lane, flags: e.flags,
	}
	x.blocks[b.number] = b
	x.list(b)
}

// list puts a block where its state belongs.
func (x *index) list(b *block) {
	if b.is(flagBroken) {
		x.broken[b.number] = b
		return
	}
	if b.is(flagTold) {
		x.archive = x.archive.add(b)
		x.spare += footprint(b.size)
	}
	if b.open() == 0 {
		return
	}
	q := b.query()
	if len(b.site.open[q]) == 0 {
		names := x.rounds[q]
		i := sort.SearchStrings(names, b.site.name)
		names = append(names, "")
		copy(names[i+1:], names[i:])
		names[i] = b.site.name
		x.rounds[q] = names
	}
	b.site.open[q] = b.site.open[q].add(b)
}

// unlist undoes list.
func (x *index) unlist(b *block) {
	delete(x.broken, b.number)
	if n := len(x.archive); b.is(flagTold) {
		if x.archive = x.archive.drop(b.number); len(x.archive) < n {
			x.spare -= footprint(b.size)
		}
	}
	x.unqueue(b)
}

// unqueue takes a block out of those that are offered.
func (x *index) unqueue(b *block) {
	q := b.query()
	before := len(b.site.open[q])
	if before == 0 {
		return
	}
	b.site.open[q] = b.site.open[q].drop(b.number)
	if len(b.site.open[q]) > 0 {
		return
	}
	delete(b.site.open, q)
	names := x.rounds[q]
	i := sort.SearchStrings(names, b.site.name)
	x.rounds[q] = append(names[:i], names[i+1:]...)
}

func (x *index) remove(number uint64) {
	if b := x.blocks[number]; b != nil {
		x.unlist(b)
		delete(x.blocks, number)
	}
}

// update brings a block to the state of its entry. What was settled meanwhile
// stays settled.
func (x *index) update(e *entry) {
	b := x.blocks[e.number]
	if b == nil {
		x.insert(e)
		return
	}
	x.unlist(b)
	b.flags, b.size, b.sum = e.flags, e.size, e.sum
	for _, r := range e.settled {
		b.taken = b.taken.add(r)
	}
	x.list(b)
}

// What counts of a site's quota beside its blocks and names: without it, a site
// could fill the file by what has to be remembered.
const (
	epochCharge   = 256
	outcomeCharge = 128
)

// charge is what a block counts of its site's quota: its bytes, in whole pages
// where it has pages of its own, and what is known of it.
func charge(size uint32) int64 {
	const page, head = buffer.PageSize, 128
	n := int64(size)
	if n+head > page/4 { // less than that shares a page with others
		n = (n + head + page - 1) / page * page
	}
	return n + 256
}

// footprint is about what a block takes of the file: its pages, and its place
// in the index.
func footprint(size uint32) int64 {
	const page, overhead = buffer.PageSize, 128
	return (int64(size)+overhead+page-1)/page*page + 512
}
