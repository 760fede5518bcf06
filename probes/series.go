package probes

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Type is the payload type of a series, in the words of Dynatrace's metric
// ingestion protocol: a gauge, or a count whose values are deltas.
type Type uint8

// The types of a series. A gauge series may also carry a Summary value.
const (
	Gauge Type = 1
	Count Type = 2
)

// String returns the protocol's word for the type.
func (t Type) String() string {
	switch t {
	case Gauge:
		return "gauge"
	case Count:
		return "count"
	}
	return "invalid"
}

// Dimension is one key and value of a series. Both are as the source gave
// them; the sender normalises.
type Dimension struct {
	Key   string
	Value string
}

// Dimensions are the dimensions that several series share: sorted by key, each
// key once. They are immutable and made by NewDimensions.
type Dimensions struct {
	sorted []Dimension
}

// NewDimensions sorts dims by key and drops dimensions with an empty key or
// value. Where a key comes twice the first one wins, so callers list the
// explicit dimension before the implicit one.
func NewDimensions(dims ...Dimension) *Dimensions {
	kept := make([]Dimension, 0, len(dims))
	for _, d := range dims {
		if d.Key != "" && d.Value != "" {
			kept = append(kept, d)
		}
	}
	slices.SortStableFunc(kept, func(a, b Dimension) int { return strings.Compare(a.Key, b.Key) })
	kept = slices.CompactFunc(kept, func(a, b Dimension) bool { return a.Key == b.Key })
	if len(kept) < cap(kept) {
		kept = slices.Clone(kept) // a series lives long; the room to spare does not have to
	}
	return &Dimensions{kept}
}

// Series names one stream of measurements: metric key, type and dimensions
// sorted by key, each key once. A Series is immutable and made by NewSeries or
// NewSeriesOf; probes keep the pointer and use it again for every poll.
type Series struct {
	key  string
	typ  Type
	dims *Dimensions
	id   [16]byte
}

// NewSeries makes a series with dimensions of its own, as NewDimensions sorts
// them.
func NewSeries(key string, typ Type, dims ...Dimension) *Series {
	return NewSeriesOf(key, typ, NewDimensions(dims...))
}

// NewSeriesOf makes a series with dimensions that others may have too, such as
// those of one row of a table.
func NewSeriesOf(key string, typ Type, dims *Dimensions) *Series {
	return &Series{key: key, typ: typ, dims: dims, id: seriesID(key, typ, dims.sorted)}
}

// Key is the metric key.
func (s *Series) Key() string { return s.key }

// Type is the payload type.
func (s *Series) Type() Type { return s.typ }

// Dims are the dimensions, sorted by key. The caller must not change them.
func (s *Series) Dims() []Dimension { return s.dims.sorted }

// Shared are the dimensions as NewSeriesOf got them: series of one row have the
// same pointer.
func (s *Series) Shared() *Dimensions { return s.dims }

// Dim returns the value of one dimension, "" where the series lacks it.
func (s *Series) Dim(key string) string {
	i, ok := slices.BinarySearchFunc(s.dims.sorted, key, func(d Dimension, k string) int { return strings.Compare(d.Key, k) })
	if !ok {
		return ""
	}
	return s.dims.sorted[i].Value
}

// ID is the same for equal key, type and dimensions, and differs otherwise. It
// is for maps, not for people, and holds within one process only.
func (s *Series) ID() [16]byte { return s.id }

// Size is how many bytes of text the series holds.
func (s *Series) Size() int {
	n := len(s.key)
	for _, d := range s.dims.sorted {
		n += len(d.Key) + len(d.Value)
	}
	return n
}

// seriesID hashes the parts, each with its length before it, so that no two
// series share an id whatever bytes their values hold. A digest is a tenth of
// the text, and a gateway holds tens of thousands of series.
func seriesID(key string, typ Type, dims []Dimension) [16]byte {
	b := make([]byte, 0, 512)
	b = append(b, byte(typ))
	b = appendPart(b, key)
	for _, d := range dims {
		b = appendPart(b, d.Key)
		b = appendPart(b, d.Value)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func appendPart(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
