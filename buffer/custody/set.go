package custody

import (
	"encoding/binary"
	"errors"
	"slices"
)

// run is the numbers from..to-1.
type run struct{ from, to uint64 }

// set is a set of numbers: its runs are sorted, apart from each other, and
// none is empty.
type set []run

// at is the index of the first run that ends at or behind n.
func (s set) at(n uint64) int {
	low, high := 0, len(s)
	for low < high {
		middle := int(uint(low+high) / 2)
		if s[middle].to < n {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// add gives the set with x in it. It may reuse s.
func (s set) add(x run) set {
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

// below gives the set without what is below n. It may reuse s.
func (s set) below(n uint64) set {
	i := s.at(n)
	if i < len(s) && s[i].to == n {
		i++
	}
	s = s[i:]
	if len(s) > 0 {
		s[0].from = max(s[0].from, n)
	}
	return s
}

func (s set) has(n uint64) bool {
	i := s.at(n)
	if i < len(s) && s[i].to == n {
		i++
	}
	return i < len(s) && s[i].from <= n
}

// free gives the parts of x that are not in the set.
func (s set) free(x run) set {
	var out set
	for _, taken := range s[s.at(x.from):] {
		if taken.from >= x.to {
			break
		}
		if taken.from > x.from {
			out = append(out, run{x.from, taken.from})
		}
		x.from = max(x.from, taken.to)
	}
	if x.from < x.to {
		out = append(out, x)
	}
	return out
}

func (s set) count() (n int64) {
	for _, x := range s {
		n += int64(x.to - x.from)
	}
	return n
}

// appendTo writes how many runs there are, and each as its distance from the
// end of the one before, and its length.
func (s set) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	end := uint64(0)
	for _, x := range s {
		b = binary.AppendUvarint(b, x.from-end)
		b = binary.AppendUvarint(b, x.to-x.from)
		end = x.to
	}
	return b
}

var errRuns = errors.New("malformed ranges")

// cutSet is the inverse of appendTo, and gives what follows.
func cutSet(b []byte) (s set, rest []byte, err error) {
	d := decoder{b: b}
	n := d.uvarint()
	if n > uint64(len(b)) {
		return nil, nil, errRuns
	}
	end := uint64(0)
	for i := range n {
		gap, length := d.uvarint(), d.uvarint()
		from := end + gap
		if d.err != nil || from < end || length == 0 || from+length < from || gap == 0 && i > 0 {
			return nil, nil, errRuns
		}
		end = from + length
		s = append(s, run{from, end})
	}
	return s, d.b, d.err
}
