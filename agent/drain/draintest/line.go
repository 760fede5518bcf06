package draintest

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of one line. Where the documentation names two figures, the smaller
// one counts.
const (
	maxLine        = 50_000 // bytes
	minKey         = 3
	maxKey         = 250
	maxDimensions  = 50
	maxDimKey      = 100
	maxValuePoints = 250 // code points
	maxValueUnits  = 255 // UTF-16 units, as Java counts characters
)

// Type is the payload type of a line.
type Type string

// The types of payload.
const (
	Gauge Type = "gauge"
	Count Type = "count"
)

// Dim is one dimension of a line, its value without quotes and escapes.
type Dim struct{ Key, Value string }

// Line is one data point as the server understood it.
type Line struct {
	Key  string
	Dims []Dim // sorted by key
	Type Type
	// Payload is the canonical text: "gauge,5", "gauge,min=1,max=2,sum=3,count=2"
	// or "count,delta=5", its numbers as they were sent.
	Payload string
	// Stats holds the numbers of a gauge; one number is a statistic of one sample.
	Stats     Stats
	Delta     float64 // of a count
	Timestamp int64   // Unix time, milliseconds
}

// Stats are the numbers of a gauge.
type Stats struct {
	Min, Max, Sum float64
	Count         int64
}

// Series is the identity of the line's series as text: key, sorted
// dimensions, type.
func (l Line) Series() string {
	var b strings.Builder
	b.WriteString(l.Key)
	for _, d := range l.Dims {
		b.WriteString("," + d.Key + `="` + quoter.Replace(d.Value) + `"`)
	}
	b.WriteString(" " + string(l.Type))
	return b.String()
}

