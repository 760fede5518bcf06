package snmp

import "strings"

// compareOIDs orders two numeric OIDs without leading dots as SNMP does, arc
// by arc. Arcs have no leading zeros, so a longer arc is a greater one.
func compareOIDs(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

// indexUnder returns the part of oid below column, ok=false where oid is not
// below it.
func indexUnder(column, oid string) (index string, ok bool) {
	rest, ok := strings.CutPrefix(oid, column)
	if !ok || len(rest) < 2 || rest[0] != '.' {
		return "", false
	}
	return rest[1:], true
}
