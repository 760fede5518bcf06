package plan

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is how many bytes of an OCTET STRING are kept. A dimension can send a
// quarter of that, and whatever a device makes up is stored with its series.
const MaxText = 1000

// Readable makes text of an OCTET STRING: trailing NULs go; printable UTF-8
// stays, then printable Latin-1; all else becomes lower-case hex with colons.
// Line breaks and tabs become spaces. What is longer than MaxText is cut.
func Readable(b []byte) string {
	b = cut(b)
	trimmed := strings.TrimRight(string(b), "\x00")
	if text, ok := printable(trimmed); ok {
		return text
	}
	if text, ok := latin1(trimmed); ok {
		return text
	}
	return colonHex(b)
}

// cut cuts between two characters where b is UTF-8.
func cut(b []byte) []byte {
	if len(b) <= MaxText {
		return b
	}
	end := MaxText
	for end > MaxText-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	return b[:end]
}

func printable(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r == '\v', r == '\f':
			return ' '
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	whole := utf8.RuneCountInString(clean) == utf8.RuneCountInString(s)-strings.Count(s, "\r\n")
	return clean, whole
}

// latin1 asks for three quarters of plain ASCII beside: a MAC address whose
// bytes happen to be printable letters is no text.
func latin1(s string) (string, bool) {
	runes := make([]rune, 0, len(s))
	ascii := 0
	for i := range len(s) {
		runes = append(runes, rune(s[i]))
		if s[i] < utf8.RuneSelf {
			ascii++
		}
	}
	if ascii*4 < len(s)*3 {
		return "", false
	}
	return printable(string(runes))
}

func colonHex(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, []byte{c})
	}
	return string(out)
}
