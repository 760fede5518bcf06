package snmprec

import "net/netip"

// firstIndexArc is where an index can begin at the earliest.
const firstIndexArc = 8

// eachAddress gives the arcs of each address in an index of a known layout.
// They may be changed in place.
func eachAddress(layout string, index []uint32, found func(part []uint32)) {
	for _, what := range layout {
		size, skip := 1, 0
		switch what {
		case '4':
			size = 4
		case 'm':
			size = 6
		case 'o', 'a':
			skip = 1
			if what == 'a' {
				skip = 2
			}
			if len(index) < skip {
				return
			}
			size = int(min(index[skip-1], 128))
		}
		if len(index) < skip+size {
			return
		}
		part := index[skip : skip+size]
		if what == 'm' || (what == '4' || what == 'a') && (size == 4 || size == 16) {
			found(part)
		}
		index = index[skip+size:]
	}
}

// octetsOf is nil where an arc is no octet.
func octetsOf(arcs []uint32) []byte {
	b := make([]byte, len(arcs))
	for i, arc := range arcs {
		if arc > 255 {
			return nil
		}
		b[i] = byte(arc)
	}
	return b
}

func (m *masker) maskOID(oid string) string {
	arcs := arcsOf(oid)
	layout, from := indexOf(oid)
	if layout != "" {
		eachAddress(layout, arcs[min(from, len(arcs)):], m.maskArcs)
		return oidOf(arcs)
	}
	for i := firstIndexArc; i < len(arcs); {
		i += max(1, m.maskAt(arcs[i:]))
	}
	return oidOf(m.maskNames(arcs))
}

// maskArcs changes the arcs of one address in place and tells whether it did.
func (m *masker) maskArcs(part []uint32) {
	b := octetsOf(part)
	if b == nil {
		return
	}
	made := []byte(m.addresses.inOctets(string(b)))
	for i := range part {
		part[i] = uint32(made[i])
	}
}

// maskAt masks an address that begins here, in the index of a table that is
// not known, and tells how many arcs it has.
func (m *masker) maskAt(arcs []uint32) int {
	for _, size := range []int{16, 6, 4} {
		if len(arcs) < size {
			continue
		}
		b := octetsOf(arcs[:size])
		if b == nil || size == 4 && !distinct([4]byte(b)) {
			continue
		}
		if a := m.addresses; a.v6[string(b)]+a.mac[string(b)]+a.v4[string(b)] != "" {
			m.maskArcs(arcs[:size])
			return size
		}
	}
	return 0
}

// distinct tells addresses that hardly are arcs of a table's own OID. In
// indices of tables that are not known the others stay.
func distinct(b [4]byte) bool {
	least := byte(64)
	if netip.AddrFrom4(b).IsPrivate() {
		least = 20
	}
	return max(b[1], b[2], b[3]) >= least
}

// maskNames replaces names that are spelt in an index, with their length before
// them or without it.
func (m *masker) maskNames(arcs []uint32) []uint32 {
	for i := firstIndexArc; i+minName <= len(arcs); i++ {
		old := m.nameAt(arcs[i:])
		if old == "" {
			continue
		}
		made := m.names.made[old]
		if int(arcs[i-1]) == len(old) {
			arcs[i-1] = uint32(len(made))
		}
		rest := arcs[i+len(old):]
		arcs = append([]uint32{}, arcs[:i]...)
		for j := range len(made) {
			arcs = append(arcs, uint32(made[j]))
		}
		arcs = append(arcs, rest...)
		i += len(made) - 1
	}
	return arcs
}

func (m *masker) nameAt(arcs []uint32) string {
	b := octetsOf(arcs[:minName])
	if b == nil {
		return ""
	}
	for _, old := range m.names.starts[lower(string(b))] {
		if len(old) > len(arcs) {
			continue
		}
		if spelt := octetsOf(arcs[:len(old)]); spelt != nil && lower(string(spelt)) == old {
			return old
		}
	}
	return ""
}
