package mib

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

var errForm = errors.New("not compiled MIB objects of this version: compile the MIB files again")

// UnmarshalBinary replaces the set by what MarshalBinary gave. What is
// malformed is refused, and the set left as it was.
func (s *Set) UnmarshalBinary(data []byte) error {
	packed, ok := bytes.CutPrefix(data, []byte(mark))
	if !ok {
		return errForm
	}
	rest := bytes.NewReader(packed)
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(rest), maxBody+1))
	if err != nil {
		return fmt.Errorf("unpack MIB objects: %w", err)
	}
	if len(body) > maxBody || rest.Len() > 0 {
		return errForm
	}
	d := decoder{rest: string(body), room: maxBody}
	var tables []*table
	for range d.below(maxTables + 1) {
		tables = append(tables, d.table())
	}
	if d.bad || d.rest != "" {
		return errForm
	}
	s.tables = tables
	return nil
}

// decoder reads until something is wrong, and gives empty values from there.
type decoder struct {
	rest string
	room int // characters of OIDs and names that may still come: few bytes make a long one
	bad  bool
}

func (d *decoder) fail() {
	d.bad, d.rest = true, ""
}

func (d *decoder) uvarint() uint64 {
	var buf [binary.MaxVarintLen64]byte
	n, size := binary.Uvarint(buf[:copy(buf[:], d.rest)])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// below reads a number that is smaller than limit.
func (d *decoder) below(limit int) int {
	n := d.uvarint()
	if n >= uint64(limit) {
		d.fail()
		return 0
	}
	return int(n)
}

// arc reads one number of an OID.
func (d *decoder) arc() uint64 {
	n := d.uvarint()
	if n > maxArc {
		d.fail()
		return 0
	}
	return n
}

// count reads how many things follow; each takes a byte at least.
func (d *decoder) count() int {
	return d.below(len(d.rest) + 1)
}

func (d *decoder) text() string {
	n := d.below(maxName + 1)
	if n > len(d.rest) {
		d.fail()
		return ""
	}
	text := d.rest[:n]
	d.rest = d.rest[n:]
	return text
}

func (d *decoder) texts(limit int) []string {
	n := d.count()
	if n > limit {
		d.fail()
		return nil
	}
	var list []string
	for range n {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) table() *table {
	modules := d.texts(math.MaxInt)
	t := &table{types: []typeDef{{}}}
	for range d.count() {
		t.types = append(t.types, d.typeDef(modules))
		if d.bad {
			return t
		}
	}
	n := d.count()
	before := ""
	for range n {
		before = d.oid(before)
		t.entries = append(t.entries, entry{oid: before})
		if d.bad {
			return t
		}
	}
	d.names(t)
	d.details(t, modules)
	for i := range t.entries {
		if d.bad || (i > 0 && !lessEntry(&t.entries[i-1], &t.entries[i])) {
			d.fail()
			return t
		}
	}
	t.index()
	return t
}

func (d *decoder) names(t *table) {
	before := ""
	for i := range t.entries {
		shared := d.below(len(before) + 1)
		tail := d.text()
		before = before[:shared] + tail
		if d.room -= len(before); len(before) > maxName || before == "" || d.room < 0 {
			d.fail()
			return
		}
		t.entries[i].name = before
	}
}

func (d *decoder) details(t *table, modules []string) {
	for i := range t.entries {
		head := d.below(int(kinds) << 1)
		e := &t.entries[i]
		e.kind, e.implied = Kind(head>>1), head&1 == 1
		d.bad = d.bad || (e.implied && e.kind != Entry)
	}
	for i := range t.entries {
		t.entries[i].module = d.module(modules)
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.valued() {
			e.typ = int32(d.below(len(t.types)))
		}
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.listed() {
			e.list = d.texts(maxList)
		}
	}
}

func (d *decoder) typeDef(modules []string) typeDef {
	t := typeDef{module: d.module(modules), name: d.text(), base: Type(d.below(int(types))), hint: d.text()}
	n := d.count()
	if n == 0 || n > maxEnum {
		d.bad = d.bad || n > maxEnum
		return t
	}
	values := make([]int64, 0, n)
	for i := range n {
		values = append(values, d.value(i, values))
	}
	t.enum = make(map[int64]string, n)
	for _, v := range values {
		t.enum[v] = d.text()
	}
	return t
}

// value reads the i-th number of an enumeration, each larger than the one before.
func (d *decoder) value(i int, before []int64) int64 {
	n := d.uvarint()
	if i == 0 {
		return int64(n>>1) ^ -int64(n&1)
	}
	last := before[i-1]
	if n == 0 || n > uint64(math.MaxInt64)-uint64(last) {
		d.fail()
	}
	return int64(uint64(last) + n)
}

func (d *decoder) module(modules []string) string {
	n := d.below(len(modules))
	if d.bad {
		return ""
	}
	return modules[n]
}

func (d *decoder) oid(before string) string {
	shared, more := d.below(maxArcs+1), d.below(maxArcs+1)
	if shared+more > maxArcs || shared+more == 0 {
		d.fail()
		return ""
	}
	oid := []byte(firstArcs(before, shared))
	if shared > 0 && len(oid) == 0 {
		d.fail()
	}
	for range more {
		if len(oid) > 0 {
			oid = append(oid, '.')
		}
		oid = strconv.AppendUint(oid, d.arc(), 10)
	}
	if d.room -= len(oid); d.room < 0 {
		d.fail()
	}
	return string(oid)
}

// firstArcs gives the first n arcs, "" when there are fewer.
func firstArcs(oid string, n int) string {
	for end := range len(oid) + 1 {
		if end < len(oid) && oid[end] != '.' {
			continue
		}
		if n--; n == 0 {
			return oid[:end]
		}
	}
	return ""
}

func parseArc(arc string) uint64 {
	n, _ := strconv.ParseUint(arc, 10, 32) // Compile gives no other
	return n
}