// String is the line in canonical form: dimensions sorted, values quoted, the
// type spelt out.
func (l Line) String() string {
	return strings.TrimSuffix(l.Series(), string(l.Type)) + l.Payload + " " + strconv.FormatInt(l.Timestamp, 10)
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// ParseLine reads one data line without its newline. The error is the refusal
// as the server words it.
func ParseLine(text string) (Line, error) {
	if err := checkText(text); err != nil {
		return Line{}, err
	}
	p := parser{rest: text}
	var l Line
	var err error
	if l.Key, err = p.metricKey(); err != nil {
		return Line{}, err
	}
	if l.Dims, err = p.dimensions(); err != nil {
		return Line{}, err
	}
	payload, stamp, ok := strings.Cut(p.rest, " ")
	if err := l.parsePayload(payload); err != nil {
		return Line{}, err
	}
	if !ok {
		return Line{}, errors.New("timestamp is missing")
	}
	if l.Timestamp, err = parseTimestamp(stamp); err != nil {
		return Line{}, err
	}
	return l, nil
}

func checkText(text string) error {
	switch {
	case text == "":
		return errors.New("line is empty")
	case len(text) > maxLine:
		return fmt.Errorf("line is longer than %d characters", maxLine)
	case !utf8.ValidString(text):
		return errors.New("line is not valid UTF-8")
	}
	return nil
}

// parser eats a line from its start.
type parser struct{ rest string }

// metricKey leaves the rest at the comma or space behind the key.
func (p *parser) metricKey() (string, error) {
	end := strings.IndexAny(p.rest, ", ")
	if end < 0 {
		return "", errors.New("payload is missing")
	}
	key := p.rest[:end]
	p.rest = p.rest[end:]
	return key, checkMetricKey(key)
}

func checkMetricKey(key string) error {
	switch {
	case len(key) < minKey:
		return fmt.Errorf("metric key %q is shorter than %d characters", key, minKey)
	case len(key) > maxKey:
		return fmt.Errorf("metric key is longer than %d characters", maxKey)
	case strings.HasPrefix(key, "dt."):
		return fmt.Errorf("metric key %q has the reserved prefix \"dt.\"", key)
	case isDigit(key[0]):
		return fmt.Errorf("metric key %q starts with a digit", key)
	}
	for section := range strings.SplitSeq(key, ".") {
		if section == "" {
			return fmt.Errorf("metric key %q has an empty section", key)
		}
		if section[0] == '-' {
			return fmt.Errorf("metric key %q has a section that starts with a hyphen", key)
		}
	}
	for _, r := range key {
		if !isKeyRune(r) && !('A' <= r && r <= 'Z') {
			return fmt.Errorf("metric key %q has the character %q", key, r)
		}
	}
	return nil
}

// dimensions eats ",key=value" until the space before the payload, and the space.
func (p *parser) dimensions() ([]Dim, error) {
	var dims []Dim
	for strings.HasPrefix(p.rest, ",") {
		p.rest = p.rest[1:]
		d, err := p.dimension()
		if err != nil {
			return nil, err
		}
		if dims = append(dims, d); len(dims) > maxDimensions {
			return nil, fmt.Errorf("line has more than %d dimensions", maxDimensions)
		}
	}
	if p.rest == "" {
		return nil, errors.New("payload is missing")
	}
	p.rest = p.rest[1:] // value() stops at a comma or a space only
	sort.Slice(dims, func(i, j int) bool { return dims[i].Key < dims[j].Key })
	for i := 1; i < len(dims); i++ {
		if dims[i].Key == dims[i-1].Key {
			return nil, fmt.Errorf("dimension %q comes twice", dims[i].Key)
		}
	}
	return dims, nil
}

func (p *parser) dimension() (Dim, error) {
	end := strings.IndexAny(p.rest, `=, "`)
	if end < 0 || p.rest[end] != '=' {
		return Dim{}, errors.New("dimension has no value")
	}
	key := p.rest[:end]
	p.rest = p.rest[end+1:]
	if err := checkDimKey(key); err != nil {
		return Dim{}, err
	}
	value, err := p.value()
	switch {
	case err != nil:
		return Dim{}, fmt.Errorf("dimension %q: %w", key, err)
	case value == "":
		return Dim{}, fmt.Errorf("dimension %q: value is empty", key)
	case utf8.RuneCountInString(value) > maxValuePoints, len(utf16.Encode([]rune(value))) > maxValueUnits:
		return Dim{}, fmt.Errorf("dimension %q: value is longer than %d characters", key, maxValuePoints)
	}
	return Dim{Key: key, Value: value}, nil
}

func checkDimKey(key string) error {
	switch {
	case key == "":
		return errors.New("dimension key is empty")
	case len(key) > maxDimKey:
		return fmt.Errorf("dimension key is longer than %d characters", maxDimKey)
	case key[0] != '_' && (key[0] < 'a' || key[0] > 'z'):
		return fmt.Errorf("dimension key %q does not start with a lower-case letter or underscore", key)
	case strings.HasSuffix(key, "."), strings.Contains(key, ".."):
		return fmt.Errorf("dimension key %q has an empty section", key)
	}
	for _, r := range key {
		if !isKeyRune(r) && r != ':' {
			return fmt.Errorf("dimension key %q has the character %q", key, r)
		}
	}
	return nil
}

// value eats one value, quoted or not, and leaves the rest at a comma, a space
// or the end.
func (p *parser) value() (string, error) {
	if strings.HasPrefix(p.rest, `"`) {
		return p.quoted()
	}
	return p.unquoted()
}

func (p *parser) quoted() (string, error) {
	value, end, err := unescape(p.rest[1:], `"\`, `"`)
	if err != nil {
		return "", err
	}
	p.rest = p.rest[1+end:]
	if p.rest == "" {
		return "", errors.New("quote is not closed")
	}
	p.rest = p.rest[1:]
	if p.rest != "" && p.rest[0] != ',' && p.rest[0] != ' ' {
		return "", errors.New("text follows the closing quote")
	}
	return value, nil
}

func (p *parser) unquoted() (string, error) {
	value, end, err := unescape(p.rest, ` ,="\`, ` ,="`)
	if err != nil {
		return "", err
	}
	p.rest = p.rest[end:]
	if p.rest != "" && p.rest[0] != ',' && p.rest[0] != ' ' {
		return "", fmt.Errorf("%q is not escaped", p.rest[0])
	}
	return value, nil
}

// unescape reads text up to one of the stop characters or its end and says
// where that was. Only the escapable characters may follow a backslash.
func unescape(text, escapable, stops string) (value string, end int, err error) {
	var b strings.Builder
	escaped := false
	for i, r := range text {
		switch {
		case unicode.IsControl(r):
			return "", 0, fmt.Errorf("value has the control character %U", r)
		case escaped && !strings.ContainsRune(escapable, r):
			return "", 0, fmt.Errorf("escape \\%c is unknown", r)
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case strings.ContainsRune(stops, r):
			return b.String(), i, nil
		default:
			b.WriteRune(r)
		}
	}
	if escaped {
		return "", 0, errors.New("backslash escapes nothing")
	}
	return b.String(), len(text), nil
}

// isKeyRune holds what metric keys and dimension keys have in common.
func isKeyRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
