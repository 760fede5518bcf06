package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// scanner goes through a short expression: a filter, or a path.
type scanner struct {
	what, text string
	pos        int // in bytes
}

// fail tells the position, counted in characters from 1.
func (s *scanner) fail(format string, args ...any) error {
	at := utf8.RuneCountInString(s.text[:s.pos]) + 1
	return fmt.Errorf("%s at position %d: %s", s.what, at, fmt.Sprintf(format, args...))
}

// found names what stands at the current position.
func (s *scanner) found() string {
	if s.pos == len(s.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.pos:])
	return fmt.Sprintf("%q", r)
}

// take moves over c.
func (s *scanner) take(c byte) bool {
	if s.pos == len(s.text) || s.text[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// quoted reads a text in double quotes, in which escape stands before a quote,
// or before itself.
func (s *scanner) quoted(escape byte) (string, error) {
	var b strings.Builder
	rest := s.text[s.pos+1:]
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			s.pos += i + 2
			return b.String(), nil
		case c == escape && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", s.fail("the quoted text has no end, expected a closing quote")
}
