package main_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests of the house_*_test.go files hold the code against the rules that
// CONTRIBUTING.md states: who may import what, and the shape of the code.

const (
	repoRoot   = "../.."
	modulePath = "github.com/edgehold/edgehold"
)

// source is one parsed Go file. Room is its folder relative to the root, with
// slashes; test says that the name ends in _test.go.
type source struct {
	room, name string
	test       bool
	fset       *token.FileSet
	file       *ast.File
}

func (s source) path() string { return path.Join(s.room, s.name) }

// where is the path and line of a place in the file.
func (s source) where(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path(), s.fset.Position(p).Line)
}

func (s source) lines() int { return s.fset.File(s.file.FileStart).LineCount() }

// load parses every Go file of the module under root, whatever its build tags
// say. Modules of their own, test data and hidden folders are left out.
func load(root string) ([]source, error) {
	var all []source
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && leaveOut(tree, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		s, err := parse(name, string(text))
		all = append(all, s)
		return err
	})
	return all, err
}

func leaveOut(tree fs.FS, folder string) bool {
	base := path.Base(folder)
	if strings.HasPrefix(base, ".") || base == "testdata" || folder == "bin" || folder == "dist" {
		return true
	}
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

// parse reads one file; name is its path relative to the root.
func parse(name, text string) (source, error) {
	s := source{room: path.Dir(name), name: path.Base(name), fset: token.NewFileSet()}
	s.test = strings.HasSuffix(name, "_test.go")
	var err error
	s.file, err = parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

// house loads the repository and what CONTRIBUTING.md says about it.
func house(t *testing.T) ([]source, *law) {
	t.Helper()
	all, err := load(repoRoot)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d Go files found under %s", len(all), repoRoot)
	}
	text, err := os.ReadFile(filepath.Join(repoRoot, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLaw(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return all, l
}

// report fails the test with each finding on a line of its own.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}

func TestHouseImports(t *testing.T) {
	all, l := house(t)
	report(t, l.checkRooms(all))
}

func TestHouseLibraries(t *testing.T) {
	all, l := house(t)
	report(t, l.checkLibraries(all))
	text, err := os.ReadFile(filepath.Join(repoRoot, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	report(t, l.checkModules(string(text)))
}

func TestHouseShape(t *testing.T) {
	all, _ := house(t)
	report(t, checkShape(all))
}

// folders are the top-level folders, all of them and no other. Hidden folders
// and what make builds do not count.
var folders = []string{"agent", "board", "buffer", "cmd", "packaging", "probes", "sign"}

func TestHouseFolders(t *testing.T) {
	entries, err := os.ReadDir(repoRoot)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		built := e.Name() == "bin" || e.Name() == "dist"
		if e.IsDir() && !built && !strings.HasPrefix(e.Name(), ".") {
			found = append(found, e.Name())
		}
	}
	if !slices.Equal(found, folders) {
		t.Errorf("top-level folders are %v, the house has %v", found, folders)
	}
}
