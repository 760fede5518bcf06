package mib

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf16"
)

// Warning says what a file has that is not understood, and what that costs.
type Warning struct {
	File string
	Line int // from 1; 0 when the whole file is meant
	Text string
}

func (w Warning) String() string {
	if w.Line == 0 {
		return w.File + ": " + w.Text
	}
	return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text)
}

const (
	maxFile     = 8 << 20 // bytes
	maxFiles    = 2000
	maxFolder   = 32 << 20 // bytes
	maxNames    = 100_000  // definitions, types, named numbers and imports
	maxWarnings = 500
)

// Compile reads every file of the folder and of those in it, in any order. It
// takes from a broken file what can be understood and warns of the rest; it
// never fails as a whole. Names are looked up in the module itself, where its
// imports say, in the other files, in more, and in the built-in set. The result
// holds the objects of the files only: see Join.
func Compile(files fs.FS, more ...*Set) (*Set, []Warning) {
	return compile(files, Join(Join(more...), BuiltIn()))
}

type compiler struct {
	outside  *Set
	ready    map[string][]*typeDef // types outside, by name
	modules  map[string]*module
	ordered  []*module
	byName   map[string][]*definition
	types    map[string][]namedSyntax
	named    map[namedSyntax]*typeDef
	said     map[string]bool // warnings given once
	budget   int
	full     string // the file at which a bound of the folder was reached
	warnings []Warning
}

type namedSyntax struct {
	module *module
	name   string
}

func compile(files fs.FS, outside *Set) (*Set, []Warning) {
	c := &compiler{
		outside: outside, budget: maxNames,
		modules: map[string]*module{}, byName: map[string][]*definition{}, types: map[string][]namedSyntax{},
		named: map[namedSyntax]*typeDef{}, said: map[string]bool{}, ready: map[string][]*typeDef{},
	}
	for _, t := range outside.all() {
		for i := range t.types[1:] {
			d := &t.types[i+1]
			c.ready[d.name] = append(c.ready[d.name], d)
		}
	}
	c.readAll(files)
	set := &Set{tables: []*table{c.build()}}
	return set, c.told()
}

func (c *compiler) warn(file string, line int, format string, args ...any) {
	if len(c.warnings) < maxWarnings {
		c.warnings = append(c.warnings, Warning{file, line, fmt.Sprintf(format, args...)})
	}
	if len(c.warnings) == maxWarnings {
		c.warnings[maxWarnings-1] = Warning{File: file, Text: "there are more warnings; they are not listed"}
	}
}

func (c *compiler) readAll(files fs.FS) {
	count, size := 0, 0
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			c.warn(name, 0, "cannot be read: %v", err)
			return nil
		}
		if d.IsDir() {
			return nil
		}
		text, err := readFile(files, name)
		if err != nil {
			c.warn(name, 0, "cannot be read: %v", err)
			return nil
		}
		if count++; count > maxFiles || size+len(text) > maxFolder {
			c.full = name
			return fs.SkipAll
		}
		size += len(text)
		c.readModules(name, text)
		if c.budget <= 0 {
			c.full = name
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		c.warn(".", 0, "cannot be read: %v", err)
	}
}

// told gives the warnings. That the folder is too large comes first: others
// follow from it.
func (c *compiler) told() []Warning {
	if c.full == "" {
		return c.warnings
	}
	text := fmt.Sprintf("the folder is too large, what follows from here on is left out: at most %d files, %d MiB and %d names are read together; keep only the MIB files of the devices that are polled", maxFiles, maxFolder>>20, maxNames)
	return append([]Warning{{File: c.full, Text: text}}, c.warnings...)
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = fmt.Errorf("larger than %d MiB", maxFile>>20)
)

func readFile(files fs.FS, name string) (string, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // a pipe would hold us up
		return "", errNotRegular
	}
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFile {
		return "", errTooLarge
	}
	return decodeText(data), nil
}

// decodeText makes text of UTF-16, and lines of what ends them with CR alone.
// Other encodings need no care: names are ASCII in all of them.
func decodeText(data []byte) string {
	text := string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	var order binary.ByteOrder
	switch {
	case len(data) < 2:
	case data[0] == 0xff && data[1] == 0xfe, data[0] != 0 && data[1] == 0:
		order = binary.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff, data[0] == 0 && data[1] != 0:
		order = binary.BigEndian
	}
	if order != nil {
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = order.Uint16(data[2*i:])
		}
		text = strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
	}
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	return text
}

func (c *compiler) readModules(file, text string) {
	found := c.parse(file, text)
	if len(found) == 0 {
		c.warn(file, 0, "has no MIB module (NAME DEFINITIONS ::= BEGIN)")
	}
	for _, m := range found {
		if old := c.modules[m.name]; old != nil {
			c.warn(file, 0, "module %s is in %s already, which counts", clip(m.name), old.file)
			continue
		}
		c.modules[m.name] = m
		c.ordered = append(c.ordered, m)
		for _, d := range m.ordered {
			c.byName[d.name] = append(c.byName[d.name], d)
		}
		for _, name := range m.typeNames {
			c.types[name] = append(c.types[name], namedSyntax{m, name})
		}
	}
}

// parse reads a file a second time when it lacks a closing quote, with an eye
// on where one is missing.
func (c *compiler) parse(file, text string) []*module {
	budget, mark := c.budget, len(c.warnings)
	p := c.parser(file, text)
	p.parse()
	if p.unclosed == 0 {
		return p.modules
	}
	c.budget, c.warnings = budget, c.warnings[:mark]
	c.warn(file, p.unclosed, "the file lacks a closing quote; what is between may be lost")
	p = c.parser(file, text)
	p.repair = true
	p.parse()
	return p.modules
}

func (c *compiler) parser(file, text string) *parser {
	return &parser{
		lexer: lexer{text: text, line: 1}, file: file, budget: &c.budget,
		warn: func(line int, format string, args ...any) { c.warn(file, line, format, args...) },
	}
}
