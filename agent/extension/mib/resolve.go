package mib

import "strconv"

type resolution uint8

const (
	unseen resolution = iota
	busy
	resolved
	failed
)

const (
	maxArc      = 1<<32 - 1
	maxDepth    = 10_000 // definitions on the way to one
	maxOthers   = 8      // definitions of a name elsewhere that are tried
	maxTypes    = 32     // types that build on each other
	maxAugments = 8
	genericTrap = "1.3.6.1.6.3.1.1.5"
	snmpGroup   = mib2 + ".11"
)

var roots = map[string]string{"iso": "1", "ccitt": "0", "itu-t": "0", "joint-iso-ccitt": "2", "joint-iso-itu-t": "2"}

// once warns of the same thing in the same module one time.
func (c *compiler) once(d *definition, key, format string, args ...any) {
	key = d.module.name + " " + key
	if !c.said[key] {
		c.said[key] = true
		c.warn(d.module.file, d.line, format, args...)
	}
}

// place gives the OID of a definition, "" when it has none. Each is worked out
// once: what fails on a round way has failed.
func (c *compiler) place(d *definition, depth int) string {
	switch {
	case d.state == resolved || d.state == failed:
		return d.oid
	case d.state == busy:
		c.once(d, "="+d.name, "%s is defined by itself; it and what is beneath it is left out", clip(d.name))
		return ""
	case depth > maxDepth:
		return ""
	}
	d.state = busy
	oid := c.value(d, depth)
	if oid != "" && !isOID(oid) {
		c.once(d, "deep", "%s is deeper than %d levels; it and what is beneath it is left out", clip(d.name), maxArcs)
		oid = ""
	}
	d.oid, d.state = oid, resolved
	if oid == "" {
		d.state = failed
	}
	return oid
}

func (c *compiler) value(d *definition, depth int) string {
	if len(d.parts) == 0 {
		return c.trap(d, depth)
	}
	oid := ""
	for i, p := range d.parts {
		if p.hasNum && (p.num < 0 || p.num > maxArc) {
			c.once(d, "#"+d.name, "%s has the arc %d, which is not one of 32 bits; it is left out", clip(d.name), p.num)
			return ""
		}
		switch {
		case i > 0 && p.hasNum:
			oid += "." + strconv.FormatInt(p.num, 10)
			continue
		case p.name == "":
			oid = strconv.FormatInt(p.num, 10)
			continue
		}
		found := c.lookup(d, p.name, depth)
		if found == "" && p.hasNum {
			found = strconv.FormatInt(p.num, 10)
		}
		if found == "" {
			return ""
		}
		if i > 0 && parentOID(found) != oid {
			c.once(d, "/"+d.name, "%s: %s is not beneath what stands before it; write its number; %s is left out", clip(d.name), clip(p.name), clip(d.name))
			return ""
		}
		oid = found
	}
	return oid
}

// trap gives a TRAP-TYPE its OID by RFC 3584 section 3.1: that of the generic
// trap, or the enterprise, 0 and the number.
func (c *compiler) trap(d *definition, depth int) string {
	if d.enterprise == "" || d.number < 0 || d.number > maxArc {
		c.once(d, "="+d.name, "%s has no value that can be read; it is left out", clip(d.name))
		return ""
	}
	enterprise := c.lookup(d, d.enterprise, depth)
	if enterprise == "" {
		return ""
	}
	if enterprise == snmpGroup && d.number <= 5 {
		return genericTrap + "." + strconv.FormatInt(d.number+1, 10)
	}
	return enterprise + ".0." + strconv.FormatInt(d.number, 10)
}

// lookup gives the OID of a name as d means it. The module itself comes first,
// then where its imports say, then any other.
func (c *compiler) lookup(d *definition, name string, depth int) string {
	if root, ok := roots[name]; ok {
		return root
	}
	from := d.module.imports[name]
	var candidates []*definition
	if own := d.module.defs[name]; own != nil && own != d {
		candidates = append(candidates, own)
	}
	if m := c.modules[from]; m != nil && m.defs[name] != nil {
		candidates = append(candidates, m.defs[name])
	} else if oid := c.outsideOID(from, name); oid != "" && len(candidates) == 0 {
		return oid
	}
	for _, other := range c.byName[name][:min(len(c.byName[name]), maxOthers)] {
		if other.module != d.module {
			candidates = append(candidates, other)
		}
	}
	for _, other := range candidates {
		if oid := c.place(other, depth+1); oid != "" {
			return oid
		}
	}
	if _, e := c.outside.find("", name); e != nil {
		return e.oid
	}
	if len(candidates) == 0 {
		c.once(d, name, "%s is not known (for %s): add the MIB file that defines it; what is beneath it is left out", clip(name), clip(d.name))
	}
	return ""
}

