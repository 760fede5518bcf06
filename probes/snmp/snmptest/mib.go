package snmptest

import (
	"iter"
	"slices"
	"sync"
)

// MIB is an ordered store of OIDs and their values. It may be changed while a
// Responder serves it; one request sees one state of it.
type MIB struct {
	mu   sync.RWMutex
	rows []row // ascending, no two alike
}

type row struct {
	oid   OID
	name  string       // oid, encoded
	value Value        // unless read is set
	read  func() Value // must not use the MIB
	ahead uint64       // by how much Bump has moved a counter
}

func (r *row) now() Value {
	v := r.value
	if r.read != nil {
		v = r.read()
	}
	if r.ahead == 0 {
		return v
	}
	n, _ := v.Uint64()
	if v.Tag == TagCounter32 {
		return Counter32(uint32(n + r.ahead))
	}
	return Counter64(n + r.ahead)
}

// newRow makes a row of a value or, when read is set, of a function.
func newRow(oid OID, v Value, read func() Value) row {
	return row{oid: slices.Clone(oid), name: nameOf(oid), value: v, read: read}
}

// NewMIB returns an empty store.
func NewMIB() *MIB { return &MIB{} }

// Set stores a value; one that was there is replaced.
func (m *MIB) Set(oid OID, v Value) {
	m.put(newRow(oid, v, nil))
}

// SetFunc stores a value that is worked out anew for each answer. The function
// must not use the MIB and must be safe to call from several goroutines.
func (m *MIB) SetFunc(oid OID, read func() Value) {
	m.put(newRow(oid, Value{}, read))
}

func (m *MIB) put(r row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.rows); n == 0 || m.rows[n-1].oid.Compare(r.oid) < 0 {
		m.rows = append(m.rows, r)
		return
	}
	i, exact := m.find(r.oid)
	if exact {
		m.rows[i] = r
		return
	}
	m.rows = slices.Insert(m.rows, i, r)
}

// load adds many rows in any order; of equal OIDs the last one wins.
func (m *MIB) load(rows []row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := append(m.rows, rows...)
	slices.SortStableFunc(all, func(a, b row) int { return a.oid.Compare(b.oid) })
	kept := all[:0]
	for i, r := range all {
		if i+1 < len(all) && all[i+1].oid.Compare(r.oid) == 0 {
			continue
		}
		kept = append(kept, r)
	}
	m.rows = slices.Clip(kept)
}

// Delete takes out everything at and below prefix and returns how many rows
// that were.
func (m *MIB) Delete(prefix OID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to := m.below(prefix)
	m.rows = slices.Delete(m.rows, from, to)
	return to - from
}

// Bump moves each Counter32 and Counter64 at and below prefix by the step for
// its OID, wrapping as counters do, and returns how many it moved. A counter
// that is a function is from then on that much ahead of it.
func (m *MIB) Bump(prefix OID, step func(OID) uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	moved := 0
	from, to := m.below(prefix)
	for i := from; i < to; i++ {
		r := &m.rows[i]
		if tag := r.now().Tag; tag == TagCounter32 || tag == TagCounter64 {
			r.ahead += step(r.oid)
			moved++
		}
	}
	return moved
}

// Len is the number of OIDs.
func (m *MIB) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.rows)
}

// Get is the answer to a v2c GetRequest: the value, or NoSuchInstance when the
// parent of oid has other children, or NoSuchObject.
func (m *MIB) Get(oid OID) Value {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.get(oid)
}

// All gives a snapshot of every OID and its present value, in order.
func (m *MIB) All() iter.Seq2[OID, Value] {
	m.mu.RLock()
	rows := slices.Clone(m.rows)
	m.mu.RUnlock()
	return func(yield func(OID, Value) bool) {
		for i := range rows {
			if !yield(rows[i].oid, rows[i].now()) {
				return
			}
		}
	}
}

// find returns where oid is or belongs. Callers hold the lock, here and below.
func (m *MIB) find(oid OID) (at int, exact bool) {
	return slices.BinarySearchFunc(m.rows, oid, func(r row, oid OID) int { return r.oid.Compare(oid) })
}

func (m *MIB) get(oid OID) Value {
	i, exact := m.find(oid)
	if exact {
		return m.rows[i].now()
	}
	parent := oid[:max(len(oid)-1, 0)]
	if i < len(m.rows) && m.rows[i].oid.HasPrefix(parent) || i > 0 && m.rows[i-1].oid.HasPrefix(parent) {
		return NoSuchInstance()
	}
	return NoSuchObject()
}

// after returns the index of the first row behind oid. The hint is a row that
// may hold oid itself, which saves the search.
func (m *MIB) after(oid OID, hint int) int {
	if hint >= 0 && hint < len(m.rows) && slices.Equal(m.rows[hint].oid, oid) {
		return hint + 1
	}
	i, exact := m.find(oid)
	if exact {
		i++
	}
	return i
}

// below returns the range of rows at and below prefix.
func (m *MIB) below(prefix OID) (from, to int) {
	from, _ = m.find(prefix)
	for to = from; to < len(m.rows) && m.rows[to].oid.HasPrefix(prefix); to++ {
	}
	return from, to
}
