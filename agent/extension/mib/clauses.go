package mib

// definition reads `name MACRO clauses ::= value` and `name OBJECT IDENTIFIER ::= value`.
func (p *parser) definition() {
	name, macro := p.advance(), p.advance()
	d := &definition{module: p.mod, name: keep(name.text), line: name.line, macro: keep(macro.text)}
	if macro.text == "OBJECT" {
		p.advance() // IDENTIFIER
		d.macro = "OBJECT IDENTIFIER"
	}
	if !p.clauses(d) {
		p.warn(name.line, "%s has no value (::= {...}) and is left out", clip(name.text))
		return
	}
	p.value(d)
	if !p.spend() {
		return
	}
	if err := p.mod.add(d); err != nil {
		p.warn(name.line, "%v", err)
	}
	for i, on := range d.parts {
		if i == 0 || on.name == "" || !on.hasNum || !p.spend() {
			continue
		}
		aside := &definition{module: p.mod, name: on.name, line: name.line, macro: "OBJECT IDENTIFIER", aside: true, parts: d.parts[:i+1]}
		_ = p.mod.add(aside) // what has a definition of its own needs no other
	}
}

// clauses reads up to and with the "::="; false when the definition ends
// before.
func (p *parser) clauses(d *definition) bool {
	for {
		if p.startsDefinition() {
			return false
		}
		t := p.peek(0)
		if t.kind == atEnd || t.is("END") || (p.startsType() && t.text[0] <= 'Z') {
			return false
		}
		p.advance()
		if t.is("::=") {
			return true
		}
		if t.kind == word && hasObjects[d.macro] {
			p.clause(d, t.text)
		}
	}
}

// hasObjects are the macros of what appears on the wire; the clauses of the
// others mean nothing here.
var hasObjects = map[string]bool{"OBJECT-TYPE": true, "TRAP-TYPE": true, "NOTIFICATION-TYPE": true}

func (p *parser) clause(d *definition, keyword string) {
	switch keyword {
	case "SYNTAX":
		if d.syntax == nil {
			d.syntax = p.syntax()
		}
	case "INDEX", "OBJECTS", "VARIABLES":
		if d.list == nil && p.peek(0).is("{") {
			p.names(d)
		}
	case "AUGMENTS":
		if p.accept("{") && p.peek(0).kind == word {
			d.augments = keep(p.advance().text)
		}
	case "ENTERPRISE":
		braced := p.accept("{")
		if p.peek(0).kind == word {
			d.enterprise = keep(p.advance().text)
		}
		if braced {
			p.accept("}")
		}
	case "DEFVAL":
		p.skipGroup()
	}
}

// names reads `{ a, IMPLIED b }`.
func (p *parser) names(d *definition) {
	p.advance()
	for len(d.list) < maxList {
		t := p.peek(0)
		if t.kind == atEnd || t.is("::=") || (t.kind == word && clauses[t.text]) {
			return
		}
		p.advance()
		switch {
		case t.is("}"):
			return
		case t.is("IMPLIED"):
			d.implied = true
		case t.is("STRING") || t.is("IDENTIFIER"): // the second word of a type
		case t.kind == word:
			d.list = append(d.list, keep(t.text))
		}
	}
}

// value reads `{ parent 3 }`, `{ iso org(3) 6 }`, or the number of a trap.
func (p *parser) value(d *definition) {
	if t := p.peek(0); t.kind == number {
		d.number = p.advance().num
		return
	}
	braced := p.accept("{")
	for len(d.parts) <= maxArcs {
		t := p.peek(0)
		if t.kind == atEnd || t.is("::=") || p.startsDefinition() || (!braced && len(d.parts) == 2) {
			return
		}
		p.advance()
		switch {
		case t.is("}"):
			return
		case t.kind == number:
			d.parts = append(d.parts, part{num: t.num, hasNum: true})
		case t.kind == word:
			d.parts = append(d.parts, p.named(t))
		}
	}
}

// named reads the number in parentheses behind a name, if there is one.
func (p *parser) named(t token) part {
	named := part{name: keep(t.text)}
	if p.peek(0).is("(") && p.peek(1).kind == number {
		p.advance()
		named.num, named.hasNum = p.advance().num, true
		p.accept(")")
	}
	return named
}
