package draintest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parsePayload fills type, payload and numbers from the text between the
// dimensions and the timestamp.
func (l *Line) parsePayload(text string) error {
	kind, rest, typed := strings.Cut(text, ",")
	switch {
	case text == "":
		return errors.New("payload is missing")
	case !typed && (text == string(Gauge) || text == string(Count)):
		return fmt.Errorf("%s has no number", text)
	case !typed:
		return l.parseGauge(text)
	case kind == string(Gauge):
		return l.parseGauge(rest)
	case kind == string(Count):
		return l.parseCount(rest)
	}
	return fmt.Errorf("payload type %q is unknown", kind)
}

func (l *Line) parseGauge(text string) error {
	l.Type, l.Payload = Gauge, "gauge,"+text
	if strings.Contains(text, "=") {
		return l.parseStats(text)
	}
	n, err := parseNumber(text)
	l.Stats = Stats{Min: n, Max: n, Sum: n, Count: 1}
	return err
}

func (l *Line) parseStats(text string) error {
	parts := strings.Split(text, ",")
	names := [...]string{"min=", "max=", "sum=", "count="}
	if len(parts) != len(names) {
		return errors.New("gauge statistics are not min, max, sum, count")
	}
	for i, name := range names {
		if !strings.HasPrefix(parts[i], name) {
			return errors.New("gauge statistics are not min, max, sum, count")
		}
		parts[i] = parts[i][len(name):]
	}
	for i, field := range []*float64{&l.Stats.Min, &l.Stats.Max, &l.Stats.Sum} {
		n, err := parseNumber(parts[i])
		if err != nil {
			return err
		}
		*field = n
	}
	if l.Stats.Min > l.Stats.Max {
		return fmt.Errorf("gauge min %s is greater than max %s", parts[0], parts[1])
	}
	n, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || n <= 0 || !isDigit(parts[3][0]) || parts[3][0] == '0' {
		return fmt.Errorf("gauge count %q is not a whole number above 0", parts[3])
	}
	l.Stats.Count = n
	return nil
}

func (l *Line) parseCount(text string) (err error) {
	l.Type, l.Payload = Count, "count,"+text
	number, ok := strings.CutPrefix(text, "delta=")
	if !ok {
		return errors.New("count is not delta=")
	}
	l.Delta, err = parseNumber(number)
	return err
}

// parseNumber takes -?digits[.digits][e[+-]digits]; an exponent needs the
// point, and a leading zero stands alone.
func parseNumber(text string) (float64, error) {
	rest, whole := digits(strings.TrimPrefix(text, "-"))
	ok := whole == "0" || whole != "" && whole[0] != '0'
	point := strings.HasPrefix(rest, ".")
	if point {
		var fraction string
		rest, fraction = digits(rest[1:])
		ok = ok && fraction != ""
	}
	if ok && rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		if !point {
			return 0, fmt.Errorf("number %q has an exponent without a decimal point", text)
		}
		rest = rest[1:]
		if rest != "" && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		var exponent string
		rest, exponent = digits(rest)
		ok = exponent != ""
	}
	if !ok || rest != "" {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("number %q is out of range", text)
	}
	return n, nil
}

// digits splits the digits off the front of text.
func digits(text string) (rest, found string) {
	rest = strings.TrimLeft(text, "0123456789")
	return rest, text[:len(text)-len(rest)]
}

// parseTimestamp takes whole milliseconds without sign or padding.
func parseTimestamp(text string) (int64, error) {
	rest, found := digits(text)
	if rest != "" || found == "" || found[0] == '0' {
		return 0, fmt.Errorf("timestamp %q is not in milliseconds", text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("timestamp %q is out of range", text)
	}
	return n, nil
}

// Metadata is what a "#" line says of a metric.
type Metadata struct {
	Key        string
	Type       Type
	Properties []Dim // dt.meta.unit, ... in the order sent
}

var metadataProperties = map[string]bool{
	"dt.meta.displayName": true, "dt.meta.displayname": true, "dt.meta.description": true, "dt.meta.unit": true,
}

// ParseMetadata reads one metadata line: #key gauge|count dt.meta.unit="..",...
func ParseMetadata(text string) (Metadata, error) {
	if err := checkText(text); err != nil {
		return Metadata{}, err
	}
	head, rest, _ := strings.Cut(strings.TrimPrefix(text, "#"), " ")
	kind, rest, _ := strings.Cut(rest, " ")
	m := Metadata{Key: head, Type: Type(kind)}
	if err := checkMetricKey(m.Key); err != nil {
		return Metadata{}, err
	}
	if m.Type != Gauge && m.Type != Count {
		return Metadata{}, fmt.Errorf("metadata type %q is unknown", kind)
	}
	for p := (parser{rest: "," + rest}); p.rest != ""; {
		property, err := p.property()
		if err != nil {
			return Metadata{}, err
		}
		m.Properties = append(m.Properties, property)
	}
	return m, nil
}

func (p *parser) property() (Dim, error) {
	name, rest, ok := strings.Cut(p.rest, "=")
	name, comma := strings.CutPrefix(name, ",")
	if !ok || !comma || !metadataProperties[name] {
		return Dim{}, fmt.Errorf("metadata property %q is unknown", name)
	}
	p.rest = rest
	value, err := p.value()
	if err != nil {
		return Dim{}, fmt.Errorf("metadata property %q: %w", name, err)
	}
	return Dim{Key: name, Value: value}, nil
}
