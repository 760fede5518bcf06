package main_test

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// law is what CONTRIBUTING.md says about imports: the import table, the rooms
// that touch nothing outside, and the homes of the outside libraries.
type law struct {
	rules []rule
	pure  []string
	homes []home
}

// rule lets each of rooms import what allow lists. Both are patterns of
// path.Match; allow also knows "any", "own" (the room's sub-rooms), "x/**"
// (everything below x) and "!x" (but not x).
type rule struct{ rooms, allow []string }

// home is one row of the table of direct dependencies: only rooms that match a
// pattern may import the module; "any" is every room. Tests may use it anywhere,
// to read with another eye.
type home struct {
	module string
	rooms  []string
}

// outside are the packages through which a room would reach the machine.
var outside = []string{"net", "net/http", "os", "os/exec", "syscall", "golang.org/x/sys/unix"}

const globalLogger = "github.com/rs/zerolog/log"

// parseLaw reads the block fenced as "imports" and the rows of the table of
// direct dependencies, which begin with a module in back quotes.
func parseLaw(text string) (*law, error) {
	l := &law{}
	_, block, found := strings.Cut(text, "```imports\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		return nil, fmt.Errorf("no block ```imports in CONTRIBUTING.md")
	}
	for line := range strings.Lines(block) {
		left, right, isRule := strings.Cut(line, "->")
		if rest, isPure := strings.CutPrefix(line, "pure:"); isPure {
			l.pure = list(rest)
		} else if isRule {
			l.rules = append(l.rules, rule{list(left), list(right)})
		} else if strings.TrimSpace(line) != "" {
			return nil, fmt.Errorf("import table: no rule in %q", line)
		}
	}
	_, table, _ := strings.Cut(text, "## Direct dependencies\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		module := strings.Trim(cells[1], " `")
		l.homes = append(l.homes, home{module, list(strings.ReplaceAll(cells[2], "`", ""))})
	}
	return l, nil
}

func list(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" && word != "nothing" {
			words = append(words, word)
		}
	}
	return words
}

// ruleFor finds the rule that names the room itself, else the first pattern
// that fits.
func (l *law) ruleFor(room string) (rule, bool) {
	for _, r := range l.rules {
		if slices.Contains(r.rooms, room) {
			return r, true
		}
	}
	for _, r := range l.rules {
		if matchAny(r.rooms, room) {
			return r, true
		}
	}
	return rule{}, false
}

// testRoom tells the rooms that only tests and the rooms naming them may use.
func testRoom(room string) bool { return strings.HasSuffix(room, "test") }

func (r rule) allows(from, to string) bool {
	if slices.Contains(r.allow, "!"+to) {
		return false
	}
	if slices.Contains(r.allow, to) || slices.Contains(r.allow, "any") {
		return true
	}
	if testRoom(to) {
		return false
	}
	if slices.Contains(r.allow, "own") && strings.HasPrefix(to, from+"/") {
		return true
	}
	return matchAny(r.allow, to)
}

func matchAny(patterns []string, room string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if below, deep := strings.CutSuffix(p, "**"); deep {
			return strings.HasPrefix(room, below)
		}
		ok, _ := path.Match(p, room)
		return ok
	})
}

