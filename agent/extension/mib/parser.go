package mib

import (
	"fmt"
	"strings"
)

// module is one MIB module as written.
type module struct {
	name, file string
	imports    map[string]string // symbol -> the module it is said to come from
	defs       map[string]*definition
	ordered    []*definition
	types      map[string]*syntax
	typeNames  []string // in the order of the file
}

// definition gives a name a place in the tree.
type definition struct {
	module     *module
	name       string
	line       int
	macro      string // "OBJECT IDENTIFIER" for a plain one
	aside      bool   // named on the way of another: { enterprises acme(9) 1 }
	parts      []part
	syntax     *syntax
	list       []string // INDEX, OBJECTS or VARIABLES
	implied    bool
	augments   string
	enterprise string
	number     int64 // of a trap

	state resolution
	oid   string
	kind  Kind
}

// part is one element of a value: a name, a number, or both.
type part struct {
	name   string
	num    int64
	hasNum bool
}

// syntax is a type as written.
type syntax struct {
	line     int
	base     Type   // of a type of the language itself
	ref      string // name of another type; with no base either, what has no value
	sequence bool   // a row
	many     bool   // SEQUENCE OF: a table
	hint     string
	enum     map[int64]string
}

type parser struct {
	lexer
	file    string
	modules []*module
	mod     *module
	ahead   []token
	budget  *int // definitions and names of values left to read
	warn    func(line int, format string, args ...any)
}

const (
	maxName = 255 // characters
	maxEnum = 4096
	maxList = 256

	moduleCost = 20 // of the budget
)

func (p *parser) peek(n int) token {
	for len(p.ahead) <= n {
		p.ahead = append(p.ahead, p.lexer.next())
	}
	return p.ahead[n]
}

func (p *parser) advance() token {
	t := p.peek(0)
	p.ahead = p.ahead[:copy(p.ahead, p.ahead[1:])]
	return t
}

// accept takes the next token when it is this one.
func (p *parser) accept(text string) bool {
	if !p.peek(0).is(text) {
		return false
	}
	p.advance()
	return true
}

// spend takes one off the budget.
func (p *parser) spend() bool {
	if *p.budget <= 0 {
		return false
	}
	*p.budget--
	return true
}

// parse reads every module of the file.
func (p *parser) parse() {
	lost := 0 // line of the first of a run of tokens that mean nothing
	for {
		t := p.peek(0)
		if t.kind == atEnd || *p.budget <= 0 {
			return
		}
		ok := p.header() || (p.mod != nil && p.statement())
		if !ok {
			p.advance()
			if lost == 0 && p.mod != nil {
				lost = t.line
				p.warn(t.line, "%q is not understood and left out", clip(t.text))
			}
			continue
		}
		lost = 0
	}
}

// header reads `NAME [{...}] DEFINITIONS ... ::= BEGIN`.
func (p *parser) header() bool {
	if p.peek(0).kind != word {
		return false
	}
	if !p.peek(1).is("DEFINITIONS") && (!p.peek(1).is("{") || !p.namedHeader()) {
		return false
	}
	t := p.advance()
	p.mod = &module{
		name: keep(t.text), file: p.file,
		imports: map[string]string{}, defs: map[string]*definition{}, types: map[string]*syntax{},
	}
	p.modules = append(p.modules, p.mod)
	*p.budget -= moduleCost
	if p.peek(0).is("{") {
		p.skipGroup()
	}
	for !p.accept("::=") {
		if t := p.peek(0); t.kind == atEnd || t.is("BEGIN") || t.is("IMPORTS") {
			break
		}
		p.advance()
	}
	p.accept("BEGIN")
	return true
}

// namedHeader says whether DEFINITIONS follows the braces.
func (p *parser) namedHeader() bool {
	for n := 2; n < 32; n++ {
		t := p.peek(n)
		if t.is("}") {
			return p.peek(n + 1).is("DEFINITIONS")
		}
		if t.kind == atEnd {
			return false
		}
	}
	return false
}

