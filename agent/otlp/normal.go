package otlp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/agent/mint"
)

// appendDimensionKey appends the key as metric lines have it, but for the
// colon, which the endpoint does not take.
func appendDimensionKey(dst []byte, key string) []byte {
	return mint.AppendDimensionKey(dst, strings.ReplaceAll(key, ":", "?"))
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
