package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func octets(text string) Cell { return Cell{Kind: Octets, Text: text} }
func kind(k NameKind) Naming  { return Naming{Kind: k} }
func or(n Naming, d string) Naming {
	n.Default = d
	return n
}

func TestNaming(t *testing.T) {
	inet := Naming{By: "1.3.6", Kinds: map[int64]NameKind{1: NameIP, 2: NameIP, 16: NameText}}
	tests := []struct {
		name   string
		naming Naming
		cell   Cell
		by     Cell
		want   string
	}{
		{"MAC", kind(NameMAC), octets("\x00\x1bAB\x01\x02"), Cell{}, "00:1b:41:42:01:02"},
		{"MAC of letters", kind(NameMAC), octets("ABCDEF"), Cell{}, "41:42:43:44:45:46"},
		{"MAC as text", kind(NameMAC), octets("00-1B-41-42-01-02"), Cell{}, "00-1B-41-42-01-02"},
		{"no MAC", kind(NameMAC), octets("port 7"[:5]), Cell{}, "port "},
		{"no MAC with a default", or(kind(NameMAC), "none"), octets("Gi1/0"), Cell{}, "none"},
		{"all zero", or(kind(NameMAC), "none"), octets("\x00\x00\x00\x00\x00\x00"), Cell{}, "none"},
		{"nothing", kind(NameMAC), Cell{}, Cell{}, ""},
		{"nothing with a default", or(kind(NameText), "x"), Cell{}, Cell{}, "x"},
		{"text", kind(NameText), octets("Gi1/0/1\x00"), Cell{}, "Gi1/0/1"},
		{"text that is none", kind(NameText), octets("\x01\x02"), Cell{}, "01:02"},
		{"network IPv4", kind(NameNetwork), octets("\x01\x0a\x00\x00\x01"), Cell{}, "10.0.0.1"},
		{"network IPv6", kind(NameNetwork), octets("\x02\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), Cell{}, "fe80::1"},
		{"network MAC", kind(NameNetwork), octets("\x06\x00\x1b\x00\x00\x00\x01"), Cell{}, "00:1b:00:00:00:01"},
		{"network name", kind(NameNetwork), octets("\x10sw1.example"), Cell{}, "sw1.example"},
		{"bare IPv4", kind(NameNetwork), octets("\x0a\x00\x00\x01"), Cell{}, "10.0.0.1"},
		{"bare MAC", kind(NameNetwork), octets("\x00\x1b\x00\x00\x00\x01"), Cell{}, "00:1b:00:00:00:01"},
		{"host name", kind(NameNetwork), octets("sw1.example"), Cell{}, "sw1.example"},
		{"no address", or(kind(NameNetwork), "-"), octets("\x01\x02\x03"), Cell{}, "-"},
		{"IPv4", inet, octets("\xc0\x00\x02\x01"), integer(1), "192.0.2.1"},
		{"IPv6", inet, octets("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), integer(2), "2001:db8::1"},
		{"IPv4 with a zone", inet, octets("\xa9\xfe\x00\x01\x00\x00\x00\x03"), integer(1), "169.254.0.1%3"},
		{"DNS", inet, octets("db.example"), integer(16), "db.example"},
		{"unknown kind", inet, octets("\xc0\x00\x02\x01"), integer(9), "c0:00:02:01"},
		{"unknown kind with a default", or(inet, "?"), octets("\xc0\x00\x02\x01"), integer(9), "?"},
		{"kind not read", or(inet, "?"), octets("\xc0\x00\x02\x01"), Cell{}, "?"},
		{"IpAddress", inet, Cell{Kind: Text, Text: "192.0.2.1"}, integer(1), "192.0.2.1"},
		{"a number", kind(NameMAC), integer(7), Cell{}, "7"},
	}
	for _, tt := range tests {
		if got := tt.naming.text(tt.cell, tt.by); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Whatever a device sends, a name has no line break and is not endless.
func TestNamesAreFit(t *testing.T) {
	fit := func(b []byte, number uint8) bool {
		n := Naming{By: "1", Kinds: map[int64]NameKind{1: NameText, 2: NameMAC, 3: NameIP, 4: NameNetwork}}
		text := n.text(octets(string(b)), integer(int64(number%6)))
		return !strings.ContainsAny(text, "\n\r\x00") && len(text) <= 3*MaxText
	}
	if err := quick.Check(fit, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	if text := (&Naming{Kind: NameNetwork}).text(octets(strings.Repeat("a\n", MaxText)), Cell{}); len(text) > 3*MaxText || strings.Contains(text, "\n") {
		t.Errorf("%d bytes", len(text))
	}
}

// A change of what tells the kind alone makes another series, and one that
// could not be read makes no point.
func TestNamingByAColumn(t *testing.T) {
	b := &Block{
		Interval: time.Minute, Table: true,
		Dims:    []Dim{{Key: "addr", Source: Source{Kind: FromColumn, OID: "1.2", Naming: Naming{By: "1.1", Kinds: map[int64]NameKind{1: NameIP, 3: NameText}}}}},
		Metrics: []Metric{{Key: "m", Type: probes.Gauge, Source: Source{Kind: FromColumn, OID: "1.3"}}},
	}
	blocks := []*Block{b}
	_, tables := Needs(blocks)
	if len(tables) != 1 || !slices.Equal(tables[0], []string{"1.1", "1.2", "1.3"}) {
		t.Errorf("needs %v", tables)
	}
	var s State
	poll := func(k Cell, partial map[string]bool) string {
		r := Reading{Partial: partial, Columns: map[string]map[string]Cell{"1.1": {"7": k}, "1.2": {"7": octets("abcd")}, "1.3": {"7": integer(5)}}}
		points, _ := Points(blocks, Identity{}, r, &s)
		if len(points) != 1 {
			return "no point"
		}
		return points[0].Series.Dim("addr")
	}
	for i, tt := range []struct {
		kind    Cell
		partial map[string]bool
		want    string
	}{
		{integer(1), nil, "97.98.99.100"},
		{integer(3), nil, "abcd"},
		{integer(1), nil, "97.98.99.100"},
		{Cell{}, map[string]bool{"1.1": true}, "no point"},
		{Cell{}, nil, "abcd"},
	} {
		if got := poll(tt.kind, tt.partial); got != tt.want {
			t.Errorf("poll %d: %q, want %q", i, got, tt.want)
		}
	}
}

// A filter may speak of a number or of its name, of an address with its site or
// without.
func TestFiltersOnNamedNumbers(t *testing.T) {
	dim := Dim{Key: "state", Source: Source{Kind: FromColumn, OID: "1.1"}, Enum: map[int64]string{1: "1-up", 2: "2-down"}}
	address := Dim{Key: "device.address", Source: Source{Kind: FromDeviceAddress}, Prefix: "north/"}
	for _, tt := range []struct {
		state, address string
		want           int
	}{
		{"", "", 2},
		{"$eq(1)", "", 1},
		{"$eq(1-up)", "", 1},
		{"$suffix(down)", "", 1},
		{"$not($eq(1))", "", 1},
		{"$not($contains(up))", "", 1},
		{"$or($eq(1),$eq(2-down))", "", 2},
		{"$eq(3)", "", 0},
		{"", "$eq(10.0.0.1)", 2},
		{"", "$eq(north/10.0.0.1)", 2},
		{"", "$not($prefix(10.))", 0},
	} {
		var err error
		if dim.Filter, err = ParseFilter(tt.state); err != nil {
			t.Fatal(err)
		}
		if address.Filter, err = ParseFilter(tt.address); err != nil {
			t.Fatal(err)
		}
		b := &Block{Table: true, Dims: []Dim{dim, address}, Metrics: []Metric{{Key: "m", Type: probes.Gauge, Source: Source{Kind: FromConst, Text: "1"}}}}
		var s State
		points, _ := Points([]*Block{b}, Identity{Address: "10.0.0.1"}, Reading{Columns: map[string]map[string]Cell{"1.1": {"1": integer(1), "2": integer(2)}}}, &s)
		if len(points) != tt.want {
			t.Errorf("%s %s: %d points, want %d", tt.state, tt.address, len(points), tt.want)
		}
		for _, p := range points {
			if p.Series.Dim("device.address") != "north/10.0.0.1" {
				t.Errorf("address %q", p.Series.Dim("device.address"))
			}
		}
	}
}

func TestShownByAHint(t *testing.T) {
	d := Dim{Key: "v", Source: Source{Kind: FromScalar, OID: "1.0"}, Hint: "d-1", Show: func(c Cell) (string, bool) {
		return "4.2", c.Kind == Integer
	}}
	if got := d.textOf(integer(42), Cell{}); got != "4.2" {
		t.Errorf("shown %q", got)
	}
	if got := d.textOf(octets("ab"), Cell{}); got != "ab" {
		t.Errorf("what cannot be shown is %q", got)
	}
}
