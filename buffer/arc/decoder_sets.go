package arc

import "slices"

// set reads which series a group has and gives the number of their set.
func (d *Decoder) set() int32 {
	m := d.m
	n := d.which(m.foretold())
	if d.err != nil {
		return -1
	}
	if n < 0 {
		return d.newSet()
	}
	m.repeated = d.rc.bit(&m.flags.repeated[m.repeated])
	if m.repeated == 0 {
		d.edit(n)
	}
	return n
}

// which reads the number of a set, -1 for a new one.
func (d *Decoder) which(foretold int32) int32 {
	m := d.m
	if foretold >= 0 {
		m.expected = d.rc.bit(&m.flags.expected[m.expected])
		if m.expected != 0 {
			return foretold
		}
	}
	if len(m.sets) == 0 || d.rc.bit(&m.flags.known[m.expected]) == 0 {
		return -1
	}
	n := d.structural(&m.jump) + int64(foretold)
	if n < 0 || n >= int64(len(m.sets)) || n == int64(foretold) {
		d.fail(errMalformed)
	}
	return int32(n)
}

// edit reads how the group differs from the set, and changes the set.
func (d *Decoder) edit(n int32) {
	m, s := d.m, &d.m.sets[n]
	m.gone = m.gone[:0]
	changed, same := uint32(0), true
	for i := range s.members {
		age := s.members[i].age
		gone := d.rc.bit(m.flags.goneFlag(age, changed))
		changed = changes(gone, age)
		same = same && changed == 0
		m.gone = append(m.gone, gone != 0)
	}
	d.readIDs(d.count(&m.additions, 0), &m.addition, &m.addition, 0)
	for i := range s.members {
		if _, found := slices.BinarySearch(m.added, s.members[i].id); found {
			d.fail(errMalformed)
		}
	}
	if d.err != nil || same && len(m.added) == 0 {
		d.fail(errMalformed)
		return
	}
	m.edit(n)
}

// newSet reads ids that make a new set.
func (d *Decoder) newSet() int32 {
	m := d.m
	d.readIDs(d.count(&m.count, 1), &m.start, &m.gap, m.nextID)
	if d.err != nil {
		return -1
	}
	return m.newSet()
}

// readIDs reads n ascending ids into m.added: each as how far it is from the
// least that it can be.
func (d *Decoder) readIDs(n int, first, rest *channel, next int64) {
	m := d.m
	m.added = m.added[:0]
	c := first
	for range n {
		skip := d.structural(c)
		id := next + skip
		if skip < -next || skip >= d.series-next || len(m.added) > 0 && skip < 0 {
			d.fail(errMalformed)
			return
		}
		m.added = append(m.added, uint32(id))
		next, c = id+1, rest
	}
}
