package mib

import (
	"sort"
	"strconv"
	"strings"
)

// Set holds the objects of some modules. It does not change once made, but by
// UnmarshalBinary; the zero Set is empty, and so is a nil one.
type Set struct {
	tables []*table // the first that knows a name answers
}

// table is what one call of Compile found.
type table struct {
	types   []typeDef // the first is the empty one
	entries []entry   // in the order of lessEntry
	names   []int32   // positions in entries, by name
	ofSite  bool
}

// typeDef is a type as objects see it, with all it inherits.
type typeDef struct {
	module, name string // empty for a type without a name
	base         Type
	hint         string
	enum         map[int64]string
}

type entry struct {
	oid, name, module string
	kind              Kind
	implied           bool
	typ               int32    // position in types
	list              []string // indexes of an Entry, objects of a Notification
}

// Join gives one set of several: the first that knows a name answers.
func Join(sets ...*Set) *Set {
	joined := &Set{}
	for _, s := range sets {
		if s != nil {
			joined.tables = append(joined.tables, s.tables...)
		}
	}
	return joined
}

// OfSite gives the same objects, marked as those of the site: the author of a
// package did not know of them.
func (s *Set) OfSite() *Set {
	marked := &Set{}
	for _, t := range s.all() {
		own := *t
		own.ofSite = true
		marked.tables = append(marked.tables, &own)
	}
	return marked
}

// Len is the number of objects.
func (s *Set) Len() int {
	n := 0
	for _, t := range s.all() {
		n += len(t.entries)
	}
	return n
}

// Find gives the object of a name and the arcs written behind it ("" for none):
// "ifDescr", "IF-MIB::ifDescr", "SNMPv2-MIB::sysName.0", "ifDescr.3".
func (s *Set) Find(name string) (o Object, arcs string, ok bool) {
	module, rest, qualified := strings.Cut(name, "::")
	if !qualified {
		module, rest = "", name
	}
	rest, arcs, dotted := strings.Cut(rest, ".")
	if dotted && !isOID(arcs) {
		return Object{}, "", false
	}
	t, e := s.find(module, rest)
	if e == nil {
		return Object{}, "", false
	}
	if o, instance, ok := s.At(e.oid); ok && e.kind == Other && o.HasValue() { // the name of an instance
		return o, strings.TrimSuffix(instance+"."+arcs, "."), true
	}
	return t.object(e), arcs, true
}

// At gives the object with the longest OID that begins the given one, and the
// arcs behind it ("" for none). Kind Other says that only a branch is known.
// What has a name beneath an object with a value, as sysUpTimeInstance, is an
// instance of that.
func (s *Set) At(oid string) (o Object, rest string, ok bool) {
	oid = strings.TrimPrefix(oid, ".")
	if !isOID(oid) {
		return Object{}, "", false
	}
	for end := len(oid); end > 0; end = strings.LastIndexByte(oid[:end], '.') {
		t, e := s.exactly(oid[:end])
		if e == nil || ok && e.kind == Other {
			continue
		}
		if found := t.object(e); !ok || found.HasValue() {
			o, rest, ok = found, strings.TrimPrefix(oid[end:], "."), true
		}
		if e.kind != Other {
			break
		}
	}
	return o, rest, ok
}

// exactly gives the object with this very OID.
func (s *Set) exactly(oid string) (*table, *entry) {
	for _, t := range s.all() {
		if e := t.at(oid); e != nil {
			return t, e
		}
	}
	return nil, nil
}

func (s *Set) all() []*table {
	if s == nil {
		return nil
	}
	return s.tables
}

// find takes an empty module for any. What used to be in RFC1213-MIB has moved
// to several modules since, and is still asked for by its old one.
func (s *Set) find(module, name string) (*table, *entry) {
	for _, t := range s.all() {
		if e := t.find(module, name); e != nil {
			return t, e
		}
	}
	if module != "RFC1213-MIB" {
		return nil, nil
	}
	t, e := s.find("", name)
	if e == nil || !strings.HasPrefix(e.oid, mib2+".") {
		return nil, nil
	}
	return t, e
}

const mib2 = "1.3.6.1.2.1"

