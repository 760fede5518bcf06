package mint

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/edgehold/edgehold/probes"
)

// AppendLine appends the line of p to dst, without a newline. On an error dst
// comes back as it was: p can never be sent, and the error says why.
//
// Keys are normalised as the vendor's library does. Dimensions stand in the
// order of their keys; one with no character to its key is left out. Where two
// keys are equal after normalising, the one that was written so wins, else the
// first. A line with more than 50 dimensions is refused and not shortened:
// without one of its dimensions it might be taken for another series.
//
// The limits of the parts keep a line under 31,000 characters, where the
// protocol takes 50,000.
func AppendLine(dst []byte, p probes.Point) ([]byte, error) {
	if err := check(p); err != nil {
		return dst, err
	}
	line, err := appendKey(dst, p.Series.Key())
	if err != nil {
		return dst, err
	}
	line, err = appendDimensions(line, p.Series.Dims(), nil)
	if err != nil {
		return dst, err
	}
	line = append(line, ' ')
	line = appendPayload(line, p.Series.Type(), p.Value)
	line = append(line, ' ')
	return strconv.AppendInt(line, p.Stamp.Wall, 10), nil
}

// check refuses what has no line, whatever its key and dimensions.
func check(p probes.Point) error {
	if err := p.Value.Check(); err != nil {
		return err
	}
	switch p.Series.Type() {
	case probes.Gauge:
	case probes.Count:
		if p.Value.Form() == probes.FormSummary {
			return fmt.Errorf("a count takes one delta, not statistics")
		}
	default:
		return fmt.Errorf("series %q is neither a gauge nor a count", p.Series.Key())
	}
	if p.Value.Form() == probes.FormSummary && p.Value.Summary().Count > math.MaxInt64 {
		return fmt.Errorf("statistics of %d samples are more than can be counted", p.Value.Summary().Count)
	}
	if p.Stamp.Wall < First || p.Stamp.Wall > Last {
		return fmt.Errorf("timestamp %d ms would be read in another unit: was the clock set?", p.Stamp.Wall)
	}
	return nil
}

// appendKey appends the metric key, normalised.
func appendKey(dst []byte, key string) ([]byte, error) {
	line := AppendMetricKey(dst, key)
	switch got := line[len(dst):]; {
	case len(got) < minKey:
		return dst, fmt.Errorf("metric key %q has fewer than %d characters that can be sent", key, minKey)
	case len(got) > maxKey:
		return dst, fmt.Errorf("metric key %.40q... is longer than %d characters", key, maxKey)
	case bytes.HasPrefix(got, []byte(reserved)):
		return dst, fmt.Errorf("metric key %q begins with %q, which is reserved for Dynatrace's own metrics", key, reserved)
	}
	return line, nil
}

// dimension is one dimension of a line in the making: its normalised key as a
// span of the line's buffer and the index of its value.
type dimension struct {
	start, end, index int32
	plain             bool // normalising changed nothing
}

// appendDimensions appends the dimensions. The normalised keys are first laid
// down in dst, as working space, and put in order there; the finished text is
// then moved over them. So it needs no memory of its own.
// Where each dimension stands is added to parts, if that is not nil.
func appendDimensions(dst []byte, dims []probes.Dimension, parts *[]part) ([]byte, error) {
	var kept [maxDimensions]dimension
	n := 0
	base := len(dst)
	for i, d := range dims {
		start := len(dst)
		dst = AppendDimensionKey(dst, d.Key)
		key := dst[start:]
		if len(key) == 0 {
			continue
		}
		at, found := find(dst, kept[:n], key)
		entry := dimension{int32(start), int32(len(dst)), int32(i), string(key) == d.Key}
		if found {
			if entry.plain {
				kept[at] = entry
			} else {
				dst = dst[:start]
			}
			continue
		}
		if n == maxDimensions {
			return dst[:base], fmt.Errorf("more than %d dimensions: leave some out where the series is defined", maxDimensions)
		}
		copy(kept[at+1:n+1], kept[at:n])
		kept[at] = entry
		n++
	}
	text := len(dst)
	for _, d := range kept[:n] {
		dst = append(dst, ',')
		dst = append(dst, dst[d.start:d.end]...)
		dst = append(dst, '=')
		value := len(dst)
		dst = appendDimensionValue(dst, dims[d.index].Value)
		if parts != nil {
			*parts = append(*parts, part{int(d.index), value - text, len(dst) - text})
		}
	}
	return dst[:base+copy(dst[base:], dst[text:])], nil
}

// find tells where key stands or belongs among kept. It looks from the end,
// since keys come nearly sorted.
func find(line []byte, kept []dimension, key []byte) (at int, found bool) {
	for at = len(kept); at > 0; at-- {
		d := kept[at-1]
		switch c := bytes.Compare(line[d.start:d.end], key); {
		case c == 0:
			return at - 1, true
		case c < 0:
			return at, false
		}
	}
	return 0, false
}

func appendPayload(dst []byte, t probes.Type, v probes.Value) []byte {
	if t == probes.Count {
		return appendValue(append(dst, "count,delta="...), v)
	}
	if v.Form() != probes.FormSummary {
		return appendValue(append(dst, "gauge,"...), v)
	}
	s := v.Summary()
	dst = appendFloat(append(dst, "gauge,min="...), s.Min)
	dst = appendFloat(append(dst, ",max="...), s.Max)
	dst = appendFloat(append(dst, ",sum="...), s.Sum)
	return strconv.AppendUint(append(dst, ",count="...), s.Count, 10)
}

// appendValue keeps integers exact: no counter passes through a float.
func appendValue(dst []byte, v probes.Value) []byte {
	switch v.Form() {
	case probes.FormInt:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case probes.FormUint:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	}
	return appendFloat(dst, v.Float64())
}

// appendFloat appends the shortest form that reads back as f. The protocol
// wants a decimal point in exponent notation: 1.0e+10.
func appendFloat(dst []byte, f float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	e := bytes.IndexByte(dst[start:], 'e')
	if e < 0 || bytes.IndexByte(dst[start:], '.') >= 0 {
		return dst
	}
	dst = append(dst, ".0"...)
	copy(dst[start+e+2:], dst[start+e:])
	copy(dst[start+e:], ".0")
	return dst
}
