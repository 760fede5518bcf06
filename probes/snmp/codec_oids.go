package snmp

import (
	"math"
	"strconv"
	"sync"
)

// Bounds of the table of OIDs: two generations of so many, none longer.
const (
	oidGeneration = 16_384
	maxKnownOID   = 64 // bytes as BER has them
)

// oidTable knows the texts of OIDs by their BER bytes, so that the ones that
// every poll brings are made once. When the young generation is full it becomes
// the old one; what is still asked for comes back from there.
type oidTable struct {
	mu    sync.RWMutex
	young map[string]string
	old   map[string]string
	whole bool // octet strings are kept whole
}

// find is called with the lock held for reading. It allocates nothing.
func (t *oidTable) find(raw []byte) (text string, young bool) {
	if text, ok := t.young[string(raw)]; ok {
		return text, true
	}
	return t.old[string(raw)], false
}

// knownOID is an OID to learn; raw points into a datagram.
type knownOID struct {
	raw  []byte
	text string
}

// learn adds what find did not find in the young generation.
func (t *oidTable) learn(news []knownOID) {
	if len(news) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range news {
		if t.young == nil || len(t.young) >= oidGeneration {
			t.old, t.young = t.young, map[string]string{}
		}
		t.young[string(n.raw)] = n.text
	}
}

// oidText is the text of an OID without a leading dot; ok=false where an arc is
// cut off or over 32 bits. No bytes are 0.0, as net-snmp has it.
func oidText(raw []byte) (text string, ok bool) {
	if len(raw) == 0 {
		return "0.0", true
	}
	var space [128]byte
	out := space[:0]
	for at := 0; at < len(raw); {
		start := at
		arc, next, ok := nextArc(raw, at)
		if !ok {
			return "", false
		}
		at = next
		if start == 0 {
			root := min(arc/40, 2)
			out = append(out, '0'+byte(root))
			arc -= 40 * root
		}
		out = strconv.AppendUint(append(out, '.'), arc, 10)
	}
	return string(out), true
}

func nextArc(raw []byte, at int) (arc uint64, next int, ok bool) {
	for ; at < len(raw); at++ {
		arc = arc<<7 | uint64(raw[at]&0x7f)
		if arc > math.MaxUint32 {
			return 0, 0, false
		}
		if raw[at] < 0x80 {
			return arc, at + 1, true
		}
	}
	return 0, 0, false
}
