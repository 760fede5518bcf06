package arc

import (
	"errors"
	"fmt"
	"math"
)

var errMalformed = errors.New("payload is malformed")

// Decoder is the inverse of Encoder. Its memory is bounded by the number of
// series and by MaxPoints, whatever it reads. It is not safe for concurrent
// use.
type Decoder struct {
	m      *model
	rc     rangeDecoder
	series int64
	err    error

	left   int // points that the payload may yet have
	groups []Group
	ids    []uint32
	values []Value
	stats  []Stats
}

// NewDecoder makes a decoder that wants a Reset.
func NewDecoder() *Decoder {
	return &Decoder{m: newModel(), err: errors.New("decoder has no segment")}
}

// Reset begins a new segment, whose series ids are less than the given number.
func (d *Decoder) Reset(series int) {
	d.m.reset()
	d.series, d.err = min(int64(series), 1<<32), nil
}

// Limit is the number of series from now on: they may grow within a segment.
func (d *Decoder) Limit(series int) { d.series = min(int64(series), 1<<32) }

// Decode reads the next payload of the segment. The groups are valid until the
// next Decode or Reset. After an error the rest of the segment is lost: every
// Decode fails until Reset.
func (d *Decoder) Decode(payload []byte) ([]Group, error) {
	if d.err != nil {
		return nil, d.err
	}
	if len(payload) == 0 {
		d.fail(errShort)
		return nil, d.err
	}
	if payload[0] != pointsVersion {
		d.fail(fmt.Errorf("payload starts with unknown byte %#x", payload[0]))
		return nil, d.err
	}
	d.rc.begin(payload[1:])
	d.left = MaxPoints
	d.groups, d.ids, d.values, d.stats = d.groups[:0], d.ids[:0], d.values[:0], d.stats[:0]
	d.m.prev = -1
	for n := d.count(&d.m.groups, 0); n > 0 && d.err == nil; n-- {
		d.group()
	}
	if d.err == nil && !d.rc.done() {
		d.fail(errMalformed)
	}
	d.rc.in = nil
	if d.err != nil {
		return nil, d.err
	}
	return d.groups, nil
}

// fail notes the first error.
func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// structural reads a number that says how groups are made up.
func (d *Decoder) structural(c *channel) int64 {
	x, _ := d.m.structure.get(&d.rc, c, &neighbour{})
	return x
}

// count reads a number of points or groups, of which at least min are there.
func (d *Decoder) count(c *channel, least int64) int {
	n := d.structural(c)
	if n < least || n > int64(d.left) || d.rc.short() {
		d.fail(errMalformed)
		return 0
	}
	return int(n)
}

func (d *Decoder) group() {
	m := d.m
	if m.full() {
		m.forget()
	}
	n := d.set()
	if d.err != nil {
		return
	}
	s := &m.sets[n]
	if len(s.ids) == 0 || len(s.ids) > d.left {
		d.fail(errMalformed)
		return
	}
	d.left -= len(s.ids)
	m.follow(n)
	t := d.stamp(s)
	if d.err != nil {
		return
	}
	ids, values := len(d.ids), len(d.values)
	d.ids = append(d.ids, s.ids...)
	d.readValues(s.slots)
	if d.rc.short() {
		d.fail(errShort)
	}
	d.groups = append(d.groups, Group{
		Stamp: t, IDs: d.ids[ids:len(d.ids):len(d.ids)], Values: d.values[values:len(d.values):len(d.values)],
	})
}

func (d *Decoder) stamp(s *set) (t Stamp) {
	m := d.m
	n := s.boot
	if n < 0 || d.rc.bit(&m.flags.sameBoot[m.repeated]) == 0 {
		x := d.structural(&m.bootIndex)
		if x < 0 || x > int64(len(m.boots)) || x == int64(s.boot) {
			d.fail(errMalformed)
			return t
		}
		n = int32(x)
	}
	if int(n) == len(m.boots) {
		d.newBoot()
	}
	s.boot, m.boot = n, n
	t.Uptime, _ = m.stamps.get(&d.rc, &s.uptime, &neighbour{})
	m.uptime = t.Uptime
	b := &m.boots[n]
	drift, _ := m.stamps.get(&d.rc, &m.drift, &neighbour{})
	b.offset += drift
	t.Boot, t.Wall = b.id, t.Uptime+b.offset
	return t
}

func (d *Decoder) newBoot() {
	var b boot
	for i := range b.id {
		b.id[i] = byte(d.rc.bits(8))
	}
	b.offset = d.structural(&d.m.offset)
	d.m.boots = append(d.m.boots, b)
}

func (d *Decoder) readValues(slots []uint32) {
	m := d.m
	m.left, m.kind, m.other = neighbour{}, noKind, 0
	for _, n := range slots {
		s := &m.slots[n]
		k := d.kind(&s.channel)
		if k == noKind {
			return
		}
		if k == asSummary {
			d.summary(s)
			continue
		}
		v, ok := k.value(d.number(&s.channel, k))
		if !ok {
			d.fail(errMalformed)
			return
		}
		d.values = append(d.values, v)
	}
}

func (d *Decoder) number(c *channel, k kind) int64 {
	m := d.m
	n, g := m.tablesOf(k).get(&d.rc, c, &m.left)
	m.left.pass(n, &g, k)
	return n
}

func (d *Decoder) summary(s *slot) {
	sub := d.m.statistics(s)
	var floats [3]float64
	for i := range floats {
		k := d.kind(&sub[i])
		if k < asDecimal || k == asSummary {
			d.fail(errMalformed)
			return
		}
		v, ok := k.value(d.number(&sub[i], k))
		if !ok {
			d.fail(errMalformed)
			return
		}
		floats[i] = math.Float64frombits(v.Bits)
	}
	sub[3].kind = asUint
	count := uint64(d.number(&sub[3], asUint))
	d.stats = append(d.stats, Stats{Min: floats[0], Max: floats[1], Sum: floats[2], Count: count})
	d.values = append(d.values, Value{Form: Summary, Stats: &d.stats[len(d.stats)-1]})
}

// kind reads the kind of the next number of the channel; noKind after an
// error.
func (d *Decoder) kind(c *channel) kind {
	m := d.m
	tree, change := m.kindTree(c)
	if change {
		m.other = d.rc.bit(&m.flags.newKind[m.other])
		if m.other == 0 {
			m.kind = c.kind
			return c.kind
		}
	}
	node := uint32(1)
	for range 4 {
		node = node<<1 | d.rc.bit(&tree[node])
	}
	k := kind(node & 15)
	if k == c.kind || k == noKind {
		d.fail(errMalformed)
		return noKind
	}
	c.become(k)
	m.kind = k
	return k
}
