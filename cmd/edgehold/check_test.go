package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

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
	s.want(t, exitConfig, "", "e.yaml:5:5: probes[0].credentials[0]: there is no credential \"rw\"")
	s.want(t, exitConfig, "", "e.yaml: 1 error; nothing was changed")
	write("ro")
	run("check", "--config", file).want(t, exitOK, "built-in snmp: 3 devices, 3 tasks\n    about ", "")
}

// What an entry asks is called what it is.
func TestCheckNamesWhatIsAsked(t *testing.T) {
	for want, e := range map[string]checkEntry{
		"1 device":                               {Devices: 1},
		"2 endpoints":                            {Endpoints: 2},
		"1 trap receiver":                        {Receivers: 1},
		"2 devices, 1 endpoint, 1 trap receiver": {Devices: 2, Endpoints: 1, Receivers: 1},
		"nothing is asked":                       {},
	} {
		if got := e.asked(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
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
