package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests of pages of the manual run the commands that stand there and hold
// what they say against what the page says.

// manualStep is a block of commands of a page of the manual with what it says they
// answer.
type manualStep struct {
	line           int
	commands, says string
}

// manualSteps reads the fenced blocks sh, each with the block text behind it.
func manualSteps(t *testing.T, name string) (steps []manualStep) {
	t.Helper()
	page, err := os.ReadFile("../../packaging/manual/" + name)
	if err != nil {
		t.Fatal(err)
	}
	fence, line := "", 0
	for text := range strings.Lines(string(page)) {
		line++
		opens, isFence := strings.CutPrefix(strings.TrimSpace(text), "```")
		switch {
		case isFence && fence != "":
			fence = ""
		case isFence:
			if fence = opens; fence == "sh" {
				steps = append(steps, manualStep{line: line})
			}
		case fence == "sh":
			steps[len(steps)-1].commands += text
		case fence == "text":
			steps[len(steps)-1].says += text
		}
	}
	return steps
}

// shows tells whether the lines stand in a text in their order, with anything
// for each "…". It gives the first line that is missing.
func shows(text, says string) (missing string, ok bool) {
	lines := strings.Split(text, "\n")
	for want := range strings.Lines(says) {
		want = strings.TrimRight(want, "\n")
		at := slices.IndexFunc(lines, func(l string) bool { return fitsLine(l, strings.Split(want, "…")) })
		if at < 0 {
			return want, false
		}
		lines = lines[at+1:]
	}
	return "", true
}

// fitsLine tells whether a line begins with the first part, ends with the last
// and has the others between.
func fitsLine(line string, parts []string) bool {
	line, ok := strings.CutPrefix(line, parts[0])
	if !ok || len(parts) == 1 {
		return ok && line == ""
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(line, part)
		if !found {
			return false
		}
		line = rest
	}
	return strings.HasSuffix(line, last)
}

func TestShows(t *testing.T) {
	for _, c := range []struct {
		text, says string
		want       bool
	}{
		{"a\nb c d\ne", "b … d\n", true},
		{"a\nb c d\ne", "b … d\ne\n", true},
		{"a\nb c d\ne", "e\na\n", false},
		{"a b", "a\n", false},
		{"a b", "b\n", false},
		{"x=12,y=3", "x=…,y=…\n", true},
		{"x=12", "x=…,y=…\n", false},
		{"abc", "a…c\n", true},
		{"abc", "a…b\n", false},
	} {
		if _, ok := shows(c.text, c.says); ok != c.want {
			t.Errorf("%q in %q: %v", c.says, c.text, ok)
		}
	}
}

// walker goes through a page with a shell.
type walker struct {
	t         *testing.T
	dir       string // where the next commands run
	home      string
	variables []string                 // of the shell
	plain     func(text string) string // gives what is said the addresses of the page
	agent     *process                 // the last one
}

// walk runs one step.
func (w *walker) walk(s manualStep) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(s.commands, "edgehold run"):
		w.agent = launch(w.t, w.shell("exec "+s.commands), filepath.Join(w.home, "agent.log"))
	case onlyLooks(s.commands):
		w.lookFor(s)
	default:
		r := finish(w.t, w.shell(s.commands+"pwd > "+w.home+"/here\n"))
		if missing, ok := shows(w.plain(r.all()), s.says); !ok || r.code != 0 {
			w.t.Fatalf("line %d: exit code %d; %q is not in:\n%s", s.line, r.code, missing, r.all())
		}
		here, err := os.ReadFile(filepath.Join(w.home, "here"))
		if err != nil {
			w.t.Fatal(err)
		}
		w.dir = strings.TrimSpace(string(here))
	}
}

// lookFor gives commands until they say what they are to say.
func (w *walker) lookFor(s manualStep) {
	w.t.Helper()
	var r result
	said := false
	defer func() {
		if !said {
			w.t.Logf("the last time they said:\n%s", r.all())
		}
	}()
	eventually(w.t, fmt.Sprintf("the commands of line %d to say:\n%s", s.line, s.says), func() bool {
		r = finish(w.t, w.shell(s.commands))
		_, said = shows(w.plain(r.all()), s.says)
		said = said && r.code == 0
		return said
	})
}

// onlyLooks tells commands that may be given again until they show what they
// are to show.
func onlyLooks(commands string) bool {
	for line := range strings.Lines(commands) {
		if !strings.HasPrefix(line, "edgehold status ") && !strings.HasPrefix(line, "edgehold history ") {
			return false
		}
	}
	return true
}

func (w *walker) shell(commands string) *exec.Cmd {
	cmd := exec.Command("sh", "-eu", "-c", "exec 2>&1\n"+commands)
	cmd.Dir = w.dir
	cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(program(w.t))+":"+os.Getenv("PATH")), w.variables...)
	return cmd
}

// change edits a file of the page.
func (w *walker) change(name, old, now string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		w.t.Fatalf("%q stands %d times in %s", old, strings.Count(string(text), old), name)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, now, 1)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}
