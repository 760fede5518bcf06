package mib

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	atEnd  tokenKind = iota
	word             // a name or a keyword
	number           // decimal, or '0F'H and '01'B
	quoted           // the text without its quotes
	symbol           // "::=", "..", or one character
)

type token struct {
	kind tokenKind
	text string
	num  int64
	line int
}

func (t token) is(text string) bool { return t.text == text && (t.kind == word || t.kind == symbol) }

// lexer cuts a module file into tokens. With repair a quoted text ends where a
// value assignment begins: for files that lack a closing quote.
type lexer struct {
	text     string
	pos      int
	line     int
	repair   bool
	repaired int // where the next assignment is, when the way there was looked through
	unclosed int // line of a quote that nothing closes, 0 for none
}

func (l *lexer) next() token {
	for {
		l.skipBlanks()
		if l.pos >= len(l.text) {
			return token{kind: atEnd, line: l.line}
		}
		rest := l.text[l.pos:]
		if n := commentLength(rest); n > 0 {
			l.move(n)
			continue
		}
		if t, n := l.take(rest); n > 0 {
			t.line = l.line
			l.move(n)
			return t
		}
		_, size := utf8.DecodeRuneInString(rest) // some letter outside of texts and comments
		l.move(size)
	}
}

func (l *lexer) move(n int) {
	l.line += strings.Count(l.text[l.pos:l.pos+n], "\n")
	l.pos += n
}

func (l *lexer) skipBlanks() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\n':
			l.line++
		case c > ' ' && c != 0x7f:
			return
		}
		l.pos++
	}
}

// take gives the token that the text begins with, and its length; 0 for what
// is no token.
func (l *lexer) take(rest string) (token, int) {
	c := rest[0]
	switch {
	case isWordByte(c) || (c == '-' && len(rest) > 1 && isDigit(rest[1])):
		return takeWord(rest)
	case c == '\'':
		return takeRadix(rest)
	case strings.HasPrefix(rest, "::="):
		return token{kind: symbol, text: rest[:3]}, 3
	case strings.HasPrefix(rest, ".."):
		return token{kind: symbol, text: rest[:2]}, 2
	}
	for _, q := range quotes {
		if strings.HasPrefix(rest, q.open) {
			return l.takeQuoted(rest, q.open, q.end)
		}
	}
	if c < utf8.RuneSelf {
		return token{kind: symbol, text: rest[:1]}, 1
	}
	return token{}, 0
}

// quotes are those of ASN.1, and those that a word processor makes of them.
var quotes = []struct{ open, end string }{
	{`"`, `"`}, {"\u201c", "\u201d"}, {"\x93", "\x94"},
}

func (l *lexer) takeQuoted(rest, open, end string) (token, int) {
	limit := len(rest)
	if l.repair {
		if l.repaired <= l.pos {
			l.repaired = l.pos + nextAssignment(rest)
		}
		limit = l.repaired - l.pos
	}
	start := min(len(open), limit) // a doubled quote, which stands for one, ends a text and begins another: no matter
	if i := strings.Index(rest[start:limit], end); i >= 0 {
		return token{kind: quoted, text: rest[start : start+i]}, start + i + len(end)
	}
	if !l.repair {
		l.unclosed = l.line
	}
	return token{kind: quoted, text: rest[start:limit]}, max(limit, len(open))
}

// nextAssignment is where a line begins with one.
func nextAssignment(rest string) int {
	for from := 0; ; {
		i := strings.IndexByte(rest[from:], '\n')
		if i < 0 {
			return len(rest)
		}
		from += i + 1
		if strings.HasPrefix(strings.TrimLeft(rest[from:], " \t\r"), "::=") {
			return from
		}
	}
}

func takeWord(rest string) (token, int) {
	n := 1
	for n < len(rest) && (isWordByte(rest[n]) || (rest[n] == '-' && !strings.HasPrefix(rest[n:], "--"))) {
		n++
	}
	text := rest[:n]
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return token{kind: number, text: text, num: v}, n
	}
	return token{kind: word, text: text}, n
}

