package plan

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

const (
	checkpointFormat = 1
	maxCheckpoint    = 64 << 20 // bytes
)

var errCheckpoint = errors.New("the counter baselines are damaged")

// MarshalBinary writes the counter baselines. It never fails.
func (s *State) MarshalBinary() ([]byte, error) {
	b := []byte{checkpointFormat}
	ids := slices.SortedFunc(maps.Keys(s.counters), func(x, y counterID) int {
		return cmp.Or(cmp.Compare(x.interval, y.interval), cmp.Compare(x.oid, y.oid))
	})
	for _, id := range ids {
		column := s.counters[id]
		if len(column) == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(id.interval))
		b = appendText(b, id.oid)
		b = binary.AppendUvarint(b, uint64(len(column)))
		for _, index := range slices.Sorted(maps.Keys(column)) {
			b = appendText(b, index)
			b = binary.AppendUvarint(b, column[index].last)
		}
	}
	return b, nil
}

// UnmarshalBinary takes the baselines that MarshalBinary wrote, in place of
// those it has. After an error the State is as it was.
func (s *State) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != checkpointFormat || len(b) > maxCheckpoint {
		return errCheckpoint
	}
	r := checkpointReader{rest: b[1:]}
	counters := make(map[counterID]map[string]*baseline)
	for len(r.rest) > 0 && !r.bad {
		id := counterID{time.Duration(r.number()), r.text()}
		if counters[id] != nil {
			return errCheckpoint
		}
		counters[id] = r.column()
	}
	if r.bad {
		return errCheckpoint
	}
	s.counters = counters
	return nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// checkpointReader takes parts off the front; once bad it gives zeros.
type checkpointReader struct {
	rest []byte
	bad  bool
}

func (r *checkpointReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *checkpointReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// column reads one column. Every row takes two bytes at least, so damage
// cannot ask for more memory than the input has.
func (r *checkpointReader) column() map[string]*baseline {
	n := r.number()
	if n == 0 || n > uint64(len(r.rest))/2 {
		r.bad, r.rest = true, nil
		return nil
	}
	column := make(map[string]*baseline, n)
	for range n {
		index := r.text()
		column[index] = &baseline{last: r.number()}
	}
	if uint64(len(column)) != n {
		r.bad = true
	}
	return column
}
