package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// TestE2EInstallPage walks the page on installing, in a folder instead of
// /etc/edgehold, with an authority and a port of its own.
func TestE2EInstallPage(t *testing.T) {
	t.Parallel()
	p := newInitPlace(t, draintest.Options{Token: goodToken})
	p.config = filepath.Join(p.dir, "edgehold.yaml")
	host := strings.Replace(strings.TrimPrefix(p.url, "https://"), "127.0.0.1", "localhost", 1)
	bin := filepath.Join(p.dir, "bin")
	script := func(name, text string) {
		if err := os.Chmod(p.file("bin/"+name, "#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script("sudo", "exec \"$@\"\n")
	script("edgehold", fmt.Sprintf("c=$1; shift\n[ $c != init ] || set -- --ca-file %s --port %s \"$@\"\nexec %s $c --config %s \"$@\"\n", p.ca, p.port, program(t), p.config))
	toPage := strings.NewReplacer(host, "abc12345.live.dynatrace.com", "localhost", "abc12345.live.dynatrace.com", p.dir, "/etc/edgehold")
	fromPage := strings.NewReplacer("abc12345.live.dynatrace.com", host, "/root/", p.dir+"/", "192.0.2.0/24", "127.0.0.1", "sudo edgehold run", "edgehold run", "sudo edgehold status", "edgehold status")
	w := walker{t: t, dir: p.dir, home: p.dir, variables: []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, plain: toPage.Replace}
	steps := manualSteps(t, "install.md")
	if len(steps) != 4 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps {
		s.commands = fromPage.Replace(s.commands)
		switch {
		case s.commands == "sudo edgehold init\n":
			asPageSays(t, s, filepath.Join(bin, "edgehold"), fromPage, toPage)
			p.file("config.d/quick.yaml", "buffer: {commit_interval: 1s}\n")
		default:
			w.walk(s)
		}
	}
}

var prompt = regexp.MustCompile(`(?m)^([A-Z][^…\n]*?) ?(?:…|\[[^\]]*\])?: ([^\n]*)$`)

// overwritten is what a bar has shown before the rest of its line.
var overwritten = regexp.MustCompile(`(?m)^.*\r`)

// asPageSays answers at a terminal as the page does, and secrets beside it.
func asPageSays(t *testing.T, s manualStep, program string, fromPage, toPage *strings.Replacer) {
	t.Helper()
	k := converseWith(t, program, "init")
	asked := prompt.FindAllStringSubmatch(s.says, -1)
	if len(asked) != 8 {
		t.Fatalf("%d questions on the page: %q", len(asked), asked)
	}
	for _, q := range asked {
		answer := fromPage.Replace(q[2])
		switch {
		case strings.HasPrefix(q[1], "Token"):
			answer = goodToken
		case strings.HasPrefix(q[1], "Community"):
			answer = goodCommunity
		}
		k.await(q[1])
		k.answer(": ", answer+"\n")
	}
	k.ends(0)
	silent(t, k.said())
	text := overwritten.ReplaceAllString(strings.ReplaceAll(toPage.Replace(k.said()), "\r\n", "\n"), "")
	text = strings.ReplaceAll(text, ": 127.0.0.1\n", ": 192.0.2.0/24\n")
	if missing, ok := shows(text, s.says); !ok {
		t.Fatalf("line %d: %q is not in:\n%s", s.line, missing, text)
	}
}
