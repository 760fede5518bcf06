package buffer

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// span is the positions from..to-1 of points in a record.
type span struct{ from, to uint32 }

// spans is a set of positions: sorted, apart from each other, none empty.
type spans []span

// at is the index of the first span that ends at or after i.
func (s spans) at(i uint32) int {
	n, _ := slices.BinarySearchFunc(s, i, func(x span, i uint32) int {
		if x.to < i {
			return -1
		}
		return 1
	})
	return n
}

// add returns the set with x in it. It may reuse s.
func (s spans) add(x span) spans {
	if x.from >= x.to {
		return s
	}
	first := s.at(x.from)
	last := first
	for last < len(s) && s[last].from <= x.to {
		x.from, x.to = min(x.from, s[last].from), max(x.to, s[last].to)
		last++
	}
	return slices.Replace(s, first, last, x)
}

// remove returns the set without x. It may reuse s.
func (s spans) remove(x span) spans {
	if x.from >= x.to {
		return s
	}
	first := s.at(x.from)
	last := first
	var rest []span
	for last < len(s) && s[last].from < x.to {
		if s[last].from < x.from {
			rest = append(rest, span{s[last].from, min(s[last].to, x.from)})
		}
		if s[last].to > x.to {
			rest = append(rest, span{max(s[last].from, x.to), s[last].to})
		}
		last++
	}
	return slices.Replace(s, first, last, rest...)
}

// union returns a new set.
func (s spans) union(others ...spans) spans {
	all := slices.Clone(s)
	for _, o := range others {
		for _, x := range o {
			all = all.add(x)
		}
	}
	return all
}

// free returns the parts of x that are not in the set.
func (s spans) free(x span) spans {
	gaps := spans{}.add(x)
	for _, taken := range s[s.at(x.from):] {
		if taken.from >= x.to {
			break
		}
		gaps = gaps.remove(taken)
	}
	return gaps
}

func (s spans) count() (n int64) {
	for _, x := range s {
		n += int64(x.to - x.from)
	}
	return n
}

// appendTo writes the set as pairs: distance from the end of the one before, length.
func (s spans) appendTo(b []byte) []byte {
	var end uint32
	for _, x := range s {
		b = binary.AppendUvarint(b, uint64(x.from-end))
		b = binary.AppendUvarint(b, uint64(x.to-x.from))
		end = x.to
	}
	return b
}

var errSpans = fmt.Errorf("malformed ranges: %w", errDamaged)

func parseSpans(b []byte) (spans, error) {
	var s spans
	var end uint64
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errSpans
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length == 0 || gap > maxRecordPoints || length > maxRecordPoints || end+gap+length > maxRecordPoints {
			return nil, errSpans
		}
		if gap == 0 && len(s) > 0 {
			return nil, errSpans
		}
		s = append(s, span{uint32(end + gap), uint32(end + gap + length)})
		end += gap + length
		b = b[n+m:]
	}
	return s, nil
}
