package mint

import (
	"strconv"

	"github.com/edgehold/edgehold/probes"
)

// Writer writes lines one behind the other, as AppendLine does, and takes from
// the last one what it shares with the next: most dimensions of neighbours are
// the same. The zero value is ready. It is not for several goroutines.
type Writer struct {
	dims  []probes.Dimension // of the last line
	parts []part
	text  []byte // its dimensions
}

// part is one dimension: which of the series', and where in the text its value
// begins and ends.
type part struct{ index, value, end int }

// AppendLine is the function of this name.
func (w *Writer) AppendLine(dst []byte, p probes.Point) ([]byte, error) {
	if err := check(p); err != nil {
		return dst, err
	}
	line, err := appendKey(dst, p.Series.Key())
	if err != nil {
		return dst, err
	}
	begin := len(line)
	if dims := p.Series.Dims(); sameKeys(w.dims, dims) {
		line = w.again(line, dims)
	} else if line, err = w.anew(line, dims); err != nil {
		return dst, err
	}
	w.text = append(w.text[:0], line[begin:]...)
	line = append(line, ' ')
	line = appendPayload(line, p.Series.Type(), p.Value)
	line = append(line, ' ')
	return strconv.AppendInt(line, p.Stamp.Wall, 10), nil
}

// sameKeys reports whether the dimensions have the same keys, which decide on
// the order and on what is left out.
func sameKeys(a, b []probes.Dimension) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key {
			return false
		}
	}
	return true
}

// again appends dimensions with the keys of the last ones.
func (w *Writer) again(dst []byte, dims []probes.Dimension) []byte {
	base, from := len(dst), 0 // what of the last text is not yet copied
	for i := range w.parts {
		x := &w.parts[i]
		if dims[x.index].Value != w.dims[x.index].Value {
			dst = append(dst, w.text[from:x.value]...)
			from = x.end
			x.value = len(dst) - base
			dst = appendDimensionValue(dst, dims[x.index].Value)
			x.end = len(dst) - base
			continue
		}
		shift := len(dst) - base - from
		x.value, x.end = x.value+shift, x.end+shift
	}
	w.dims = dims
	return append(dst, w.text[from:]...)
}

// anew appends dimensions, and notes where they stand.
func (w *Writer) anew(dst []byte, dims []probes.Dimension) ([]byte, error) {
	w.dims, w.parts = nil, w.parts[:0]
	dst, err := appendDimensions(dst, dims, &w.parts)
	if err == nil {
		w.dims = dims
	}
	return dst, err
}
