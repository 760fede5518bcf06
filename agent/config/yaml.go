package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source is one file of a configuration.
type source struct {
	name string // as errors show it
	data []byte
}

// parse reads one YAML document. The node is nil where there is nothing to go
// on with.
func (s source) parse() (*node, []Error) {
	dec := yaml.NewDecoder(bytes.NewReader(s.data))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, []Error{s.syntax(err)}
	}
	if doc.Kind != yaml.DocumentNode {
		return nil, nil
	}
	err := dec.Decode(&next)
	if err == nil {
		return nil, []Error{s.fault(max(next.Line, 1), Error{
			Found: "a second document", Expected: "one document", Mend: "remove the line `---`, or put the rest into a file in config.d",
		})}
	}
	if !errors.Is(err, io.EOF) {
		return nil, []Error{s.syntax(err)}
	}
	r := reader{file: s.name, made: map[*yaml.Node]*node{}}
	return r.node(doc.Content[0], "", 0), r.errs
}

func (s source) fault(line int, e Error) Error {
	e.File, e.Line = s.name, max(1, min(line, s.lines()))
	return e
}

func (s source) lines() int {
	return 1 + bytes.Count(bytes.TrimSuffix(s.data, []byte("\n")), []byte("\n"))
}

var (
	syntaxLine   = regexp.MustCompile(`^line (\d+): `)
	syntaxAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxes are the parser's words for common slips, and ours.
var syntaxes = []struct{ problem, found, mend string }{
	{"tab character", "a tab", "indent with spaces only"},
	{"mapping values are not allowed", "a colon where none can be", `write one "key: value" a line, indent keys of one map alike, and quote a value that holds ": "`},
	{"could not find expected ':'", "a line that is no key with a value", `write "key: value", with a space after the colon`},
	{"cannot start any token", "a value that begins with a sign of YAML", `quote a value that begins with @, % or a backquote`},
	{"unexpected end of stream", "a quote that is never closed", "close it"},
	{"expected ',' or '}'", "a map in braces that is never closed, or lacks a comma", "write {key: value, key: value}"},
	{"expected ',' or ']'", "a list in brackets that is never closed, or lacks a comma", "write [one, two]"},
	{"expected '-' indicator", "a line that fits neither the list above nor its indentation", `begin each item with "- ", indented alike`},
	{"did not find expected key", "a line that fits neither the map above nor its indentation", "indent keys of one map alike"},
	{"block sequence entries are not allowed", "a list that begins behind its key", `begin the list on the next line, each item with "- "`},
	{"unknown escape character", "a backslash in double quotes", "use single quotes"},
	{"UTF-8", "bytes that are not UTF-8", "save the file as UTF-8"},
	{"control characters", "a control character", "remove it"},
}

// syntax makes an error of what the YAML parser says. Its words are fixed
// texts, except where it names an anchor, which may be a mistaken secret.
func (s source) syntax(err error) Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if m := syntaxAnchor.FindStringSubmatch(text); m != nil {
		return s.fault(s.lineOf("*"+m[1]), Error{Found: "an alias without its anchor", Mend: "quote a value that begins with *"})
	}
	if strings.HasPrefix(text, "did not find expected") {
		line++ // the parser counts these from 0
	}
	if strings.Contains(text, "UTF-8") || strings.Contains(text, "control characters") {
		line = s.lineOfBadByte()
	}
	if strings.HasPrefix(strings.TrimLeft(s.text(line), " "), "\t") {
		text = "tab character"
	}
	for _, known := range syntaxes {
		if strings.Contains(text, known.problem) {
			return s.fault(line, Error{Found: known.found, Mend: known.mend})
		}
	}
	return s.fault(line, Error{Found: "not valid YAML (" + text + ")"})
}

func (s source) text(line int) string {
	lines := strings.Split(string(s.data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return lines[line-1]
}

func (s source) lineOf(text string) int {
	head, _, _ := strings.Cut(string(s.data), text)
	return 1 + strings.Count(head, "\n")
}

func (s source) lineOfBadByte() int {
	line := 1
	for rest := s.data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return line
		}
		rest = rest[n:]
	}
	return line
}
