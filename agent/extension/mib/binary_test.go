package mib

import (
	"bytes"
	"compress/flate"
	"encoding"
	"encoding/binary"
	"os"
	"reflect"
	"strings"
	"testing"
)

var (
	_ encoding.BinaryMarshaler   = (*Set)(nil)
	_ encoding.BinaryUnmarshaler = (*Set)(nil)
)

// sample has something of everything.
func sample(t testing.TB) *Set {
	t.Helper()
	one, warnings := Compile(folder("m", `M DEFINITIONS ::= BEGIN
m OBJECT IDENTIFIER ::= { enterprises 4294967295 }
State ::= TEXTUAL-CONVENTION SYNTAX INTEGER { low(-9223372036854775808), minus(-1), zero(0), high(9223372036854775807) }
table OBJECT-TYPE SYNTAX SEQUENCE OF E ::= { m 1 }
row OBJECT-TYPE SYNTAX E INDEX { state, IMPLIED name } ::= { table 1 }
state OBJECT-TYPE SYNTAX State ::= { row 1 }
name OBJECT-TYPE SYNTAX DisplayString ::= { row 2 }
flags OBJECT-TYPE SYNTAX BITS { a(0), b(9) } ::= { m 2 }
note NOTIFICATION-TYPE OBJECTS { state, name } ::= { m 0 1 }
END`))
	two, more := Compile(folder("n", "N DEFINITIONS ::= BEGIN other OBJECT-TYPE SYNTAX State ::= { m 3 } END"), one)
	if len(warnings)+len(more) > 0 {
		t.Fatal(warnings, more)
	}
	return Join(two, one)
}

func TestBinary(t *testing.T) {
	for name, want := range map[string]*Set{"sample": sample(t), "built-in": BuiltIn(), "empty": {}, "none": nil} {
		data, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Set
		if err := got.UnmarshalBinary(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want != nil && !reflect.DeepEqual(&got, want) {
			t.Errorf("%s: got %d objects, want %d, or others", name, got.Len(), want.Len())
		}
	}
}

// TestGolden: what is installed is read by later releases too, or refused.
func TestGolden(t *testing.T) {
	const file = "testdata/sample.compiled"
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		data, err := sample(t).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got Set
	if err := got.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"M::state": "state 1.3.6.1.4.1.4294967295.1.1.1 column integer low=-9223372036854775808 minus=-1 zero=0 high=9223372036854775807 [state] [IMPLIED name]",
		"name":     `name 1.3.6.1.4.1.4294967295.1.1.2 column octets "255a" [state] [IMPLIED name]`,
		"flags":    "flags 1.3.6.1.4.1.4294967295.2 scalar bits a=0 b=9",
		"note":     "note 1.3.6.1.4.1.4294967295.0.1 notification [state] [name]",
		"N::other": "other 1.3.6.1.4.1.4294967295.3 scalar integer low=-9223372036854775808 minus=-1 zero=0 high=9223372036854775807",
	} {
		if o, _, _ := got.Find(name); brief(o) != want {
			t.Errorf("got  %s\nwant %s", brief(o), want)
		}
	}
}

// seal packs a body as MarshalBinary does.
func seal(t testing.TB, body []byte) []byte {
	t.Helper()
	out := bytes.NewBufferString(mark)
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRefused(t *testing.T) {
	whole, err := sample(t).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	many := binary.AppendUvarint([]byte{1}, 1<<40) // of modules
	tests := map[string][]byte{
		"empty": nil, "other mark": []byte("EHM2" + string(whole[4:])), "cut": whole[:len(whole)-3], "longer": append(bytes.Clone(whole), 0),
		"no body":          seal(t, nil),
		"more behind":      seal(t, []byte{0, 0}),
		"too many tables":  seal(t, []byte{65}),
		"too many modules": seal(t, many),
		"base out of range": seal(t, []byte{
			1, 1, 1, 'M', 1, 0, 0, byte(types), 0, 0, 0,
		}),
		"module out of range": seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 1, 'x', 0, 1}),
		"type out of range":   seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 1, 'x', byte(Scalar) << 1, 0, 1}),
		"no name":             seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 0, 0, 0}),
		"no OID":              seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 0, 0, 1, 'x', 0, 0}),
		"shares with nothing": seal(t, []byte{1, 1, 1, 'M', 0, 1, 1, 1, 1, 0, 1, 'x', 0, 0}),
		"out of order":        seal(t, []byte{1, 1, 1, 'M', 0, 2, 0, 1, 2, 0, 1, 1, 0, 1, 'x', 0, 1, 'y', 0, 0, 0, 0}),
		"implied by a scalar": seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 1, 'x', byte(Scalar)<<1 | 1, 0, 0}),
		"bomb":                seal(t, make([]byte, maxBody+1)),
	}
	set := sample(t)
	for name, data := range tests {
		if err := set.UnmarshalBinary(data); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if !reflect.DeepEqual(set, sample(t)) {
		t.Error("what is refused changed the set")
	}
	good := seal(t, []byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 1, 'x', byte(Scalar) << 1, 0, 0})
	if err := set.UnmarshalBinary(good); err != nil || set.Len() != 1 {
		t.Errorf("the form that the others vary: %v", err)
	}
}

