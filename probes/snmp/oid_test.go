package snmp

import (
	"cmp"
	"slices"
	"testing"
)

func TestCompareOIDs(t *testing.T) {
	ordered := []string{"0.0", "1.3", "1.3.6", "1.3.6.1.2", "1.3.6.1.2.9", "1.3.6.1.2.10", "1.3.6.1.2.10.0", "1.3.6.1.2.11", "1.3.6.1.3", "1.3.6.1.4294967295", "2.1"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareOIDs(a, b); cmp.Compare(got, 0) != cmp.Compare(i, j) {
				t.Errorf("compare %s with %s is %d", a, b, got)
			}
		}
	}
}

func FuzzCompareOIDs(f *testing.F) {
	f.Add([]byte{1, 3, 6}, []byte{1, 3, 200, 1})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := dotted(x), dotted(y)
		if a == "" || b == "" {
			return
		}
		if got, want := cmp.Compare(compareOIDs(a, b), 0), slices.Compare(arcs(a), arcs(b)); got != want {
			t.Errorf("compare %s with %s is %d, want %d", a, b, got, want)
		}
	})
}

func TestIndexUnder(t *testing.T) {
	for _, test := range []struct {
		column, oid, index string
		ok                 bool
	}{
		{"1.3.6.1", "1.3.6.1.7", "7", true},
		{"1.3.6.1", "1.3.6.1.7.10.2", "7.10.2", true},
		{"1.3.6.1", "1.3.6.1", "", false},
		{"1.3.6.1", "1.3.6.1.", "", false},
		{"1.3.6.1", "1.3.6.10.7", "", false},
		{"1.3.6.1", "1.3.6.2", "", false},
	} {
		if index, ok := indexUnder(test.column, test.oid); index != test.index || ok != test.ok {
			t.Errorf("%s under %s: %q %v", test.oid, test.column, index, ok)
		}
	}
}
