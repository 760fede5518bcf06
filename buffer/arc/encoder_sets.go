package arc

import "slices"

// set codes which series a group has and gives the number of their set.
func (e *Encoder) set(ids []uint32) int32 {
	m := e.m
	foretold := m.foretold()
	n, hash := foretold, uint64(0)
	repeated := n >= 0 && slices.Equal(m.sets[n].ids, ids)
	if !repeated {
		hash = hashOf(ids)
		n = e.find(foretold, ids, hash)
		repeated = n >= 0 && slices.Equal(m.sets[n].ids, ids)
	}
	e.which(foretold, n)
	switch {
	case repeated:
		e.repeats(1)
		return n
	case n < 0:
		n = e.newSet(ids)
	default:
		e.repeats(0)
		if before := m.sets[n].hash; e.byContent[before] == n {
			delete(e.byContent, before)
		}
		e.edit(n, ids)
	}
	m.sets[n].hash = hash
	e.byContent[hash] = n
	return n
}

// find looks for the set that had the ids at last, or else for one that is
// worth editing; -1: none.
func (e *Encoder) find(foretold int32, ids []uint32, hash uint64) int32 {
	m := e.m
	if n, ok := e.byContent[hash]; ok && slices.Equal(m.sets[n].ids, ids) {
		return n
	}
	candidates := [3]int32{foretold, -1, -1}
	for i, id := range [2]uint32{ids[0], ids[len(ids)/2]} {
		if n, ok := m.numbers.of(id); ok {
			candidates[i+1] = m.slots[n].home
		}
	}
	for _, n := range candidates {
		if n >= 0 && int(n) < len(m.sets) && m.sets[n].resembles(ids) {
			return n
		}
	}
	return -1
}

// which codes the number of a set, -1 for a new one.
func (e *Encoder) which(foretold, n int32) {
	m := e.m
	if foretold >= 0 {
		hit := same(n, foretold)
		e.rc.bit(&m.flags.expected[m.expected], hit)
		m.expected = hit
		if hit != 0 {
			return
		}
	}
	if len(m.sets) == 0 {
		return
	}
	if n < 0 {
		e.rc.bit(&m.flags.known[m.expected], 0)
		return
	}
	e.rc.bit(&m.flags.known[m.expected], 1)
	e.structural(&m.jump, int64(n-foretold))
}

func (e *Encoder) repeats(yes uint32) {
	m := e.m
	e.rc.bit(&m.flags.repeated[m.repeated], yes)
	m.repeated = yes
}

// resembles tells that at least half of the ids are in the set, and at least
// half of those that were there at last are among the ids.
func (s *set) resembles(ids []uint32) bool {
	found, stayed := 0, 0
	i := 0
	for _, member := range s.members {
		for i < len(ids) && ids[i] < member.id {
			i++
		}
		if i == len(ids) {
			break
		}
		if ids[i] != member.id {
			continue
		}
		found++
		if member.age == 0 {
			stayed++
		}
	}
	return 2*found >= len(ids) && 2*stayed >= len(s.ids)
}

// edit codes how the ids differ from the set, and changes the set.
func (e *Encoder) edit(n int32, ids []uint32) {
	m, s := e.m, &e.m.sets[n]
	m.gone, m.added = m.gone[:0], m.added[:0]
	i, changed := 0, uint32(0)
	for _, member := range s.members {
		for i < len(ids) && ids[i] < member.id {
			m.added = append(m.added, ids[i])
			i++
		}
		gone := uint32(1)
		if i < len(ids) && ids[i] == member.id {
			gone = 0
			i++
		}
		e.rc.bit(m.flags.goneFlag(member.age, changed), gone)
		changed = changes(gone, member.age)
		m.gone = append(m.gone, gone != 0)
	}
	m.added = append(m.added, ids[i:]...)
	e.structural(&m.additions, int64(len(m.added)))
	next := int64(0)
	for _, id := range m.added {
		e.structural(&m.addition, int64(id)-next)
		next = int64(id) + 1
	}
	m.edit(n)
}

// newSet codes ids that make a new set.
func (e *Encoder) newSet(ids []uint32) int32 {
	m := e.m
	e.structural(&m.count, int64(len(ids)))
	e.structural(&m.start, int64(ids[0])-m.nextID)
	for i, id := range ids[1:] {
		e.structural(&m.gap, int64(id-ids[i])-1)
	}
	m.added = append(m.added[:0], ids...)
	return m.newSet()
}

func hashOf(ids []uint32) uint64 {
	h := uint64(len(ids))
	for _, id := range ids {
		h = (h ^ uint64(id)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}
