package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign"
)

// Whatever a package or a path holds, an error never speaks to the terminal.
func TestErrorsHoldNoEscapes(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\r"
	w := newWorkshop(t)
	w.file("evil/extension.yaml", "name: \"custom:\\e[2J\"\nversion: \"\\e]0;x\\a\"\nsnmp: 5\n")
	inner, err := sign.Build(w.in("evil"), sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	zip := w.file("evil.zip", string(inner))
	folder := w.in("dir" + evil)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	config := w.file("evil.yaml", "extensions:\n  - \"\\e[2J\": 1\n    package: \"/none/\\e[2J\"\n")
	for _, args := range [][]string{
		{evil},
		{"--" + evil},
		{"check", "--config", evil},
		{"check", "--config", config},
		{"reload", "--config", config},
		{"ext", "verify", evil, "--roots", w.in("roots")},
		{"ext", "verify", zip, "--roots", w.in("roots")},
		{"ext", "install", zip, "--roots", w.in("roots"), "--state-dir", w.in("state")},
		{"ext", "show", evil},
		{"ext", "show", zip},
		{"ext", "build", folder},
		{"ext", "build", w.in("evil")},
		{"ext", "sign", zip, "--cert", evil},
		{"ext", "remove", evil, "--state-dir", w.in("state")},
		{"ext", "adopt", zip, "--cert", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key")},
		{"ext", "resign", evil, "--old", w.in("anna/anna.pem"), "--new", w.in("bert/bert.pem"), "--key", w.in("bert/bert.key")},
		{"ext", "cert", "--ca", evil, "--category", "c", "--name", evil, "--out", evil, "--plain"},
		{"ext", "deny", "--ca", w.in("ca"), "--version", evil + "@" + evil},
		{"ext", "lint", folder},
		{"status", "--config", evil},
		{"history", evil, "--config", config},
	} {
		s := run(args...)
		if s.code == exitOK && args[1] != "show" {
			t.Errorf("%q: exit 0", args)
		}
		for _, text := range []string{s.out, s.err} {
			if at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); at >= 0 {
				t.Errorf("%q: the terminal is told %q", args, text[max(0, at-40):min(len(text), at+40)])
			}
		}
	}
	// Line breaks stay.
	if text := plainText("a\nb\x1b"); !strings.HasPrefix(text, "a\nb") || strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}

// pflag takes a word in back quotes for the type of a flag.
func TestFlagsHaveNoBackQuotes(t *testing.T) {
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		each(cmd.Flags().VisitAll, func(flag string) {
			if strings.Contains(flag, "`") {
				t.Errorf("%s: %s", cmd.CommandPath(), flag)
			}
		})
		for _, c := range cmd.Commands() {
			look(c)
		}
	}
	look(newRoot())
}

// each gives the flags with all their fields, as text.
func each[F any](visitAll func(func(F)), look func(flag string)) {
	visitAll(func(f F) { look(fmt.Sprintf("%+v", f)) })
}

