package snmp

import "strings"

// compareOIDs orders two numeric OIDs without leading dots as SNMP does, arc
// by arc. Arcs have no leading zeros, so a longer arc is a greater one.
func compareOIDs(a, b string) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	switch {
	case i == n:
		return len(a) - len(b)
	case a[i] == '.':
		return -1
	case b[i] == '.':
		return 1
	}
	if x, y := arcLeft(a[i:]), arcLeft(b[i:]); x != y {
		return x - y
	}
	return int(a[i]) - int(b[i])
}

// arcLeft is how many digits the arc goes on for.
func arcLeft(s string) int {
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return i
	}
	return len(s)
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