func (c *compiler) outsideOID(module, name string) string {
	if module == "" {
		return ""
	}
	if _, e := c.outside.find(module, name); e != nil {
		return e.oid
	}
	return ""
}

// typeOf gives a type with all it inherits; nil when something is not known.
func (c *compiler) typeOf(m *module, s *syntax, depth int) *typeDef {
	if s.base != None || s.ref == "" {
		return &typeDef{base: s.base, hint: s.hint, enum: s.enum}
	}
	found := c.typeNamed(m, s, depth)
	if found == nil || (s.enum == nil && s.hint == "") {
		return found
	}
	own := &typeDef{base: found.base, hint: found.hint, enum: found.enum}
	if s.enum != nil {
		own.enum = s.enum
	}
	if s.hint != "" {
		own.hint = s.hint
	}
	return own
}

func (c *compiler) typeNamed(m *module, s *syntax, depth int) *typeDef {
	if m.types[s.ref] != nil && m.types[s.ref] != s {
		return c.declared(namedSyntax{m, s.ref}, depth)
	}
	from := m.imports[s.ref]
	if other := c.modules[from]; other != nil && other.types[s.ref] != nil {
		return c.declared(namedSyntax{other, s.ref}, depth)
	}
	if from != "" {
		if d := c.outsideType(from, s.ref); d != nil {
			return d
		}
	}
	for _, other := range c.types[s.ref] {
		if other.module != m {
			return c.declared(other, depth)
		}
	}
	return c.outsideType("", s.ref)
}

// outsideType takes an empty module for any.
func (c *compiler) outsideType(module, name string) *typeDef {
	for _, d := range c.ready[name] {
		if name != "" && (module == "" || d.module == module) {
			return d
		}
	}
	return nil
}

// declared gives the type of a declaration, under its name.
func (c *compiler) declared(n namedSyntax, depth int) *typeDef {
	if d, ok := c.named[n]; ok {
		return d
	}
	if depth > maxTypes {
		return nil
	}
	d := c.typeOf(n.module, n.module.types[n.name], depth+1)
	if d == nil {
		return nil
	}
	own := &typeDef{module: n.module.name, name: n.name, base: d.base, hint: d.hint, enum: d.enum}
	// SMIv1 has no hints: DisplayString and MacAddress mean what they mean since
	if std := c.outsideType("", n.name); own.hint == "" && std != nil && std.base == own.base {
		own.hint = std.hint
	}
	c.named[n] = own
	return own
}

// rowIndexes gives the index names of a row, or of the one that it augments.
func (c *compiler) rowIndexes(d *definition) (names []string, implied bool) {
	for range maxAugments {
		if d.augments == "" {
			return d.list, d.implied
		}
		base := d.module.defs[d.augments]
		if m := c.modules[d.module.imports[d.augments]]; base == nil && m != nil {
			base = m.defs[d.augments]
		}
		if others := c.byName[d.augments]; base == nil && len(others) > 0 {
			base = others[0]
		}
		if base == nil {
			break
		}
		d = base
	}
	if _, e := c.outside.find("", d.augments); e != nil {
		return e.list, e.implied
	}
	return nil, false
}

// isRow says whether an OBJECT-TYPE is a table's row, by what it says itself.
func isRow(d *definition) bool {
	if d.macro != "OBJECT-TYPE" || (d.syntax != nil && d.syntax.many) {
		return false
	}
	if d.syntax == nil || d.syntax.base != None {
		return d.syntax == nil && (d.list != nil || d.augments != "")
	}
	row := d.module.types[d.syntax.ref]
	return d.list != nil || d.augments != "" || d.syntax.sequence || (row != nil && row.sequence)
}

func isTable(d *definition) bool {
	return d.syntax != nil && d.syntax.many
}
