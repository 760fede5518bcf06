package mint

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Parse reads a line as AppendLine writes it, and no other: normalised keys in
// order, every value escaped where it has to be and only there, numbers in
// their one form, a timestamp. The stamp of the point has its wall time only.
// A number without fraction comes back as an integer, in whatever form it was
// written.
func Parse(line string) (probes.Point, error) {
	key, rest := cutAt(line, ", ")
	if got, err := appendKey(nil, key); err != nil {
		return probes.Point{}, err
	} else if string(got) != key {
		return probes.Point{}, fmt.Errorf("metric key %q is not normalised", key)
	}
	dims, rest, err := parseDimensions(rest)
	if err != nil {
		return probes.Point{}, err
	}
	payload, stamp, ok := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	if !ok {
		return probes.Point{}, errors.New("line has no timestamp")
	}
	typ, value, err := parsePayload(payload)
	if err != nil {
		return probes.Point{}, fmt.Errorf("payload %q: %w", payload, err)
	}
	wall, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || strconv.FormatInt(wall, 10) != stamp {
		return probes.Point{}, fmt.Errorf("timestamp %q is not a number of milliseconds", stamp)
	}
	p := probes.Point{Series: probes.NewSeries(key, typ, dims...), Value: value, Stamp: probes.Stamp{Wall: wall}}
	return p, check(p)
}

// cutAt splits text before the first of the characters in stops.
func cutAt(text, stops string) (head, tail string) {
	if i := strings.IndexAny(text, stops); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// parseDimensions reads `,key=value` as often as it comes.
func parseDimensions(text string) (dims []probes.Dimension, rest string, err error) {
	for strings.HasPrefix(text, ",") {
		key, tail := cutAt(text[1:], "=, ")
		if key == "" || string(AppendDimensionKey(nil, key)) != key {
			return nil, "", fmt.Errorf("dimension key %q is not normalised", key)
		}
		if n := len(dims); n > 0 && dims[n-1].Key >= key {
			return nil, "", fmt.Errorf("dimension %q is out of order", key)
		}
		if len(dims) == maxDimensions {
			return nil, "", fmt.Errorf("more than %d dimensions", maxDimensions)
		}
		if !strings.HasPrefix(tail, "=") {
			return nil, "", fmt.Errorf("dimension %q has no value", key)
		}
		value, size, err := unescape(tail[1:])
		if err != nil {
			return nil, "", fmt.Errorf("dimension %q: %w", key, err)
		}
		dims = append(dims, probes.Dimension{Key: key, Value: value})
		text = tail[1+size:]
	}
	return dims, text, nil
}

// unescape reads one value and tells how many bytes it took.
func unescape(text string) (value string, size int, err error) {
	var b strings.Builder
	for size < len(text) && text[size] != ',' && text[size] != ' ' {
		if text[size] == '\\' {
			size++
		}
		if size == len(text) {
			return "", 0, errors.New("value ends in a backslash")
		}
		b.WriteByte(text[size])
		size++
	}
	if b.Len() == 0 {
		return "", 0, errors.New("value is empty")
	}
	if string(appendDimensionValue(nil, b.String())) != text[:size] {
		return "", 0, fmt.Errorf("value %q is not normalised", text[:size])
	}
	return b.String(), size, nil
}

func parsePayload(text string) (probes.Type, probes.Value, error) {
	if delta, ok := strings.CutPrefix(text, "count,delta="); ok {
		v, err := parseNumber(delta)
		return probes.Count, v, err
	}
	gauge, ok := strings.CutPrefix(text, "gauge,")
	if !ok {
		return 0, probes.Value{}, errors.New("neither gauge nor count")
	}
	if !strings.HasPrefix(gauge, "min=") {
		v, err := parseNumber(gauge)
		return probes.Gauge, v, err
	}
	v, err := parseSummary(gauge)
	return probes.Gauge, v, err
}

func parseSummary(text string) (probes.Value, error) {
	var s probes.Summary
	for _, part := range []struct {
		name string
		to   *float64
	}{{"min=", &s.Min}, {",max=", &s.Max}, {",sum=", &s.Sum}} {
		tail, ok := strings.CutPrefix(text, part.name)
		if !ok {
			return probes.Value{}, fmt.Errorf("expected %q before %q", part.name, text)
		}
		number, rest := cutAt(tail, ",")
		f, err := parseFloat(number)
		if err != nil {
			return probes.Value{}, err
		}
		*part.to, text = f, rest
	}
	count, ok := strings.CutPrefix(text, ",count=")
	if !ok {
		return probes.Value{}, fmt.Errorf("expected a count before %q", text)
	}
	n, err := strconv.ParseUint(count, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != count {
		return probes.Value{}, fmt.Errorf("count %q is not a whole number", count)
	}
	s.Count = n
	return probes.Summarize(s), nil
}

// parseNumber reads a whole number exactly and any other as a float.
func parseNumber(text string) (probes.Value, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return probes.Int(i), nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil && strconv.FormatUint(u, 10) == text {
		return probes.Uint(u), nil
	}
	f, err := parseFloat(text)
	return probes.Float(f), err
}

// parseFloat takes the one form that appendFloat gives.
func parseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || string(appendFloat(nil, f)) != text {
		return 0, fmt.Errorf("%q is not a number in its shortest form", text)
	}
	return f, nil
}
