package arc

import "fmt"

// pointsVersion is the first byte of a payload of points.
const pointsVersion = 0x21

// Encoder packs the points of one segment: payloads that are read in the
// order in which they were made. What it learned from one makes the next
// short. It is not safe for concurrent use.
type Encoder struct {
	m      *model
	rc     rangeEncoder
	points int
	// byContent finds a set by the ids it had at last.
	byContent map[uint64]int32
}

// NewEncoder makes an encoder at the begin of a segment.
func NewEncoder() *Encoder {
	return &Encoder{m: newModel(), byContent: make(map[uint64]int32)}
}

// Reset begins a new segment.
func (e *Encoder) Reset() {
	e.m.reset()
	e.points = 0
	clear(e.byContent)
}

// Series is how many series the segment has points of.
func (e *Encoder) Series() int { return len(e.m.slots) }

// Points is how many points the segment has.
func (e *Encoder) Points() int { return e.points }

// Encode appends the groups to dst as the next payload of the segment. The ids
// of a group ascend strictly; uptimes are milliseconds since boot. After an
// error the segment is as it was before.
func (e *Encoder) Encode(dst []byte, groups []Group) ([]byte, error) {
	points, err := checkGroups(groups)
	if err != nil {
		return dst, err
	}
	m := e.m
	e.rc.begin(append(dst, pointsVersion))
	m.prev = -1
	e.structural(&m.groups, int64(len(groups)))
	for i := range groups {
		e.group(&groups[i])
	}
	e.points += points
	dst = e.rc.end()
	e.rc.out = nil
	return dst, nil
}

func checkGroups(groups []Group) (points int, err error) {
	for i := range groups {
		g := &groups[i]
		if len(g.IDs) != len(g.Values) || len(g.IDs) == 0 {
			return 0, fmt.Errorf("group %d has %d ids and %d values", i, len(g.IDs), len(g.Values))
		}
		for j := range g.Values {
			v := &g.Values[j]
			if v.Form < Float || v.Form > Summary || (v.Form == Summary) != (v.Stats != nil) {
				return 0, fmt.Errorf("group %d has a value of form %d", i, v.Form)
			}
			if j > 0 && g.IDs[j] <= g.IDs[j-1] {
				return 0, fmt.Errorf("group %d has id %d behind %d", i, g.IDs[j], g.IDs[j-1])
			}
		}
		points += len(g.IDs)
	}
	if points > MaxPoints {
		return 0, fmt.Errorf("%d points are more than %d", points, MaxPoints)
	}
	return points, nil
}

func (e *Encoder) group(g *Group) {
	m := e.m
	if m.full() {
		m.forget()
		clear(e.byContent)
	}
	n := e.set(g.IDs)
	s := &m.sets[n]
	m.follow(n)
	e.stamp(s, &g.Stamp)
	e.values(s.slots, g.Values)
}

// structural codes a number that says how groups are made up.
func (e *Encoder) structural(c *channel, x int64) {
	e.m.structure.put(&e.rc, c, &neighbour{}, x)
}

func (e *Encoder) stamp(s *set, t *Stamp) {
	m := e.m
	n := m.bootNumber(s.boot, &t.Boot)
	if s.boot >= 0 {
		e.rc.bit(&m.flags.sameBoot[m.repeated], same(n, s.boot))
	}
	if n != s.boot {
		e.structural(&m.bootIndex, int64(n))
	}
	if int(n) == len(m.boots) {
		for _, b := range t.Boot {
			e.rc.bits(uint64(b), 8)
		}
		m.boots = append(m.boots, boot{id: t.Boot, offset: t.Wall - t.Uptime})
		e.structural(&m.offset, t.Wall-t.Uptime)
	}
	s.boot, m.boot = n, n
	m.stamps.put(&e.rc, &s.uptime, &neighbour{}, t.Uptime)
	m.uptime = t.Uptime
	b := &m.boots[n]
	m.stamps.put(&e.rc, &m.drift, &neighbour{}, t.Wall-t.Uptime-b.offset)
	b.offset = t.Wall - t.Uptime
}

func same(a, b int32) uint32 {
	if a == b {
		return 1
	}
	return 0
}

func (e *Encoder) values(slots []uint32, values []Value) {
	m := e.m
	m.left, m.kind, m.other = neighbour{}, noKind, 0
	for i := range values {
		v, s := &values[i], &m.slots[slots[i]]
		switch v.Form {
		case Int:
			e.number(&s.channel, asInt, int64(v.Bits))
		case Uint:
			e.number(&s.channel, asUint, int64(v.Bits))
		case Float:
			k, n := s.floatKind(v.Bits)
			e.number(&s.channel, k, n)
		default:
			e.summary(s, v.Stats)
		}
	}
}

func (e *Encoder) number(c *channel, k kind, n int64) {
	m := e.m
	e.kind(c, k)
	g := m.tablesOf(k).put(&e.rc, c, &m.left, n)
	m.left.pass(n, &g, k)
}

func (e *Encoder) summary(s *slot, v *Stats) {
	e.kind(&s.channel, asSummary)
	sub := e.m.statistics(s)
	for i, bits := range v.bits() {
		k, n := sub[i].floatKind(bits)
		e.number(&sub[i], k, n)
	}
	sub[3].kind = asUint
	g := e.m.plain.put(&e.rc, &sub[3], &e.m.left, int64(v.Count))
	e.m.left.pass(int64(v.Count), &g, asUint)
}

// kind codes the kind of the next number of the channel.
func (e *Encoder) kind(c *channel, k kind) {
	m := e.m
	tree, change := m.kindTree(c)
	if change {
		changed := uint32(0)
		if k != c.kind {
			changed = 1
		}
		e.rc.bit(&m.flags.newKind[m.other], changed)
		m.other = changed
	}
	if k != c.kind {
		node := uint32(1)
		for i := 3; i >= 0; i-- {
			bit := uint32(k>>i) & 1
			e.rc.bit(&tree[node], bit)
			node = node<<1 | bit
		}
		c.become(k)
	}
	m.kind = k
}
