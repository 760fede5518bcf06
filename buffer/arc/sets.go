package arc

import "slices"

// patienceOfSets is how many edits in a row a member may be absent; then it
// is dropped, so that reading edits takes time in proportion to the points.
const patienceOfSets = 15

// set is a list of series that came together, in the order of their ids.
type set struct {
	members []member
	ids     []uint32 // of those in the last group
	slots   []uint32 // of those in the last group
	hash    uint64   // encoder only: of ids
	uptime  channel
	boot    int32
	next    int32 // the set that came after it, -1: unknown
}

// member is a series of a set. Its age is 0 where the series was in the last
// group of the set, else in how many edits in a row it was not.
type member struct {
	id, slot uint32
	age      uint8
}

// forget drops all sets and boots.
func (m *model) forget() {
	room := 0
	for _, s := range m.sets[:cap(m.sets)] {
		room += cap(s.members)
	}
	if room > 2*maxMembers {
		m.sets = nil
	}
	m.sets, m.boots = m.sets[:0], m.boots[:0]
	m.members = 0
	m.first, m.prev, m.boot = -1, -1, -1
}

// full tells that sets and boots are to be forgotten before the next group.
func (m *model) full() bool {
	return len(m.sets) >= maxSets || m.members > maxMembers || len(m.boots) >= maxBoots
}

// foretold is the set of the next group if all is as before, -1: unknown.
func (m *model) foretold() int32 {
	next := m.first
	if m.prev >= 0 {
		next = m.sets[m.prev].next
		if next < 0 && int(m.prev)+1 < len(m.sets) {
			next = m.prev + 1
		}
	}
	return next
}

// follow notes that a group of the set came.
func (m *model) follow(n int32) {
	if m.prev >= 0 {
		m.sets[m.prev].next = n
	} else {
		m.first = n
	}
	m.prev = n
}

// newSet makes a set of the series in m.added.
func (m *model) newSet() int32 {
	n := len(m.sets)
	if n < cap(m.sets) {
		m.sets = m.sets[:n+1]
	} else {
		m.sets = append(m.sets, set{})
	}
	s := &m.sets[n]
	*s = set{members: s.members[:0], ids: s.ids, slots: s.slots, boot: m.boot, next: -1}
	s.uptime.last = m.uptime
	s.members = slices.Grow(s.members, len(m.added))
	for _, id := range m.added {
		s.members = append(s.members, m.member(id, int32(n)))
	}
	s.line()
	m.members += len(s.members)
	m.nextID = int64(m.added[len(m.added)-1]) + 1
	return int32(n)
}

func (m *model) member(id uint32, home int32) member {
	n := m.slotOf(id)
	m.slots[n].home = home
	return member{id: id, slot: n}
}

// edit changes the set by m.gone and m.added.
func (m *model) edit(number int32) {
	s := &m.sets[number]
	before := len(s.members)
	kept := s.members[:0]
	for i, member := range s.members {
		if !m.gone[i] {
			member.age = 0
		} else if member.age++; member.age > patienceOfSets {
			continue
		}
		kept = append(kept, member)
	}
	s.members = kept
	m.merge(s, number)
	s.line()
	m.members += len(s.members) - before
}

// merge puts the series of m.added, of which none is a member, in their places.
func (m *model) merge(s *set, number int32) {
	from := len(s.members) - 1
	s.members = append(s.members, make([]member, len(m.added))...)
	to := len(s.members) - 1
	for i := len(m.added) - 1; i >= 0; to-- {
		if from >= 0 && s.members[from].id > m.added[i] {
			s.members[to] = s.members[from]
			from--
			continue
		}
		s.members[to] = m.member(m.added[i], number)
		i--
	}
}

// line lists those that are in the group.
func (s *set) line() {
	s.ids, s.slots = slices.Grow(s.ids[:0], len(s.members)), slices.Grow(s.slots[:0], len(s.members))
	for i := range s.members {
		if s.members[i].age == 0 {
			s.ids = append(s.ids, s.members[i].id)
			s.slots = append(s.slots, s.members[i].slot)
		}
	}
}

// changes tells whether a member that is gone or not was so before.
func changes(gone uint32, age uint8) uint32 {
	if (gone != 0) != (age > 0) {
		return 1
	}
	return 0
}

// goneFlag is the probability that a member is not in the group, by its age
// and by whether the member before it came or went.
func (f *flags) goneFlag(age uint8, changed uint32) *prob {
	return &f.gone[[patienceOfSets + 1]uint8{0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4}[age]][changed]
}
