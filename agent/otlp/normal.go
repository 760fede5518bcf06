package otlp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a byte may do in a key.
const (
	opensMetric    = 1 << iota // begin a metric key
	opensSection               // begin a later section of a metric key
	inMetric                   // stand further in
	opensDimension             // begin a section of a dimension key
	inDimension                // stand further in
)

var may = table()

// table differs from that of the metric lines by the colon, which the endpoint
// does not take.
func table() (t [256]uint8) {
	const all = opensMetric | opensSection | inMetric | opensDimension | inDimension
	for c := 'a'; c <= 'z'; c++ {
		t[c] = all
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = opensMetric | opensSection | inMetric
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = opensSection | inMetric | inDimension
	}
	t['_'] = all
	t['-'] = inMetric | inDimension
	return t
}

// grammar is what may stand where in a key made of sections.
type grammar struct{ opens, opensLater, stands uint8 }

var (
	metricGrammar    = grammar{opensMetric, opensSection, inMetric}
	dimensionGrammar = grammar{opensDimension, opensDimension, inDimension}
)

// appendMetricKey appends the normalised key, as metric lines have it. A key
// whose first section is empty gives nothing.
func appendMetricKey(dst []byte, key string) []byte {
	if strings.HasPrefix(key, ".") {
		return dst
	}
	return appendSections(dst, key, metricGrammar)
}

// appendDimensionKey appends the key in lower case, normalised and cut to its
// length. A key of dots only gives nothing.
func appendDimensionKey(dst []byte, key string) []byte {
	start := len(dst)
	dst = appendSections(dst, key, dimensionGrammar)
	if len(dst) > start+maxDimensionKey {
		dst = dst[:start+maxDimensionKey]
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

// appendSections puts one underscore for each run of bytes that may not stand
// where they are, and leaves out empty sections.
func appendSections(dst []byte, key string, g grammar) []byte {
	start, allowed, run, dot := len(dst), g.opens, false, false
	for i := range len(key) {
		c := key[i]
		if c == '.' {
			allowed, run, dot = g.opensLater, false, len(dst) > start
			continue
		}
		if dot {
			dst, dot = append(dst, '.'), false
		}
		if g.stands == inDimension && c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if may[c]&allowed != 0 {
			dst, allowed, run = append(dst, c), g.stands, false
			continue
		}
		if !run {
			dst, run = append(dst, '_'), true
		}
	}
	return dst
}

// appendDimensionValue appends the value as metric lines have it: runs of
// control characters and of bytes that are not UTF-8 become one underscore,
// and what is longer than the limit is cut on a rune border.
func appendDimensionValue(dst []byte, value string) []byte {
	if plain(value) {
		return append(dst, value[:min(len(value), maxDimensionValue)]...)
	}
	left, run := maxDimensionValue, false
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		text := value[i : i+size]
		i += size
		if r == utf8.RuneError && size == 1 || unicode.Is(unicode.C, r) {
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
		dst = append(dst, text...)
	}
	return dst
}

// plain reports a text of printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