func (t *table) find(module, name string) *entry {
	i := sort.Search(len(t.names), func(i int) bool { return t.entries[t.names[i]].name >= name })
	for ; i < len(t.names); i++ {
		e := &t.entries[t.names[i]]
		if e.name != name {
			return nil
		}
		if module == "" || e.module == module {
			return e
		}
	}
	return nil
}

// at gives the first entry with this very OID.
func (t *table) at(oid string) *entry {
	i := sort.Search(len(t.entries), func(i int) bool { return compareOID(t.entries[i].oid, oid) >= 0 })
	if i < len(t.entries) && t.entries[i].oid == oid {
		return &t.entries[i]
	}
	return nil
}

func (t *table) object(e *entry) Object {
	typ := &t.types[e.typ]
	o := Object{OID: e.oid, Name: e.name, Module: e.module, Kind: e.kind, Type: typ.base, Enum: typ.enum, Hint: typ.hint, OfSite: t.ofSite}
	row := e
	switch e.kind {
	case Notification:
		o.Objects = e.list
		return o
	case Table:
		row = t.at(e.oid + ".1")
	case Column:
		row = t.at(parentOID(e.oid))
	}
	if row != nil && row.kind == Entry {
		o.Indexes, o.Implied = row.list, row.implied
	}
	return o
}

// index sorts the entries and makes the way by name.
func (t *table) index() {
	sort.Sort(byOID(t.entries))
	t.names = make([]int32, len(t.entries))
	for i := range t.names {
		t.names[i] = int32(i)
	}
	sort.Stable(byName{t})
}

type byOID []entry

func (b byOID) Len() int           { return len(b) }
func (b byOID) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b byOID) Less(i, j int) bool { return lessEntry(&b[i], &b[j]) }

type byName struct{ t *table }

func (b byName) Len() int      { return len(b.t.names) }
func (b byName) Swap(i, j int) { b.t.names[i], b.t.names[j] = b.t.names[j], b.t.names[i] }
func (b byName) Less(i, j int) bool {
	x, y := &b.t.entries[b.t.names[i]], &b.t.entries[b.t.names[j]]
	if x.name != y.name {
		return x.name < y.name
	}
	return better(x, y) < 0
}

// lessEntry orders by OID; of several objects at one OID the best comes first.
func lessEntry(x, y *entry) bool {
	if c := compareOID(x.oid, y.oid); c != 0 {
		return c < 0
	}
	if c := better(x, y); c != 0 {
		return c < 0
	}
	return x.name < y.name
}

// better prefers what has a value to a branch, and a module of today to one
// named after its RFC.
func better(x, y *entry) int {
	if a, b := x.kind == Other, y.kind == Other; a != b {
		return order(b)
	}
	if a, b := strings.HasPrefix(x.module, "RFC"), strings.HasPrefix(y.module, "RFC"); a != b {
		return order(b)
	}
	return strings.Compare(x.module, y.module)
}

func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

const (
	maxArcs = 128
	maxOID  = maxArcs * 11 // characters
)

// isOID says whether the text is of decimal arcs of 32 bits, dots between.
func isOID(text string) bool {
	if text == "" || len(text) > maxOID {
		return false
	}
	n := 0
	for rest, more := text, true; more; n++ {
		var arc string
		arc, rest, more = strings.Cut(rest, ".")
		if _, err := strconv.ParseUint(arc, 10, 32); err != nil || (arc[0] == '0' && len(arc) > 1) {
			return false
		}
	}
	return n <= maxArcs
}

// compareOID compares arc by arc; a shorter number is a smaller one.
func compareOID(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		if len(x) != len(y) {
			return order(len(x) < len(y))
		}
		if x != y {
			return strings.Compare(x, y)
		}
		if !moreA || !moreB {
			if moreA == moreB {
				return 0
			}
			return order(moreB)
		}
		a, b = restA, restB
	}
}

func parentOID(oid string) string {
	return oid[:max(strings.LastIndexByte(oid, '.'), 0)]
}

// pick gives the n-th of some words.
func pick(words string, n int) string {
	all := strings.Fields(words)
	if n >= len(all) {
		return strconv.Itoa(n)
	}
	return all[n]
}
