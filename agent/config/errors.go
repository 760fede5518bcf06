package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Error is one fault of a configuration: where it is, what was found there and
// the mend. It never holds the value of a secret.
type Error struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`   // from 1; 0 where the file as a whole is at fault
	Column   int    `json:"column,omitempty"` // from 1; 0 where only the line is known
	Path     string `json:"path,omitempty"`   // of the field, as in uplink.dynatrace.url
	Found    string `json:"found"`
	Expected string `json:"expected,omitempty"`
	Mend     string `json:"mend,omitempty"`    // what to do
	Nearest  string `json:"nearest,omitempty"` // the known word that is nearest to what was found
}

// Error is the fault in one line: file:line:column: field: what; the mend.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(position(e.File, e.Line, e.Column))
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Found)
	if e.Expected != "" {
		b.WriteString(", expected " + e.Expected)
	}
	if e.Mend != "" {
		b.WriteString("; " + e.Mend)
	}
	if e.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Nearest)
	}
	return b.String()
}

func position(file string, line, column int) string {
	switch {
	case line == 0:
		return file
	case column == 0:
		return fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// Errors are all faults of a configuration, in the order of its files.
type Errors []Error

// Error gives one line for each fault.
func (l Errors) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// sortErrors orders errors as files lists their files, then by position.
func sortErrors(list []Error, files []string) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		) < 0
	})
}

// Warning is something that works but should be looked at.
type Warning struct {
	Where string `json:"where"` // file:line:column
	Path  string `json:"path"`
	Text  string `json:"text"`
}

// String is the warning in one line.
func (w Warning) String() string {
	if w.Path == "" {
		return w.Where + ": " + w.Text
	}
	return w.Where + ": " + w.Path + ": " + w.Text
}