// importsOf lists the import paths of a file.
func importsOf(f *ast.File) []string {
	paths := make([]string, 0, len(f.Imports))
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// checkRooms holds the imports between rooms against the table.
func (l *law) checkRooms(all []source) []string {
	var findings []string
	for _, s := range all {
		r, known := l.ruleFor(s.room)
		if !known {
			findings = append(findings, fmt.Sprintf("%s: room %s is not in the import table of CONTRIBUTING.md", s.path(), s.room))
			continue
		}
		for _, imported := range importsOf(s.file) {
			if f := l.checkImport(s, r, imported); f != "" {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

func (l *law) checkImport(s source, r rule, imported string) string {
	if !s.test && slices.Contains(l.pure, s.room) && slices.Contains(outside, imported) {
		return fmt.Sprintf("%s: %s is pure and imports %s", s.path(), s.room, imported)
	}
	to, ours := strings.CutPrefix(imported, modulePath+"/")
	if !ours || r.allows(s.room, to) {
		return ""
	}
	if s.test && (to == s.room || testRoom(to)) {
		return ""
	}
	allowed := strings.Join(r.allow, ", ")
	if allowed == "" {
		allowed = "nothing of ours"
	}
	return fmt.Sprintf("%s: %s imports %s; the import table allows it %s", s.path(), s.room, to, allowed)
}

// checkLibraries holds the imports of outside libraries against their homes.
func (l *law) checkLibraries(all []source) []string {
	var findings []string
	for _, s := range all {
		for _, imported := range importsOf(s.file) {
			if f := l.checkLibrary(s, imported); f != "" {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

func (l *law) checkLibrary(s source, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") || strings.HasPrefix(imported, modulePath+"/") {
		return ""
	}
	if imported == globalLogger {
		return fmt.Sprintf("%s: imports %s; a logger is passed in, never global", s.path(), imported)
	}
	i := slices.IndexFunc(l.homes, func(h home) bool {
		return imported == h.module || strings.HasPrefix(imported, h.module+"/")
	})
	if i < 0 {
		return fmt.Sprintf("%s: imports %s; CONTRIBUTING.md names no such dependency", s.path(), imported)
	}
	if h := l.homes[i]; !s.test && !slices.Contains(h.rooms, "any") && !matchAny(h.rooms, s.room) {
		return fmt.Sprintf("%s: %s imports %s, whose home is %s", s.path(), s.room, imported, strings.Join(h.rooms, ", "))
	}
	return ""
}

// checkModules holds the direct requirements of go.mod against the table of
// dependencies, both ways.
func (l *law) checkModules(gomod string) []string {
	var findings, required []string
	for line := range strings.Lines(gomod) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		required = append(required, fields[0])
		named := slices.ContainsFunc(l.homes, func(h home) bool { return h.module == fields[0] })
		if !named && !strings.Contains(line, "// indirect") {
			findings = append(findings, fmt.Sprintf("go.mod requires %s, CONTRIBUTING.md gives no reason for it", fields[0]))
		}
	}
	for _, h := range l.homes {
		if !slices.Contains(required, h.module) {
			findings = append(findings, fmt.Sprintf("CONTRIBUTING.md names %s, go.mod does not require it", h.module))
		}
	}
	return findings
}

const lawForTest = "# House\n\n```imports\n" + `cmd/*          -> any
agent          -> agent/**, !agent/demo, buffer, probes, probes/*
agent/demo     -> agent/config, probes/snmp/snmptest
buffer         -> probes
probes/plan    -> probes
probes/*       -> probes, probes/plan, own
probes, sign   -> nothing
pure: probes/plan
` + "```\n" + `
| ` + "`make`" + ` | a table of something else |

## Direct dependencies

| module | home | reason |
|---|---|---|
| ` + "`go.etcd.io/bbolt`" + ` | buffer | the store |
| ` + "`github.com/rs/zerolog`" + ` | any | the log |
`

// TestHouseImportsRefuse feeds the checker files that break the table, and
// some that keep it.
func TestHouseImportsRefuse(t *testing.T) {
	ours := func(room string) string { return modulePath + "/" + room }
	cases := []struct {
		name, file, imports string
		want                string // part of the one finding; empty: none
	}{
		{"up", "probes/plan/x.go", ours("buffer"), "probes/plan imports buffer; the import table allows it probes"},
		{"nothing allowed", "probes/x.go", ours("buffer"), "probes imports buffer; the import table allows it nothing of ours"},
		{"excepted", "agent/x.go", ours("agent/demo"), "agent imports agent/demo"},
		{"test room outside a test", "agent/x.go", ours("agent/drain/draintest"), "agent imports agent/drain/draintest"},
		{"other kind", "probes/snmp/x.go", ours("probes/ping"), "probes/snmp imports probes/ping"},
		{"tests keep the table", "buffer/x_test.go", ours("agent"), "buffer imports agent"},
		{"unknown room", "agent/new/x.go", "fmt", "room agent/new is not in the import table"},
		{"pure", "probes/plan/x.go", "os", "probes/plan is pure and imports os"},
		{"no home", "agent/x.go", "go.etcd.io/bbolt", "agent imports go.etcd.io/bbolt, whose home is buffer"},
		{"unnamed", "agent/x.go", "example.org/lib/sub", "imports example.org/lib/sub; CONTRIBUTING.md names no such"},
		{"global logger", "agent/x.go", globalLogger, "never global"},
		{"below", "agent/x.go", ours("agent/extension/mib"), ""},
		{"any", "cmd/edgehold/x.go", ours("agent/drain/draintest"), ""},
		{"named test room", "agent/demo/x.go", ours("probes/snmp/snmptest"), ""},
		{"test room in a test", "agent/x_test.go", ours("probes/snmp/snmptest"), ""},
		{"itself in a test", "buffer/x_test.go", ours("buffer"), ""},
		{"own sub-room", "probes/snmp/x.go", ours("probes/snmp/usm"), ""},
		{"another eye", "agent/x_test.go", "go.etcd.io/bbolt", ""},
		{"unnamed in a test", "agent/x_test.go", "example.org/lib", "CONTRIBUTING.md names no such"},
		{"at home", "buffer/x.go", "go.etcd.io/bbolt/errors", ""},
		{"anywhere", "agent/x.go", "github.com/rs/zerolog", ""},
	}
	l, err := parseLaw(lawForTest)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(c.file, "//go:build sometag\n\npackage x\n\nimport _ "+strconv.Quote(c.imports)+"\n")
			if err != nil {
				t.Fatal(err)
			}
			expectOne(t, append(l.checkRooms([]source{s}), l.checkLibraries([]source{s})...), c.want)
		})
	}
}

// expectOne wants exactly one finding that holds the text, or none.
func expectOne(t *testing.T, findings []string, want string) {
	t.Helper()
	if want == "" {
		report(t, findings)
		return
	}
	if len(findings) != 1 || !strings.Contains(findings[0], want) {
		t.Errorf("findings are %q, want one with %q", findings, want)
	}
}

func TestHouseModulesRefuse(t *testing.T) {
	l, err := parseLaw(lawForTest)
	if err != nil {
		t.Fatal(err)
	}
	const both = "require (\n\tgo.etcd.io/bbolt v1.5.0\n\tgithub.com/rs/zerolog v1.35.1\n"
	cases := []struct{ name, gomod, want string }{
		{"all named", both + "\texample.org/lib v1.0.0 // indirect\n)\n", ""},
		{"without a reason", both + "\texample.org/lib v1.0.0\n)\n", "go.mod requires example.org/lib"},
		{"without a requirement", "require go.etcd.io/bbolt v1.5.0\n", "CONTRIBUTING.md names github.com/rs/zerolog"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { expectOne(t, l.checkModules(c.gomod), c.want) })
	}
}
