package extension

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// source is a value as the package writes it: oid:, const:, var: or this:.
type source struct {
	kind plan.SourceKind // 0: a variable; FromScalar: an OID of either kind
	text string          // OID, constant or the variable's id
	node *node

	// Own keys.
	fallback []string
	form     plan.TextForm
	arcs     plan.Arcs // of an index, and of a join
	join     bool
	joinBy   string // OID
}

const noFunctions = "functions are not supported by this version: "

const symbolic = "symbolic OIDs need MIB files, which this version does not read; write the number"

// parseSource reads a value. The second result tells in words why it cannot be
// used; the third, where not empty, is a remark on one that can.
func parseSource(text string) (s source, problem, remark string) {
	head, rest, found := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "$"):
		name, _, _ := strings.Cut(text, "(")
		return s, noFunctions + name, ""
	case found && head == "oid":
		return parseOID(rest)
	case found && head == "const":
		return source{kind: plan.FromConst, text: rest}, "", ""
	case found && head == "var":
		return source{text: strings.TrimSpace(rest)}, "", ""
	case text == "this:device.address":
		return source{kind: plan.FromDeviceAddress}, "", ""
	case text == "this:device.port":
		return source{kind: plan.FromDevicePort}, "", ""
	case found && head == "this":
		return s, fmt.Sprintf("found %q, expected this:device.address or this:device.port", text), ""
	}
	s, problem, _ = parseOID(text)
	if problem == "" {
		return s, "", "taken as an OID, write oid: before it"
	}
	return s, fmt.Sprintf("found %q, expected oid:, const:, var: or this:", text), ""
}

// notYet tells a problem of this version from one of the package.
func notYet(problem string) bool {
	return strings.HasPrefix(problem, noFunctions) || strings.HasSuffix(problem, symbolic)
}

func parseOID(text string) (s source, problem, remark string) {
	oid := strings.TrimPrefix(strings.TrimSpace(text), ".")
	if strings.ContainsFunc(oid, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		return s, fmt.Sprintf("found %q: %s", text, symbolic), ""
	}
	arcs := strings.Split(oid, ".")
	if len(arcs) < 2 || len(arcs) > 128 {
		return s, fmt.Sprintf("found %q, expected an OID of 2 to 128 numbers", text), ""
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 32)
		if err != nil || len(arc) > 1 && arc[0] == '0' {
			return s, fmt.Sprintf("found %q, which is not an OID: %q is not a number from 0 to 4294967295", text, arc), ""
		}
		if i == 0 && n > 2 || i == 1 && n > 39 && arcs[0] != "2" {
			return s, fmt.Sprintf("found %q, which is not an OID: no OID begins with %s.%s", text, arcs[0], arcs[1]), ""
		}
	}
	return source{kind: plan.FromScalar, text: oid}, "", ""
}

// isInstance tells whether an OID names a scalar and not a column.
func isInstance(oid string) bool { return strings.HasSuffix(oid, ".0") }

// plan is the source for a block, with variables filled in.
func (s *source) plan(table bool, vars map[string]string) plan.Source {
	made := plan.Source{Kind: s.kind, Text: s.text, Form: s.form}
	switch s.kind {
	case 0:
		made.Kind, made.Text = plan.FromConst, vars[s.text]
	case plan.FromIndex:
		made.Arcs = s.arcs
	case plan.FromScalar:
		made.Text, made.OID, made.Fallback = "", s.text, s.fallback
		if table && !isInstance(s.text) {
			made.Kind, made.Arcs, made.Join, made.JoinBy = plan.FromColumn, s.arcs, s.join, s.joinBy
		}
	}
	return made
}
