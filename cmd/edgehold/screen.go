package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

// screen is where text for people goes. Names and messages come from devices:
// what would steer a terminal never reaches it. A write that failed is told by
// done, so that a command whose text got nowhere does not end well.
type screen struct {
	w     io.Writer
	ascii bool // the terminal knows nothing else
	err   error
}

func newScreen(w io.Writer) *screen { return &screen{w: w, ascii: !utf8Locale(os.Getenv)} }

// Write implements io.Writer; p is whole characters.
func (s *screen) Write(p []byte) (int, error) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, harmless(string(p), "\n", s.ascii))
	}
	return len(p), s.err
}

func (s *screen) done() error {
	if s.err != nil {
		return fmt.Errorf("write to standard output: %w", s.err)
	}
	return nil
}

// harmless keeps what can be seen, blanks and the characters of keep. Others,
// such as escape sequences and marks that turn the direction of the text
// around, become one character that says so.
func harmless(text, keep string, ascii bool) string {
	sign := unicode.ReplacementChar
	if ascii {
		sign = '?'
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(keep, r) || unicode.IsPrint(r) && (!ascii || r <= unicode.MaxASCII) {
			return r
		}
		return sign
	}, text)
}

// oneLine makes a name from outside harmless, line breaks included.
func oneLine(name string) string { return harmless(name, "", !utf8Locale(os.Getenv)) }
