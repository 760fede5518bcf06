package mint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// What a byte may do in a key.
const (
	opensMetric  = 1 << iota // begin a metric key
	opensSection             // begin a later section of a metric key
	inMetric                 // stand further in
	inValue                  // stand in the value of a dimension as it is
)

var may = table()

func table() (t [256]uint8) {
	const all = opensMetric | opensSection | inMetric
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = all, all
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = opensSection | inMetric
	}
	t['_'] = all
	t['-'] = inMetric
	for c := byte(' '); c < 0x7f; c++ {
		if !escaped(c) {
			t[c] |= inValue
		}
	}
	return t
}

// AppendMetricKey appends the normalised key. Empty sections go, but a key
// whose first section is empty gives nothing: it cannot be normalised.
func AppendMetricKey(dst []byte, key string) []byte {
	if strings.HasPrefix(key, ".") {
		return dst
	}
	if key != "" && may[key[0]]&opensMetric != 0 && normal(key) {
		return append(dst, key...)
	}
	opens := uint8(opensMetric)
	for section := range strings.SplitSeq(key, ".") {
		if section == "" {
			continue
		}
		if opens == opensSection {
			dst = append(dst, '.')
		}
		dst = appendSection(dst, section, opens)
		opens = opensSection
	}
	return dst
}

// AppendDimensionKey appends the key as probes has it.
func AppendDimensionKey(dst []byte, key string) []byte { return probes.AppendDimensionKey(dst, key) }

// normal reports whether normalising changes nothing of a key whose first letter
// is known to be right. Most keys are so.
func normal(key string) bool {
	const opens, stands = uint8(opensSection), uint8(inMetric)
	allowed := opens
	for i := range len(key) {
		c := key[i]
		switch {
		case c == '.' && allowed == stands && i+1 < len(key):
			allowed = opens
		case may[c]&allowed != 0:
			allowed = stands
		default:
			return false
		}
	}
	return true
}

// appendSection puts one underscore for each run of bytes that may not stand
// where they are.
func appendSection(dst []byte, section string, opens uint8) []byte {
	allowed, run := opens, false
	for i := range len(section) {
		c := section[i]
		if may[c]&allowed != 0 {
			dst = append(dst, c)
			allowed, run = inMetric, false
			continue
		}
		if !run {
			dst = append(dst, '_')
		}
		run = true
	}
	return dst
}

// appendDimensionValue appends the value, unquoted as the vendor's libraries
// write it: runs of control characters and of bytes that are not UTF-8 become
// one underscore, what is longer than the limit is cut on a rune border, and
// a backslash goes before what would end the value.
func appendDimensionValue(dst []byte, value string) []byte {
	plain := 0
	for plain < len(value) && plain < maxDimensionValue && may[value[plain]]&inValue != 0 {
		plain++
	}
	dst = append(dst, value[:plain]...) // mostly that is all
	left, run := maxDimensionValue-plain, false
	for i := plain; i < len(value) && left > 0; {
		r, size := rune(value[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(value[i:])
		}
		text := value[i : i+size]
		i += size
		if control(r, size) {
			if run {
				continue
			}
			text, run = "_", true
		} else {
			run = false
		}
		if left -= len(text); left < 0 {
			break
		}
		if len(text) == 1 && escaped(text[0]) {
			dst = append(dst, '\\')
		}
		dst = append(dst, text...)
	}
	return dst
}

// control reports what cannot stand in a value: Unicode's "other" characters
// and, as a rune error one byte wide, what is not UTF-8.
func control(r rune, size int) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return r == utf8.RuneError && size == 1 || unicode.Is(unicode.C, r)
}

func escaped(c byte) bool {
	return c == ' ' || c == ',' || c == '=' || c == '"' || c == '\\'
}