// statement reads one definition of a module; false when none begins here.
func (p *parser) statement() bool {
	t := p.peek(0)
	if t.is(";") {
		p.advance()
		return true
	}
	if t.kind != word {
		return false
	}
	switch t.text {
	case "END":
		p.advance()
		p.mod = nil
		return true
	case "BEGIN":
		p.advance()
		return true
	case "IMPORTS":
		p.advance()
		p.imports()
		return true
	case "EXPORTS":
		p.skipTo(";")
		return true
	}
	switch {
	case p.peek(1).is("MACRO"):
		p.skipTo("END")
	case p.peek(1).is("::="):
		p.typeAssignment()
	case p.startsDefinition():
		p.definition()
	default:
		return false
	}
	return true
}

// startsDefinition says whether a name and what makes a definition of it come
// next.
func (p *parser) startsDefinition() bool {
	if t := p.peek(0); t.kind != word || macros[t.text] || clauses[t.text] {
		return false
	}
	second := p.peek(1)
	if second.kind != word {
		return false
	}
	if macros[second.text] {
		return p.peek(2).kind == word && clauses[p.peek(2).text]
	}
	return second.text == "OBJECT" && p.peek(2).is("IDENTIFIER") && p.peek(3).is("::=")
}

// startsType says whether `Name ::=` comes next.
func (p *parser) startsType() bool {
	t := p.peek(0)
	return t.kind == word && !clauses[t.text] && p.peek(1).is("::=")
}

// imports reads the lists of symbols. Commas and the semicolon may be missing.
func (p *parser) imports() {
	var symbols []string
	for {
		t := p.peek(0)
		if t.kind == atEnd || t.is("END") {
			return
		}
		if len(symbols) == 0 && (p.startsDefinition() || p.startsType() || p.peek(1).is("DEFINITIONS")) {
			return
		}
		p.advance()
		switch {
		case t.is(";"):
			return
		case t.is("FROM"):
			from := p.advance()
			for _, s := range symbols {
				p.mod.imports[s] = keep(from.text)
			}
			symbols = symbols[:0]
		case t.kind == word && p.spend():
			symbols = append(symbols, keep(t.text))
		}
	}
}

// typeAssignment reads `Name ::= TYPE` and `Name ::= TEXTUAL-CONVENTION ... SYNTAX TYPE`.
func (p *parser) typeAssignment() {
	name := p.advance()
	p.advance() // ::=
	if !p.spend() {
		return
	}
	var s *syntax
	if p.peek(0).is("TEXTUAL-CONVENTION") {
		p.advance()
		s = p.convention()
	} else {
		s = p.syntax()
	}
	if s == nil {
		p.warn(name.line, "type %s has no SYNTAX", clip(name.text))
		return
	}
	if _, twice := p.mod.types[name.text]; twice {
		return
	}
	key := keep(name.text)
	p.mod.types[key] = s
	p.mod.typeNames = append(p.mod.typeNames, key)
}

func (p *parser) convention() *syntax {
	hint := ""
	for {
		t := p.peek(0)
		if t.kind == atEnd || t.is("END") || p.startsDefinition() || p.startsType() {
			return nil
		}
		p.advance()
		if t.is("DISPLAY-HINT") && p.peek(0).kind == quoted {
			hint = keepHint(p.advance().text)
		}
		if t.is("SYNTAX") {
			s := p.syntax()
			if s != nil && hint != "" {
				s.hint = hint
			}
			return s
		}
	}
}

// baseTypes are those of the language and of SNMPv2-SMI and RFC1155-SMI.
var baseTypes = map[string]Type{
	"INTEGER": Integer, "Integer32": Integer, "Unsigned32": Unsigned, "UInteger32": Unsigned,
	"Counter": Counter, "Counter32": Counter, "Counter64": Counter, "Gauge": Gauge, "Gauge32": Gauge,
	"TimeTicks": TimeTicks, "IpAddress": IP, "NetworkAddress": IP, "Opaque": Opaque, "BITS": Bits,
	"OCTET": Octets, "OBJECT": OID, "BIT": Octets,
}

