package extension

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

// source is a value as the package writes it: oid:, const:, var: or this:.
type source struct {
	kind plan.SourceKind // 0: a variable; FromScalar: an OID of either kind
	text string          // OID, constant or the variable's id
	node *node
	row  bool // the OID is one row of a column, as the standard objects have it

	// Own keys.
	fallback []string
	form     plan.TextForm
	arcs     plan.Arcs // of an index, and of a join
	join     bool
	joinBy   string // OID
	naming   plan.Naming
}

// parseSource reads a value. The second result tells in words why it cannot be
// used; the third, where not empty, is a remark on one that can.
func parseSource(text string) (s source, problem, remark string) {
	head, rest, found := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "$"):
		s, problem = parseFunction(text)
		return s, problem, ""
	case found && head == "oid":
		s, problem = parseObject(rest)
		return s, problem, ""
	case found && head == "const":
		return source{kind: plan.FromConst, text: rest}, "", ""
	case found && head == "var":
		return source{text: strings.TrimSpace(rest)}, "", ""
	case found && head == "index":
		s, problem = parseIndex(rest)
		return s, problem, ""
	case text == "this:device.address":
		return source{kind: plan.FromDeviceAddress}, "", ""
	case text == "this:device.port":
		return source{kind: plan.FromDevicePort}, "", ""
	case found && head == "this":
		return s, fmt.Sprintf("found %q, expected this:device.address or this:device.port", text), ""
	}
	s, problem = parseOID(text)
	if problem == "" {
		return s, "", "taken as an OID, write oid: before it"
	}
	return s, fmt.Sprintf("found %q, expected oid:, const:, var:, this: or index:", text), ""
}

// parseIndex reads arcs of the row's index, counted from 1, and how they are
// shown: "1", "-1", "2-5", "2-", and with ":mac" behind it an address.
func parseIndex(text string) (source, string) {
	arcs, word, _ := strings.Cut(text, ":")
	form, known := textForms[word]
	if !known {
		return source{}, fmt.Sprintf("found index:%s, expected nothing behind the arcs, or :text, :hex, :mac, :ip, :date or :bits", text)
	}
	s := source{kind: plan.FromIndex, form: form}
	var problem string
	s.arcs, problem = parseArcs(arcs)
	return s, problem
}

// isName tells the name of an object from a number.
func isName(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
}

// parseObject reads an OID, or the name of an object in a MIB, which is looked
// up when the package is compiled.
func parseObject(text string) (source, string) {
	name := strings.TrimSpace(text)
	if !isName(name) {
		return parseOID(text)
	}
	if !objectName.MatchString(name) {
		return source{}, fmt.Sprintf("found %q, expected a number such as 1.3.6.1.2.1.1.5.0, or a name such as IF-MIB::ifDescr", text)
	}
	return source{kind: plan.FromScalar, text: name}, ""
}

// objectName is MODULE::name.1.2, the module and the arcs not needed.
var objectName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.-]*::)?[A-Za-z][A-Za-z0-9_-]*(\.[0-9]+)*$`)

func parseOID(text string) (s source, problem string) {
	oid := strings.TrimPrefix(strings.TrimSpace(text), ".")
	if isName(oid) {
		return s, fmt.Sprintf("found %q, expected an OID", text)
	}
	arcs := strings.Split(oid, ".")
	if len(arcs) < 2 || len(arcs) > 128 {
		return s, fmt.Sprintf("found %q, expected an OID of 2 to 128 numbers", text)
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 32)
		if err != nil || len(arc) > 1 && arc[0] == '0' {
			return s, fmt.Sprintf("found %q, which is not an OID: %q is not a number from 0 to 4294967295", text, arc)
		}
		if i == 0 && n > 2 || i == 1 && n > 39 && arcs[0] != "2" {
			return s, fmt.Sprintf("found %q, which is not an OID: no OID begins with %s.%s", text, arcs[0], arcs[1])
		}
	}
	return source{kind: plan.FromScalar, text: oid}, ""
}

// standards are the built-in objects, read where something asks for them.
type standards struct{ set *mib.Set }

func (s *standards) objects() *mib.Set {
	if s.set == nil {
		s.set = mib.BuiltIn()
	}
	return s.set
}

// isRow tells whether an OID names one row of a standard column, such as
// ifDescr.3.
func (s *standards) isRow(oid string) bool {
	o, arcs, ok := s.objects().At(oid)
	return ok && o.Kind == mib.Column && arcs != ""
}

// isInstance tells whether an OID names a scalar or one row of a column: it ends
// in .0, or lies below a column that is known by its number.
func isInstance(oid string) bool {
	if strings.HasSuffix(oid, ".0") {
		return true
	}
	parent := oid[:max(strings.LastIndexByte(oid, '.'), 0)]
	for ; parent != ""; parent = parent[:max(strings.LastIndexByte(parent, '.'), 0)] {
		if knownColumn(parent) {
			return true
		}
	}
	return false
}