// TestBombOfOIDs: a few bytes for each make long OIDs, and are refused.
func TestBombOfOIDs(t *testing.T) {
	body := []byte{1, 1, 1, 'M', 0}
	const n = 50_000
	body = binary.AppendUvarint(body, n)
	body = append(body, 0, 127)
	for range 127 {
		body = binary.AppendUvarint(body, maxArc)
	}
	for range n - 1 {
		body = append(body, 127, 0)
	}
	for i := range n {
		body = append(body, 0, 3, 'A'+byte(i>>12), 'A'+byte(i>>6)&63, 'A'+byte(i&63))
	}
	body = append(body, make([]byte, 2*n)...)
	var set Set
	if err := set.UnmarshalBinary(seal(t, body)); err == nil {
		t.Error("taken")
	}
}

// FuzzUnmarshal: what is read is written, and read again as the same.
func FuzzUnmarshal(f *testing.F) {
	data, err := sample(f).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	var e encoder
	for _, table := range sample(f).tables {
		e.table(table)
	}
	f.Add(append([]byte{2}, e.b...))
	f.Add([]byte{1, 1, 1, 'M', 0, 1, 0, 1, 1, 0, 1, 'x', byte(Scalar) << 1, 0, 0})
	f.Add(data)
	f.Fuzz(func(t *testing.T, body []byte) {
		if !strings.HasPrefix(string(body), mark) {
			body = seal(t, body)
		}
		var set, again Set
		if set.UnmarshalBinary(body) != nil {
			return
		}
		data, err := set.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&set, &again) {
			t.Errorf("%d objects became %d, or others", set.Len(), again.Len())
		}
	})
}

// FuzzCompile: from any text comes a set that is consistent and can be kept.
func FuzzCompile(f *testing.F) {
	f.Add(v1)
	f.Add(products)
	f.Add("M DEFINITIONS ::= BEGIN x OBJECT-TYPE SYNTAX INTEGER { a(1) } DESCRIPTION \"no end\n::= { enterprises 1 }\n")
	f.Add("M DEFINITIONS ::= BEGIN t OBJECT-TYPE SYNTAX SEQUENCE OF E ::= { iso 1 } e OBJECT-TYPE SYNTAX E AUGMENTS { e } ::= { t 1 } c OBJECT-TYPE SYNTAX C ::= { e c(7) } C ::= C END")
	f.Add("\xff\xfeM\x00")
	outside := BuiltIn()
	f.Fuzz(func(t *testing.T, text string) {
		set, warnings := compile(folder("m", text), outside)
		for _, w := range warnings {
			if w.File == "" || w.Text == "" || w.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
				t.Errorf("warning %+v", w)
			}
		}
		checkConsistent(t, set)
		data, err := set.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Set
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(set, &again) {
			t.Errorf("%d objects became %d, or others", set.Len(), again.Len())
		}
	})
}

// checkConsistent: each object is found by its name and at its OID, a column
// lies beneath a row, and a row beneath nothing that has a value.
func checkConsistent(t *testing.T, set *Set) {
	for i := range set.tables[0].entries {
		e := &set.tables[0].entries[i]
		if o, arcs, ok := set.Find(e.module + "::" + e.name); !ok || arcs != "" || o.OID != e.oid {
			t.Errorf("%s::%s at %s is found as %+v", e.module, e.name, e.oid, o)
		}
		if o, rest, ok := set.At(e.oid + ".7.0"); !ok || !strings.HasPrefix(e.oid+".7.0", o.OID) || len(o.OID) < len(e.oid) {
			t.Errorf("at %s.7.0 there is %+v, %q", e.oid, o, rest)
		}
		o, rest, ok := set.At(e.oid)
		if !ok || rest != "" || o.OID != e.oid || !isOID(e.oid) {
			t.Errorf("at %s there is %+v, %q", e.oid, o, rest)
		}
		if (e.kind == Column || e.kind == Scalar) != e.valued() || (e.typ != 0 && !e.valued()) {
			t.Errorf("%s is a %v with type %d", e.name, e.kind, e.typ)
		}
	}
}
