package probes

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Secret is a text that shows itself to nobody: fmt, JSON, YAML and loggers
// print three stars. Reveal is the one way to the text.
//
// The text lies behind a pointer because fmt reaches into unexported fields
// without calling their methods.
type Secret struct{ text *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{&text} }

const hidden = "***"

// Reveal returns the text, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String hides the text.
func (Secret) String() string { return hidden }

// GoString hides the text from %#v.
func (Secret) GoString() string { return hidden }

// Format hides the text from every verb of fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText hides the text from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

// Duration is a time.Duration written as in `10s`, `1m30s`, `7d` or `2w`.
type Duration time.Duration

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String prints the duration as Go does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration with its unit; a bare `0` is allowed.
func (d *Duration) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) || math.Abs(n) > float64(math.MaxInt64)/float64(length)/2 {
			return fmt.Errorf("%q is not a duration, expected a number and a unit such as 10s, 1m or 7d", text)
		}
		*d = Duration(n * float64(length))
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration, expected a number and a unit such as 10s, 1m or 7d", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written as in `1GiB`, `256MiB` or `10MB`.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

// String prints the largest binary unit that divides the size.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if unit := Size(u.bytes); s != 0 && s%unit == 0 {
			return strconv.FormatInt(int64(s/unit), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size with its unit; a bare number counts bytes.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, factor := text, 1.0
	for _, u := range sizeUnits {
		if head, ok := strings.CutSuffix(text, u.suffix); ok {
			number, factor = strings.TrimSpace(head), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*factor >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size, expected a number and a unit such as 256MiB or 1GiB", text)
	}
	*s = Size(n * factor)
	return nil
}
