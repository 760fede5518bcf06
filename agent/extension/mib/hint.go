package mib

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format writes octets as the object's DISPLAY-HINT says (RFC 2579 section
// 3.1), or the names of its bits; false when it has none that fits them.
func Format(o Object, octets []byte) (string, bool) {
	if o.Type == Bits {
		return formatBits(o.Enum, octets)
	}
	if o.Type != Octets && o.Type != Opaque {
		return "", false
	}
	specs, ok := parseHint(o.Hint)
	if !ok || len(octets) > maxHinted {
		return "", false
	}
	var b strings.Builder
	for i := 0; len(octets) > 0; i++ {
		spec := specs[min(i, len(specs)-1)]
		rest, ok := spec.write(&b, octets)
		if !ok || (len(rest) == len(octets) && i >= len(specs)-1) {
			return "", false // the last one is used again and again, so it has to take something
		}
		octets = rest
	}
	return b.String(), true
}

// FormatInteger writes a number as the object's DISPLAY-HINT says: "d-2" makes
// 1234 into 12.34; false when there is none. Names are in Enum.
func FormatInteger(o Object, n int64) (string, bool) {
	form, digits, shifted := strings.Cut(o.Hint, "-")
	base, known := map[string]int{"d": 10, "x": 16, "o": 8, "b": 2}[form]
	if !known || o.Type == Octets || (shifted && form != "d") {
		return "", false
	}
	text := strconv.FormatInt(n, base)
	if !shifted {
		return text, true
	}
	shift, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || shift > maxShift {
		return "", false
	}
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	if shift == 0 {
		return sign + text, true
	}
	if missing := int(shift) + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	point := len(text) - int(shift)
	return sign + text[:point] + "." + text[point:], true
}

const (
	maxHinted = 64 << 10 // octets
	maxHint   = 255      // characters, RFC 2579
	maxShift  = 20
)

// octetSpec is one octet-format specification of a hint.
type octetSpec struct {
	repeat     bool // the first octet says how often
	length     int
	form       byte
	separator  string // empty or one character
	terminator string
}

func parseHint(hint string) (specs []octetSpec, ok bool) {
	if hint == "" || len(hint) > maxHint {
		return nil, false
	}
	for hint != "" {
		var s octetSpec
		if s.repeat = hint[0] == '*'; s.repeat {
			hint = hint[1:]
		}
		digits := len(hint) - len(strings.TrimLeft(hint, "0123456789"))
		n, err := strconv.ParseUint(hint[:digits], 10, 16)
		if err != nil || digits == len(hint) || strings.IndexByte("xdoat", hint[digits]) < 0 {
			return nil, false
		}
		s.length, s.form, hint = int(n), hint[digits], hint[digits+1:]
		s.separator, hint = takeMark(hint)
		if s.repeat && s.separator != "" {
			s.terminator, hint = takeMark(hint)
		}
		specs = append(specs, s)
	}
	return specs, true
}

// takeMark takes a character that does not begin the next specification.
func takeMark(hint string) (mark, rest string) {
	if hint == "" || hint[0] == '*' || (hint[0] >= '0' && hint[0] <= '9') {
		return "", hint
	}
	_, size := utf8.DecodeRuneInString(hint)
	return hint[:size], hint[size:]
}

func (s octetSpec) write(b *strings.Builder, octets []byte) (rest []byte, ok bool) {
	times := 1
	if s.repeat {
		times, octets = int(octets[0]), octets[1:]
	}
	for i := range times {
		part := octets[:min(s.length, len(octets))]
		octets = octets[len(part):]
		if !s.writeOne(b, part) {
			return nil, false
		}
		if len(octets) == 0 {
			return octets, true // no separator behind the last
		}
		if i == times-1 && s.terminator != "" {
			b.WriteString(s.terminator)
			continue
		}
		b.WriteString(s.separator)
	}
	return octets, true
}

func (s octetSpec) writeOne(b *strings.Builder, part []byte) bool {
	if s.form == 'a' || s.form == 't' {
		text := strings.TrimRight(string(part), "\x00")
		b.WriteString(text)
		return utf8.ValidString(text)
	}
	if s.form == 'x' {
		const digits = "0123456789abcdef"
		for _, o := range part {
			b.WriteByte(digits[o>>4])
			b.WriteByte(digits[o&15])
		}
		return true
	}
	if len(part) == 0 {
		return true
	}
	if len(part) > 8 {
		return false
	}
	var n uint64
	for _, o := range part {
		n = n<<8 | uint64(o)
	}
	base := 10
	if s.form == 'o' {
		base = 8
	}
	b.WriteString(strconv.FormatUint(n, base))
	return true
}

// formatBits gives the names of the set bits with commas between; a bit
// without a name gives its number.
func formatBits(names map[int64]string, octets []byte) (string, bool) {
	if len(names) == 0 || len(octets) > maxHinted/8 {
		return "", false
	}
	var b strings.Builder
	for i := range len(octets) * 8 {
		if octets[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		name, ok := names[int64(i)]
		if !ok {
			name = strconv.Itoa(i)
		}
		b.WriteString(name)
	}
	return b.String(), true
}
