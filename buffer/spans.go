package buffer

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// spanOf is the numbers from..to-1.
type spanOf[T uint32 | uint64] struct{ from, to T }

// setOf is a set of numbers: its spans are sorted, apart from each other, and
// none is empty.
type setOf[T uint32 | uint64] []spanOf[T]

// Positions of points in a record, and numbers of records.
type (
	span    = spanOf[uint32]
	spans   = setOf[uint32]
	numbers = setOf[uint64]
)

// at is the index of the first span that ends at or after i.
func (s setOf[T]) at(i T) int {
	n, _ := slices.BinarySearchFunc(s, i, func(x spanOf[T], i T) int {
		if x.to < i {
			return -1
		}
		return 1
	})
	return n
}

// add returns the set with x in it. It may reuse s.
func (s setOf[T]) add(x spanOf[T]) setOf[T] {
	if x.from >= x.to {
		return s
	}
	first := s.at(x.from)
	last := first
	for last < len(s) && s[last].from <= x.to {
		x.from, x.to = min(x.from, s[last].from), max(x.to, s[last].to)
		last++
	}
	if first == last {
		return slices.Insert(s, first, x)
	}
	s[first] = x
	return slices.Delete(s, first+1, last)
}

// remove returns the set without x. It may reuse s.
func (s setOf[T]) remove(x spanOf[T]) setOf[T] {
	if x.from >= x.to {
		return s
	}
	first := s.at(x.from)
	last := first
	var rest []spanOf[T]
	for last < len(s) && s[last].from < x.to {
		if s[last].from < x.from {
			rest = append(rest, spanOf[T]{s[last].from, min(s[last].to, x.from)})
		}
		if s[last].to > x.to {
			rest = append(rest, spanOf[T]{max(s[last].from, x.to), s[last].to})
		}
		last++
	}
	return slices.Insert(slices.Delete(s, first, last), first, rest...)
}

// union returns a new set.
func (s setOf[T]) union(others ...setOf[T]) setOf[T] {
	all := slices.Clone(s)
	for _, o := range others {
		if len(o) > 0 {
			all = merge(all, o)
		}
	}
	return all
}

// merge gives what is in one of two sets.
func merge[T uint32 | uint64](a, b setOf[T]) setOf[T] {
	out := make(setOf[T], 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].from < a[0].from {
			a, b = b, a
		}
		if n := len(out) - 1; n >= 0 && a[0].from <= out[n].to {
			out[n].to = max(out[n].to, a[0].to)
		} else {
			out = append(out, a[0])
		}
		a = a[1:]
	}
	return out
}

// free returns the parts of x that are not in the set.
func (s setOf[T]) free(x spanOf[T]) setOf[T] {
	gaps := setOf[T]{}.add(x)
	for _, taken := range s[s.at(x.from):] {
		if taken.from >= x.to {
			break
		}
		gaps = gaps.remove(taken)
	}
	return gaps
}

func (s setOf[T]) count() (n int64) {
	for _, x := range s {
		n += int64(x.to - x.from)
	}
	return n
}

// appendTo writes the set as pairs: distance from the end of the one before, length.
func (s setOf[T]) appendTo(b []byte) []byte {
	var end T
	for _, x := range s {
		b = binary.AppendUvarint(b, uint64(x.from-end))
		b = binary.AppendUvarint(b, uint64(x.to-x.from))
		end = x.to
	}
	return b
}

var errSpans = fmt.Errorf("malformed ranges: %w", errDamaged)

// parseSet is the inverse of appendTo; no number of the set is above most.
func parseSet[T uint32 | uint64](b []byte, most T) (setOf[T], error) {
	var s setOf[T]
	var end uint64
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errSpans
		}
		length, m := binary.Uvarint(b[n:])
		left := uint64(most) - end
		if m <= 0 || length == 0 || gap > left || length > left-gap || gap == 0 && len(s) > 0 {
			return nil, errSpans
		}
		s = append(s, spanOf[T]{T(end + gap), T(end + gap + length)})
		end += gap + length
		b = b[n+m:]
	}
	return s, nil
}

// has reports whether the set holds all of x.
func (s setOf[T]) has(x spanOf[T]) bool {
	i := s.at(x.from)
	if i < len(s) && s[i].to == x.from {
		i++
	}
	return i < len(s) && s[i].from <= x.from && x.to <= s[i].to
}
