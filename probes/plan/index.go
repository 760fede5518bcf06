package plan

import (
	"strconv"
	"strings"
	"unicode"
)

// pick gives the chosen arcs of an index, "" where it lacks them.
func (a Arcs) pick(index string) string {
	if index == "" {
		return ""
	}
	n := strings.Count(index, ".") + 1
	from, count := a.From, a.Count
	if from < 0 {
		from += n
	}
	if count == 0 {
		count = n - from
	}
	if from < 0 || count <= 0 || from > n-count {
		return ""
	}
	start := after(index, from)
	rest := index[start:]
	if from+count == n {
		return rest
	}
	return rest[:after(rest, count)-1]
}

// after is where the text stands behind n dots.
func after(index string, n int) int {
	at := 0
	for range n {
		at += strings.IndexByte(index[at:], '.') + 1
	}
	return at
}

// indexCell reads the arcs of a row's index: a single one as a number, several
// as Form says. Where they do not fit the form the dotted arcs stay.
func indexCell(s *Source, index string) Cell {
	arcs := s.Arcs.pick(index)
	switch {
	case arcs == "":
		return Cell{}
	case s.Form == FormAuto:
		if n, err := strconv.ParseUint(arcs, 10, 64); err == nil {
			return Cell{Kind: Unsigned, Uint: n}
		}
	default:
		if text, ok := indexText(s.Form, arcs); ok {
			return Cell{Kind: Text, Text: text}
		}
	}
	return Cell{Kind: Text, Text: arcs}
}

// indexText shows arcs that are octets, false where they are not of the form.
func indexText(form TextForm, arcs string) (string, bool) {
	octets, ok := arcOctets(form, arcs)
	if !ok {
		return "", false
	}
	text := string(octets)
	switch form {
	case FormText:
		if strings.ContainsFunc(text, unicode.IsControl) {
			return "", false
		}
		if shown, ok := printable(text); ok {
			return shown, true
		}
		return latin1(text)
	case FormMAC:
		return macText(octets), len(octets) == 6
	case FormIP:
		return ipText(octets)
	case FormDate:
		return dateText(octets)
	case FormBits:
		return bitsText(octets, nil), true
	}
	return colonHex(octets), true
}

// arcOctets makes octets of arcs. A text or an address may have the type of
// the address and its own length before it (RFC 2578 section 7.7, RFC 4001).
func arcOctets(form TextForm, arcs string) ([]byte, bool) {
	numbers := make([]uint64, 0, 20)
	for arc := range strings.SplitSeq(arcs, ".") {
		n, err := strconv.ParseUint(arc, 10, 32)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	if form == FormIP && len(numbers) > 2 && numbers[0] <= 4 && hasCount(numbers[1:]) {
		numbers = numbers[1:]
	}
	if form != FormHex && form != FormBits && hasCount(numbers) {
		numbers = numbers[1:]
	}
	octets := make([]byte, 0, len(numbers))
	for _, n := range numbers {
		if n > 0xff {
			return nil, false
		}
		octets = append(octets, byte(n))
	}
	return cut(octets), true
}

// hasCount tells whether the first arc is the count of the others.
func hasCount(arcs []uint64) bool {
	return len(arcs) > 0 && arcs[0] == uint64(len(arcs)-1)
}
