package plan

import (
	"reflect"
	"strings"
	"testing"
)

func TestFilterMatch(t *testing.T) {
	tests := []struct {
		text string
		yes  []string
		no   []string
	}{
		{"", []string{"", "anything"}, nil},
		{" \t\n", []string{"", "anything"}, nil},
		{"$eq(1)", []string{"1"}, []string{"", "11", "2"}},
		{"$eq()", []string{""}, []string{"1"}},
		{`$eq("")`, []string{""}, []string{"1"}},
		{"$prefix(Gi)", []string{"Gi", "GigabitEthernet1/0/1"}, []string{"", "xGi"}},
		{"$suffix(/1)", []string{"/1", "Gi1/1"}, []string{"/10"}},
		{"$contains(1/1/1)", []string{"Eth1/1/1", "1/1/11"}, []string{"1/1"}},
		{"$contains()", []string{"", "x"}, nil},
		{"$eq( up )", []string{"up"}, []string{" up "}},
		{`$eq(" up ")`, []string{" up "}, []string{"up"}},
		{"$eq(a,b)", []string{"a,b"}, []string{"a"}},
		{"$eq(Gi(1))", []string{"Gi(1)"}, []string{"Gi(1"}},
		{`$eq("a)b")`, []string{"a)b"}, []string{"a"}},
		{`$eq("~"quoted~" ~~ tilde")`, []string{`"quoted" ~ tilde`}, []string{"quoted"}},
		{"$eq(~bare)", []string{"~bare"}, []string{"bare"}},
		{"$and($prefix(Gi),$suffix(1))", []string{"Gi1"}, []string{"Gi2", "Te1"}},
		{"$or($eq(1),$eq(2))", []string{"1", "2"}, []string{"3"}},
		{" $or ( $eq ( 1 ) , $eq ( 2 ) , $eq(3) ) ", []string{"1", "2", "3"}, []string{"4"}},
		{"$not($prefix(lo))", []string{"eth0", ""}, []string{"lo0"}},
		{"$and($not($eq(lo)),$or($prefix(e),$eq()))", []string{"eth0", ""}, []string{"lo", "wlan0"}},
		{"$eq(Größe)", []string{"Größe"}, []string{"Grosse"}},
	}
	for _, tt := range tests {
		f, err := ParseFilter(tt.text)
		if err != nil {
			t.Errorf("ParseFilter(%q): %v", tt.text, err)
			continue
		}
		for _, v := range tt.yes {
			if !f.Match(v) {
				t.Errorf("%s: %q does not match", tt.text, v)
			}
		}
		for _, v := range tt.no {
			if f.Match(v) {
				t.Errorf("%s: %q matches", tt.text, v)
			}
		}
	}
}

func TestFilterErrors(t *testing.T) {
	const names = "expected $eq, $prefix, $suffix, $contains, $and, $or or $not"
	tests := []struct{ text, want string }{
		{"eth0", `filter at position 1: found 'e', ` + names},
		{"$equals(1)", `filter at position 1: unknown function $equals, ` + names},
		{"$eq", `filter at position 4: found the end, expected (`},
		{"$eq(1", `filter at position 6: the text has no end, expected )`},
		{`$eq("1)`, `filter at position 5: the quoted text has no end, expected a closing quote`},
		{`$eq("1"2)`, `filter at position 8: found '2' after the quoted text, expected )`},
		{"$eq(1))", `filter at position 7: found ')' after the end of the filter`},
		{"$eq($eq(1))", `filter at position 5: found '$' in a text, put the text in double quotes`},
		{"$and($eq(1))", `filter at position 13: $and has one argument, expected two or more`},
		{"$and()", `filter at position 6: found ')', ` + names},
		{"$or($eq(1) $eq(2))", `filter at position 12: found '$' in $or, expected , or )`},
		{"$not($eq(1),$eq(2))", `filter at position 12: found ',' in $not, expected )`},
		{"$or($eq(ö),x)", `filter at position 12: found 'x', ` + names},
		{strings.Repeat("$not(", 20) + "$eq(1)" + strings.Repeat(")", 20), `filter at position 101: nested more than 20 deep`},
		{"$eq(" + strings.Repeat("x", 10_000) + ")", `filter is 10005 bytes long, expected at most 10000`},
	}
	for _, tt := range tests {
		_, err := ParseFilter(tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseFilter(%.40q)\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// FuzzFilter checks that what parses is written so that it reads back equal and
// says the same about any value.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"", "$eq()", `$eq("~"~~")`, "$and($prefix(a),$not($or($suffix(b),$contains(c,d))))", "$eq(Gi(1))", "$eq(~)",
		`$contains(" x")`, "$eq(\u00a0)", "$eq(\xff)",
	} {
		f.Add(text, "a")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		first, err := ParseFilter(text)
		if err != nil {
			return
		}
		again, err := ParseFilter(first.String())
		if err != nil && len(first.String()) <= maxFilterText {
			t.Fatalf("%q was written as %q: %v", text, first, err)
		}
		if err == nil && !reflect.DeepEqual(first, again) {
			t.Fatalf("%q was written as %q and read back as %q", text, first, again)
		}
		if first != nil && first.Match(value) == (&Filter{op: "not", parts: []*Filter{first}}).Match(value) {
			t.Fatalf("%q and its opposite agree on %q", text, value)
		}
	})
}
