package arc

import "math"

// Limits of the model. Where one is reached, sets and boots are forgotten and
// learned anew, on both sides alike.
const (
	maxSets    = 1 << 13
	maxMembers = 1 << 17
	maxBoots   = 1 << 12
)

// model is what encoder and decoder know of a segment so far.
type model struct {
	memory
	members int // of all sets

	// Of the group that is being coded.
	left  neighbour
	kind  kind   // of the value before
	other uint32 // 1: it was not as in the last group

	// What the group before left.
	first    int32 // set of the first group of the payload before
	prev     int32 // set of the group before, -1 for the first of a payload
	boot     int32
	uptime   int64
	nextID   int64  // behind the last id of the newest set
	expected uint32 // 1: the set of the group before was foretold
	repeated uint32 // 1: that group was as the last time

	groups, jump, count, start, gap  channel // of groups and new sets
	additions, addition              channel // of edited sets
	bootIndex, offset, drift         channel
	flags                            flags
	structure, stamps, plain, floats tables
}

// memory is what outlives a reset, emptied.
type memory struct {
	slots     []slot
	numbers   numbers
	summaries []summary
	sets      []set
	boots     []boot
	gone      []bool   // of each member of an edited set
	added     []uint32 // series that a set gets
}

// flags are probabilities of yes or no.
type flags struct {
	expected, known, repeated [2]prob
	gone                      [5][2]prob
	sameBoot, newKind         [2]prob
	kinds                     [2][kinds][kinds]prob // of the first value, of a change
}

// slot is what is known of a series.
type slot struct {
	channel
	home    int32 // encoder only: the set that last got the series
	summary int32 // index + 1
}

// summary has the channels of minimum, maximum, sum and count.
type summary [4]channel

// boot is a boot and how far the wall clock was from its uptime at last.
type boot struct {
	id     [16]byte
	offset int64
}

func newModel() *model {
	m := &model{memory: memory{numbers: make(numbers)}}
	m.reset()
	return m
}

func (m *model) reset() {
	kept := m.memory
	*m = model{}
	m.memory = kept
	m.slots, m.summaries = m.slots[:0], m.summaries[:0]
	m.numbers.clear()
	m.forget()
	f := &m.flags
	for _, probs := range [][]prob{f.expected[:], f.known[:], f.repeated[:], f.sameBoot[:], f.newKind[:]} {
		even(probs)
	}
	for i := range f.gone {
		even(f.gone[i][:])
	}
	for i := range kinds {
		even(f.kinds[0][i][:])
		even(f.kinds[1][i][:])
	}
	for _, t := range []*tables{&m.structure, &m.stamps, &m.plain, &m.floats} {
		t.reset()
	}
}

// slotOf gives the slot of a series, a new one for a new series.
func (m *model) slotOf(id uint32) uint32 {
	n, ok := m.numbers.of(id)
	if !ok {
		n = uint32(len(m.slots))
		m.numbers.set(id, n)
		m.slots = append(m.slots, slot{home: -1})
	}
	return n
}

// numbers gives series their slots. It is a map of pages, since the ids of
// series lie close together: an entry of a map takes four times as much.
type numbers map[uint32]*numberPage

// numberPage holds slots plus one, 0 where a series has none.
type numberPage [1 << pageBits]uint32

const pageBits = 5

func (x numbers) of(id uint32) (slot uint32, ok bool) {
	page := x[id>>pageBits]
	if page == nil {
		return 0, false
	}
	n := page[id&(1<<pageBits-1)]
	return n - 1, n > 0
}

func (x numbers) set(id, slot uint32) {
	page := x[id>>pageBits]
	if page == nil {
		page = new(numberPage)
		x[id>>pageBits] = page
	}
	page[id&(1<<pageBits-1)] = slot + 1
}

// clear keeps the pages: the next segment mostly has the same series.
func (x numbers) clear() {
	for _, page := range x {
		clear(page[:])
	}
}

// statistics gives the channels of a summary, new ones at first.
func (m *model) statistics(s *slot) *summary {
	if s.summary == 0 {
		m.summaries = append(m.summaries, summary{})
		s.summary = int32(len(m.summaries))
	}
	return &m.summaries[s.summary-1]
}

// tablesOf gives the probabilities that numbers of a kind are coded with.
func (m *model) tablesOf(k kind) *tables {
	if k.isPattern() {
		return &m.floats
	}
	return &m.plain
}

// pass makes a number that was coded the neighbour of the next.
func (n *neighbour) pass(x int64, g *guess, k kind) {
	n.now, n.level, n.moved = x, g.level, 0
	if k.isPattern() {
		n.level = 0
	}
	if x != g.best {
		n.moved = 1
	}
}

// kindTree gives the probabilities of the kind that the channel gets, and
// whether it has one already.
func (m *model) kindTree(c *channel) (tree *[kinds]prob, change bool) {
	if c.kind == noKind {
		return &m.flags.kinds[0][m.kind], false
	}
	return &m.flags.kinds[1][c.kind], true
}

// bootNumber finds a boot, likely the one given; the number of boots where it
// is a new one.
func (m *model) bootNumber(likely int32, id *[16]byte) int32 {
	if likely >= 0 && m.boots[likely].id == *id {
		return likely
	}
	for i := range m.boots {
		if m.boots[i].id == *id {
			return int32(i)
		}
	}
	return int32(len(m.boots))
}

// bits gives the patterns of the three floats.
func (s *Stats) bits() [3]uint64 {
	return [3]uint64{math.Float64bits(s.Min), math.Float64bits(s.Max), math.Float64bits(s.Sum)}
}