// A pipe or a device in place of a file is refused at once.
func TestPipesAreRefused(t *testing.T) {
	w := newWorkshop(t)
	pipe := w.in("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := w.pack("switch", "1.0.0", "uptime", sysUpTime)
	w.ok("ext", "build", dir)
	unsigned := w.in("custom_plant.switch-1.0.0.unsigned.zip")
	anna, key := w.in("anna/anna.pem"), w.in("anna/anna.key")
	newcomer := []string{"ext", "cert", "--ca", w.in("ca"), "--category", "network", "--name", "carl", "--out", w.in("carl")}
	for _, file := range []string{pipe, "/dev/zero"} {
		for _, args := range [][]string{
			append(slices.Clone(newcomer), "--csr", file),
			{"ext", "build", file},
			{"ext", "sign", file, "--cert", anna, "--key", key},
			{"ext", "sign", unsigned, "--cert", file, "--key", key},
			{"ext", "sign", unsigned, "--cert", anna, "--key", file},
			{"ext", "adopt", file, "--cert", anna, "--key", key},
			{"ext", "resign", dir, "--old", file, "--new", anna, "--key", key},
			{"ext", "renew", "--ca", w.in("ca"), "--cert", file},
			{"ext", "revoke", "--ca", w.in("ca"), "--cert", file},
			{"ext", "verify", file, "--roots", w.in("roots")},
			{"ext", "show", file},
		} {
			s := run(args...)
			if s.code == exitOK || !strings.Contains(s.err, file) || !strings.Contains(s.err, "not a") {
				t.Errorf("%q: exit %d, %s", args, s.code, s.err)
			}
		}
	}
}

// A certificate is not made for a place or a category that does not do, and no
// key either.
func TestExtCertChecksFirst(t *testing.T) {
	w := newWorkshop(t)
	cert := func(more ...string) said {
		return run(append([]string{"ext", "cert", "--ca", w.in("ca"), "--plain"}, more...)...)
	}
	s := cert("--category", "network", "--name", "anna", "--out", w.in("anna"))
	s.want(t, exitError, "", "exists already")
	s = cert("--category", "network", "--name", "carl", "--out", w.in("ca/carl"))
	s.want(t, exitError, "", "folder of the root key")
	if strings.Contains(s.err, "making an RSA key") {
		t.Errorf("a key was made first: %s", s.err)
	}
	for _, category := range []string{"my net", "-x", strings.Repeat("c", 65), "a/b"} {
		cert("--category", category, "--name", "carl", "--out", w.in("carl")).want(t, exitUsage, "", "is not the name of a category")
	}
	if _, err := os.Stat(w.in("carl")); err == nil {
		t.Error("a folder was made")
	}
}

func TestExtRenewOfARevokedKey(t *testing.T) {
	w := newWorkshop(t)
	w.ok("ext", "revoke", "--ca", w.in("ca"), "--cert", w.in("anna/anna.pem"))
	run("ext", "renew", "--ca", w.in("ca"), "--cert", w.in("anna/anna.pem"), "--out", w.in("next")).want(t, exitError, "", "--new-key")
	if _, err := os.Stat(w.in("next")); err == nil {
		t.Error("an empty folder was left")
	}
}

// Nothing is signed with a certificate that this site has taken back.
func TestTakenBackSignersSignNothing(t *testing.T) {
	w := newWorkshop(t)
	old := w.bundle("1.0.0", "uptime", "anna")
	before := mustRead(t, old)
	w.ok("ext", "deny", "--ca", w.in("ca"), "--cert", w.in("bert/bert.pem"), "--out", w.in("roots/deny.json"))
	config := w.configuration("allow_unsigned: false")
	signer := []string{"--key", w.in("bert/bert.key")}
	for _, site := range [][]string{{"--roots", w.in("roots")}, {"--config", config}} {
		resign := slices.Concat([]string{"ext", "resign", "--old", w.in("anna/anna.pem"), "--new", w.in("bert/bert.pem"), filepath.Dir(old)}, signer, site)
		run(resign...).want(t, exitCheck, "", "nothing was signed: the certificate \"CN=bert,OU=network\"")
		adopt := slices.Concat([]string{"ext", "adopt", old, "--yes", "--cert", w.in("bert/bert.pem"), "--out", w.in("out.zip"), "--state-dir", w.in("state")}, signer, site)
		run(adopt...).want(t, exitCheck, "", "make another certificate with `edgehold ext cert`")
	}
	if _, err := os.Stat(w.in("out.zip")); err == nil || string(before) != string(mustRead(t, old)) {
		t.Error("something was signed")
	}
	// A stranger to the site that is named is refused too; a good one signs.
	other := newWorkshop(t)
	run("ext", "resign", "--old", w.in("anna/anna.pem"), "--new", other.in("anna/anna.pem"), "--key", other.in("anna/anna.key"), filepath.Dir(old), "--roots", w.in("roots")).
		want(t, exitCheck, "", "by the rule wrong_root")
	w.ok("ext", "cert", "--ca", w.in("ca"), "--category", "network", "--name", "carl", "--out", w.in("carl"), "--key", "p256", "--plain")
	run("ext", "resign", "--old", w.in("anna/anna.pem"), "--new", w.in("carl/carl.pem"), "--key", w.in("carl/carl.key"), filepath.Dir(old), "--roots", w.in("roots")).
		want(t, exitOK, "1 package signed again", "")
}

// What lint refuses is not adopted, but by who says so.
func TestAdoptRefusesLintErrors(t *testing.T) {
	w := newWorkshop(t)
	dir := w.pack("switch", "1.0.0", "uptime", sysUpTime)
	manifest := string(w.read("switch/extension.yaml"))
	w.file("switch/extension.yaml", strings.Replace(manifest, "type: gauge", "type: gouge", 1))
	inner, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	zip := w.file("bad.zip", string(inner))
	adopt := []string{"ext", "adopt", zip, "--yes", "--cert", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key"), "--out", w.in("out.zip"), "--state-dir", w.in("state")}
	run(adopt...).want(t, exitCheck, "error: ", "--force-lint")
	if _, err := os.Stat(w.in("out.zip")); err == nil {
		t.Fatal("it was signed")
	}
	run(append(adopt, "--force-lint")...).want(t, exitOK, "signed ", "")
	// A key that stands there twice is an error that nothing forces.
	w.file("switch/extension.yaml", manifest+"version: 2.0.0\n")
	if inner, err = sign.Build(dir, sign.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	w.file("bad.zip", string(inner))
	run(append(adopt, "--force-lint", "--force")...).want(t, exitError, "", `"version" is given twice, on line 2 and on line`)
}

// The review compares with the highest version, and says what stands against
// the package here.
func TestAdoptComparesWithTheHighest(t *testing.T) {
	w := newWorkshop(t)
	low, high := w.bundle("1.0.0", "uptime", "anna"), w.bundle("2.0.0", "uptime", "anna")
	w.install(low).want(t, exitOK, "", "")
	w.install(high).want(t, exitOK, "", "")
	w.install("custom:plant.switch@1.0.0", "--allow-downgrade").want(t, exitOK, "", "")
	review := func(bundle string) said {
		return run("ext", "adopt", bundle, "--cert", w.in("bert/bert.pem"), "--key", w.in("bert/bert.key"), "--state-dir", w.in("state"), "--out", w.in("no.zip"))
	}
	review(w.bundle("3.0.0", "contact", "anna")).want(t, exitUsage, "against the installed version 2.0.0", "")
	review(w.bundle("2.0.0", "contact", "anna")).want(t, exitUsage, "NOTE: it could not be used here as it is: custom:plant.switch 2.0.0 is known with other content", "")
	if s := review(high); strings.Contains(s.out, "NOTE") {
		t.Error(s.out)
	}
}

// With --roots a verdict says what it leaves out.
func TestVerifyWithRootsSaysWhatItLeavesOut(t *testing.T) {
	w := newWorkshop(t)
	bundle := w.bundle("1.0.0", "uptime", "anna")
	s := run("ext", "verify", bundle, "--roots", w.in("roots"))
	for _, want := range []string{"unit       network", "category   not known", "name it with --config", "are not consulted"} {
		s.want(t, exitOK, want, "")
	}
	run("ext", "verify", bundle, "--roots", w.in("roots"), "--json").want(t, exitOK, `"units": [`, "")
	s = run("ext", "verify", bundle, "--config", w.configuration("allow_unsigned: false"))
	s.want(t, exitOK, "unit       network", "")
	if strings.Contains(s.out, "not consulted") || !strings.Contains(s.out, "category   none") {
		t.Error(s.out)
	}
}

// Who did it is told by a number that nobody chooses, whatever the environment
// says.
func TestHistoryTellsTheRealUser(t *testing.T) {
	w := newWorkshop(t)
	t.Setenv("SUDO_USER", "")
	t.Setenv("USER", "somebody\x1b[2Jelse")
	w.install(w.bundle("1.0.0", "uptime", "anna")).want(t, exitOK, "", "")
	s := run("ext", "history", "--state-dir", w.in("state"), "--json")
	s.want(t, exitOK, fmt.Sprintf(`"by": "uid %d, USER=somebody`, os.Getuid()), "")
	t.Setenv("SUDO_USER", "anna")
	if by := userName(); by != fmt.Sprintf("uid %d, SUDO_USER=anna", os.Getuid()) {
		t.Error(by)
	}
}

// A version that has another spelling gets in nowhere.
func TestVersionsOfAnotherSpelling(t *testing.T) {
	w := newWorkshop(t)
	dir := w.pack("switch", "01.0.0", "uptime", sysUpTime)
	run("ext", "build", dir).want(t, exitCheck, "", "so nothing was built")
	inner, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	zip := w.file("odd.zip", string(inner))
	run("ext", "sign", zip, "--cert", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key")).want(t, exitCheck, "", "three numbers without leading zeros")
	path := w.configuration("allow_unsigned: true")
	run("ext", "install", zip, "--config", path).want(t, exitCheck, "", "refused by the rule identity")
	run("ext", "verify", zip, "--config", path).want(t, exitCheck, "", "refused by the rule identity")
}