// syntax reads a type with its ranges and named numbers; nil when none is here.
func (p *parser) syntax() *syntax {
	for p.peek(0).is("[") || p.peek(0).is("IMPLICIT") || p.peek(0).is("EXPLICIT") {
		p.skipTag()
	}
	t := p.peek(0)
	if t.kind != word || clauses[t.text] {
		return nil
	}
	p.advance()
	s := &syntax{line: t.line}
	switch t.text {
	case "CHOICE":
	case "SEQUENCE", "SET":
		s.sequence = true
		if p.accept("OF") {
			s.many = true
			p.advance()
		}
	case "OCTET", "BIT":
		p.accept("STRING")
	case "OBJECT":
		p.accept("IDENTIFIER")
	}
	s.base = baseTypes[t.text]
	if s.base == None && !s.sequence && t.text != "CHOICE" {
		s.ref = keep(t.text)
		if p.accept(".") && p.peek(0).kind == word { // MODULE.Type
			s.ref = keep(p.advance().text)
		}
	}
	p.refinement(s)
	return s
}

func (p *parser) refinement(s *syntax) {
	for {
		switch {
		case p.peek(0).is("(") || (p.peek(0).is("{") && s.base == None && s.ref == ""):
			p.skipGroup()
		case p.peek(0).is("{") && s.enum == nil:
			if enum := p.namedNumbers(); len(enum) > 0 {
				s.enum = enum
			}
		default:
			return
		}
	}
}

func (p *parser) skipTag() {
	if p.peek(0).is("[") {
		p.skipTo("]")
		return
	}
	p.advance()
}

// namedNumbers reads `{ up(1), down(2) }`; a clause ends it when the brace is missing.
func (p *parser) namedNumbers() map[int64]string {
	p.advance()
	enum := map[int64]string{}
	label := ""
	for {
		t := p.peek(0)
		if t.kind == atEnd || t.is("::=") || (t.kind == word && clauses[t.text] && !p.peek(1).is("(")) {
			return enum
		}
		p.advance()
		switch {
		case t.is("}"):
			return enum
		case t.is("("):
			n := p.peek(0)
			_, twice := enum[n.num]
			if n.kind == number && label != "" && !twice && len(enum) < maxEnum && p.spend() {
				enum[n.num] = keep(label)
			}
			label = ""
		case t.is(",") || t.is(")"):
			label = ""
		case t.kind == word || t.kind == number:
			label = strings.TrimSpace(keep(label) + " " + t.text) // some have blanks in them
		}
	}
}

// skipGroup skips brackets and what is between them. A definition that begins
// within ends it, as the closing one is missing then.
func (p *parser) skipGroup() {
	depth := 0
	for {
		t := p.peek(0)
		if t.kind == atEnd || t.is("::=") || p.startsDefinition() {
			return
		}
		p.advance()
		switch {
		case t.is("{") || t.is("("):
			depth++
		case t.is("}") || t.is(")"):
			depth--
		}
		if depth <= 0 {
			return
		}
	}
}

// skipTo skips to behind this token.
func (p *parser) skipTo(text string) {
	for p.peek(0).kind != atEnd && !p.advance().is(text) {
	}
}

// keep copies a name, so that the file can be forgotten.
func keep(name string) string {
	return strings.Clone(name[:min(len(name), maxName)])
}

func keepHint(hint string) string {
	if len(hint) > maxHint {
		return ""
	}
	return strings.Clone(strings.TrimSpace(hint))
}

func clip(text string) string {
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

func (m *module) add(d *definition) error {
	old := m.defs[d.name]
	if old != nil && (d.aside || !old.aside) {
		if d.aside {
			return nil
		}
		return fmt.Errorf("%s is defined a second time, the first counts (line %d)", clip(d.name), old.line)
	}
	m.defs[d.name] = d
	m.ordered = append(m.ordered, d)
	return nil
}
