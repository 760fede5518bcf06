package main_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines  = 600
	maxFuncLines  = 59 // for 95 % of the functions
	longPercent   = 5
	maxParameters = 4
	maxNesting    = 3
)

// checkShape holds the guard rails against all files: length, init functions
// and package variables. Length, parameters and nesting of functions are held
// in product code only: a table of cases may be long.
func checkShape(all []source) []string {
	var findings, long []string
	functions := 0
	for _, s := range all {
		if n := s.lines(); n > maxFileLines {
			findings = append(findings, fmt.Sprintf("%s has %d lines, at most %d are allowed", s.path(), n, maxFileLines))
		}
		if !s.test {
			findings = append(findings, checkVariables(s)...)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			findings = append(findings, checkFunction(s, f)...)
			if s.test {
				continue
			}
			functions++
			if n := span(s, f); n > maxFuncLines {
				long = append(long, fmt.Sprintf("%s: function %s has %d lines", s.where(f.Pos()), f.Name.Name, n))
			}
		}
	}
	if len(long)*100 > functions*longPercent {
		findings = append(findings, fmt.Sprintf("%d of %d functions are longer than %d lines, at most %d %% may be:\n%s",
			len(long), functions, maxFuncLines, longPercent, strings.Join(long, "\n")))
	}
	return findings
}

func span(s source, n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

func checkFunction(s source, f *ast.FuncDecl) []string {
	var findings []string
	say := func(format string, args ...any) {
		findings = append(findings, s.where(f.Pos())+": "+fmt.Sprintf(format, args...))
	}
	name := f.Name.Name
	if name == "init" && f.Recv == nil {
		say("an init function; say it in the code that needs it")
	}
	if s.test {
		return findings
	}
	if n := f.Type.Params.NumFields(); n > maxParameters {
		say("function %s has %d parameters, beyond %d an options struct is wanted", name, n, maxParameters)
	}
	if n := nesting(f.Body); n > maxNesting {
		say("function %s nests %d deep, at most %d are allowed", name, n, maxNesting)
	}
	return findings
}

// nesting is how deep control statements stand inside each other. An else-if
// stands beside its if; a function literal starts anew.
func nesting(body *ast.BlockStmt) int {
	if body == nil {
		return 0
	}
	deepest := 0
	var walk func(n ast.Node, depth int)
	walk = func(n ast.Node, depth int) {
		ast.Inspect(n, func(c ast.Node) bool {
			if c == nil || c == n {
				return true
			}
			switch c := c.(type) {
			case *ast.FuncLit:
				deepest = max(deepest, nesting(c.Body))
				return false
			case *ast.IfStmt:
				if parent, ok := n.(*ast.IfStmt); ok && parent.Else == c {
					walk(c, depth)
					return false
				}
			case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			default:
				return true
			}
			deepest = max(deepest, depth+1)
			walk(c, depth+1)
			return false
		})
	}
	walk(body, 0)
	return deepest
}

// makers are the calls that build an error or a table that nothing changes.
var makers = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer",
	"crc32.MakeTable", "netip.MustParseAddr", "netip.MustParsePrefix", "reflect.TypeFor",
}

// checkVariables allows package variables for errors, tables, embedded files
// and what the linker sets. A table is a literal of no locking type.
func checkVariables(s source) []string {
	var findings []string
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if !allowedVariable(s, g, v) {
				findings = append(findings, fmt.Sprintf("%s: package variable %s is no error, table, embedded file or version",
					s.where(v.Pos()), v.Names[0].Name))
			}
		}
	}
	return findings
}

func allowedVariable(s source, g *ast.GenDecl, v *ast.ValueSpec) bool {
	name := v.Names[0].Name
	link := (name == "version" || name == "commit" || name == "built") && strings.HasPrefix(s.room, "cmd/")
	if name == "_" || link || embeds(g.Doc) || embeds(v.Doc) {
		return true
	}
	return len(v.Values) > 0 && !slices.ContainsFunc(v.Values, func(e ast.Expr) bool {
		return !constantLike(e) && !worksOutTable(s.file, e)
	})
}

// worksOutTable tells a call without arguments to a function of the same file
// that gives an array, a slice or a map.
func worksOutTable(f *ast.File, e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) > 0 {
		return false
	}
	name, ok := call.Fun.(*ast.Ident)
	return ok && slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != name.Name || fn.Type.Results.NumFields() != 1 {
			return false
		}
		switch fn.Type.Results.List[0].Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			return true
		}
		return false
	})
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

func constantLike(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return !strings.HasPrefix(dotted(e.Type), "sync.") && !strings.HasPrefix(dotted(e.Type), "atomic.")
	case *ast.CallExpr:
		switch fun := e.Fun.(type) {
		case *ast.ArrayType, *ast.FuncLit: // []byte("..."), or a table worked out in place
			return true
		case *ast.IndexExpr: // a type argument
			return slices.Contains(makers, dotted(fun.X))
		case *ast.Ident:
			return fun.Name == "append" && constantLike(e.Args[0])
		}
		return slices.Contains(makers, dotted(e.Fun))
	}
	return false
}

// dotted is "package.Name" for a qualified name, otherwise empty.
func dotted(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

func TestHouseShapeRefuse(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"long file", strings.Repeat("\n", maxFileLines), "at most 600 are allowed"},
		{"init", "func init() {}", "an init function"},
		{"parameters", "func f(a, b int, c, d, e string) {}", "function f has 5 parameters"},
		{"nesting", "func f() { for { if true { switch { default: for {} } } } }", "function f nests 4 deep"},
		{"nesting in a literal", "func f() { g(func() { for { for { for { for {} } } } }) }", "function f nests 4 deep"},
		{"long function", "func f() {" + strings.Repeat("\n", 60) + "}", "1 of 1 functions are longer"},
		{"state", "var cache map[string]int", "package variable cache"},
		{"made state", "var cache = make(map[string]int)", "package variable cache"},
		{"lock", "var mu = sync.Mutex{}", "package variable mu"},
		{"made elsewhere", "var cache = build()", "package variable cache"},
		{"made here, no table", "var cache = build()\nfunc build() *T { return nil }", "package variable cache"},
		{"grown state", "var keys = append(others, 1)", "package variable keys"},
		{"pointer", "var root = &Command{}", "package variable root"},
		{"number", "var limit = 5", "package variable limit"},
		{"version outside cmd", "var version = \"dev\"", "package variable version"},
		{"method called init", "func (t T) init() {}", ""},
		{"four parameters", "func f(a, b int, c, d string) {}", ""},
		{"else-if", "func f() { if a { } else if b { } else if c { } else if d { } else if e { } }", ""},
		{"depth three", "func f() { for { if true { for {} } } }", ""},
		{"literal starts anew", "func f() { for { for { go func() { for {} }() } } }", ""},
		{"errors and tables", "var (\n\tErrX = errors.New(\"x\")\n\tnames = map[int]string{1: \"a\"}\n\t_ I = T{}\n)", ""},
		{"table worked out", "var may = table()\nfunc table() (t [256]uint8) { return t }", ""},
		{"type", "var text = reflect.TypeFor[T]()", ""},
		{"longer table", "var keys = append([]string{\"a\"}, more()...)", ""},
		{"embedded", "//go:embed x.yaml\nvar text []byte", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse("agent/x.go", "package x\n"+c.text+"\n")
			if err != nil {
				t.Fatal(err)
			}
			expectOne(t, checkShape([]source{s}), c.want)
		})
	}
}
