package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

func TestEntryErrorsAllHaveAPlace(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{errors.New("a fault"), []string{"a fault"}},
		{fmt.Errorf("e.yaml:7:3: %w", errors.New("a fault")), []string{"e.yaml:7:3: a fault"}},
		{
			fmt.Errorf("e.yaml:7:3: %w", errors.Join(errors.New("x"), errors.New("t.csv:2: y"), errors.New("p.yaml:1:2: z"))),
			[]string{"e.yaml:7:3: x", "e.yaml:7:3: t.csv:2: y", "p.yaml:1:2: z"},
		},
	} {
		if got := entryErrors(tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// One misspelt credential is one error, however many devices use it.
func TestCheckTellsOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "e.yaml")
	write := func(credential string) {
		text := "site: s\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\ncredentials: {ro: {community_file: c}}\n" +
			"probes:\n  - {kind: snmp, devices: [192.0.2.1, 192.0.2.2, 192.0.2.3], credentials: [" + credential + "]}\n"
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "c"), []byte("red"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("rw")
	s := run("check", "--config", file)
	s.want(t, exitConfig, "", "e.yaml:5:5: credentials[0]: there is no credential \"rw\"")
	s.want(t, exitConfig, "", "e.yaml: 1 error; nothing was changed")
	write("ro")
	run("check", "--config", file).want(t, exitOK, "built-in snmp: 3 devices, 3 tasks\n    about ", "")
}

func TestManyProblemsOfARecording(t *testing.T) {
	problems := slices.Repeat([]snmptest.Problem{{Line: 1, Reason: strings.Repeat("é", 400)}}, 12)
	var out bytes.Buffer
	sayProblems(&out, "r", problems)
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 12 || lines[10] != "r: 2 further lines are left out" || !strings.HasSuffix(lines[0], "é...: left out") || len(lines[0]) > 400 {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
}