// takeRadix takes '0F'H or '01'B; what is too long for a number counts as 0.
func takeRadix(rest string) (token, int) {
	line := firstLine(rest, maxName)
	i := strings.IndexByte(line[1:], '\'') + 1
	if i < 1 || i+1 >= len(line) || !strings.ContainsRune("hHbB", rune(line[i+1])) {
		return token{kind: symbol, text: rest[:1]}, 1
	}
	base := 16
	if line[i+1] == 'b' || line[i+1] == 'B' {
		base = 2
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(line[1:i], " ", ""), base, 64)
	if err != nil {
		v = 0
	}
	return token{kind: number, text: line[:i+2], num: v}, i + 2
}

// commentLength is the length of the comment that the text begins with. It
// goes to the end of the line, or to the next "--" when code follows that:
// many write "--" within a comment and mean nothing by it.
func commentLength(rest string) int {
	if strings.HasPrefix(rest, "/*") {
		return max(strings.Index(rest[:min(len(rest), maxComment)], "*/"), 0) + 2
	}
	if !opensComment(rest) {
		return 0
	}
	line := firstLine(rest, maxComment)
	if strings.HasPrefix(line, "--") && !strings.HasPrefix(line, "---") {
		if i := strings.Index(line[2:], "--"); i >= 0 && looksLikeCode(line[i+4:]) {
			return i + 4
		}
	}
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		return i
	}
	return len(rest)
}

const maxComment = 4096 // bytes that are searched for the end of a comment

// firstLine gives the first line, or the beginning of it.
func firstLine(text string, limit int) string {
	line, _, _ := strings.Cut(text[:min(len(text), limit)], "\n")
	return line
}

// opensComment knows the two hyphens, and the dashes that a word processor
// makes of them.
func opensComment(rest string) bool {
	for _, dash := range []string{"--", "\u2013", "\u2014", "\x96", "\x97"} {
		if strings.HasPrefix(rest, dash) {
			return true
		}
	}
	return false
}

func looksLikeCode(rest string) bool {
	rest = strings.TrimSpace(rest)
	if rest == "" || strings.HasPrefix(rest, "-") {
		return false
	}
	if strings.IndexByte(`{},|;"`, rest[0]) >= 0 || strings.HasPrefix(rest, "::=") {
		return true
	}
	first, n := takeWord(rest)
	if !isWordByte(rest[0]) || first.kind != word {
		return false
	}
	after := strings.TrimLeft(rest[n:], " \t")
	if clauses[first.text] || strings.HasPrefix(after, "::=") {
		return true
	}
	if inner, ok := strings.CutPrefix(after, "("); ok { // a named number
		t, _ := takeWord(strings.TrimLeft(inner, " \t") + " ")
		return t.kind == number
	}
	second, _, _ := strings.Cut(after, " ")
	return macros[strings.TrimRight(second, "\r")]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordByte(c byte) bool {
	return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'
}

// clauses begin a part of a definition.
var clauses = map[string]bool{
	"SYNTAX": true, "WRITE-SYNTAX": true, "UNITS": true, "ACCESS": true, "MAX-ACCESS": true, "MIN-ACCESS": true,
	"STATUS": true, "DESCRIPTION": true, "REFERENCE": true, "INDEX": true, "AUGMENTS": true, "DEFVAL": true,
	"DISPLAY-HINT": true, "OBJECTS": true, "VARIABLES": true, "ENTERPRISE": true, "NOTIFICATIONS": true,
	"LAST-UPDATED": true, "ORGANIZATION": true, "CONTACT-INFO": true, "REVISION": true, "MODULE": true,
	"PRODUCT-RELEASE": true,
}

// macros make a definition of the name before them.
var macros = map[string]bool{
	"OBJECT-TYPE": true, "OBJECT-IDENTITY": true, "MODULE-IDENTITY": true, "NOTIFICATION-TYPE": true, "TRAP-TYPE": true,
	"OBJECT-GROUP": true, "NOTIFICATION-GROUP": true, "MODULE-COMPLIANCE": true, "AGENT-CAPABILITIES": true,
}
