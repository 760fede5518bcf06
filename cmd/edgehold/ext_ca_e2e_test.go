package main_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
)

// authorityFiles is a folder with files of pass phrases.
func authorityFiles(t *testing.T) (in func(string) string) {
	t.Helper()
	dir := t.TempDir()
	in = func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"root.pass": "root phrase here\n", "dev.pass": "dev phrase here", "wrong.pass": "some other phrase"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// makeRoot makes a root in the folder "ca".
func makeRoot(t *testing.T, in func(string) string, more ...string) {
	t.Helper()
	edgehold(t, append([]string{"ext", "ca", "--out", in("ca"), "--name", "Plant 7", "--pass-file", in("root.pass")}, more...)...).
		mustSay(t, 0, "install -m 644 "+in("ca/ca.pem")+" /etc/edgehold/certificates/plant-7.pem", "edgehold ext cert --ca "+in("ca"))
}

func signer(t *testing.T, cert, key, phrase string) (*ca.Made, error) {
	t.Helper()
	c, _, err := ca.LoadSigner(cert, key, func() ([]byte, error) { return []byte(phrase), nil })
	return &ca.Made{Certificate: c, CertFile: cert, KeyFile: key}, err
}

// TestE2ECertificateAuthority goes the way of a small team: root, developers,
// renewal, revocation, deny list.
func TestE2ECertificateAuthority(t *testing.T) {
	t.Parallel()
	in := authorityFiles(t)
	makeRoot(t, in)
	if root, err := signer(t, in("ca/ca.pem"), in("ca/ca.key"), "root phrase here"); err != nil || root.Certificate.PublicKeyAlgorithm != x509.RSA ||
		root.Certificate.PublicKey.(*rsa.PublicKey).N.BitLen() != 4096 {
		t.Fatalf("no RSA key of 4096 bits: %v", err)
	}
	rooted := []string{"--ca", in("ca"), "--pass-file", in("root.pass")}
	ext := func(name string, args ...string) result {
		return edgehold(t, append(append([]string{"ext", name}, rooted...), args...)...)
	}
	ext("cert", "--category", "network", "--name", "Anna", "--out", in("anna"), "--key-pass-file", in("dev.pass"), "--fused").
		mustSay(t, 0, in("anna/anna.pem"), in("anna/anna.key")+" (with a pass phrase)", in("anna/anna-fused.pem"), "warning", "without a pass phrase", "takes a while")
	anna, err := signer(t, in("anna/anna.pem"), in("anna/anna.key"), "dev phrase here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer(t, in("anna/anna-fused.pem"), "", ""); err != nil {
		t.Error(err)
	}

	csr := exec.Command("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bert", "-keyout", in("bert.key"), "-out", in("bert.csr"))
	if _, err := exec.LookPath("openssl"); err == nil || os.Getenv("CI") == "true" {
		finish(t, csr).mustSay(t, 0)
		ext("cert", "--category", "sensors", "--csr", in("bert.csr"), "--out", in("bert")).mustSay(t, 0, in("bert/bert.pem"))
		if _, err := signer(t, in("bert/bert.pem"), in("bert.key"), ""); err != nil {
			t.Error(err)
		}
	} else {
		t.Log("openssl is not installed; no CSR is tried")
	}

	ext("renew", "--cert", in("anna/anna.pem"), "--new-key", "--key", "p256", "--plain").mustSay(t, 0, in("anna/anna-2.key")+" (no pass phrase)")
	ext("renew", "--cert", in("anna/anna.pem"), "--days", "30", "--out", in("elsewhere")).mustSay(t, 0, in("elsewhere/anna.pem"))
	serial := anna.Certificate.SerialNumber.Text(16)
	ext("revoke", "--serial", serial, "--reason", "keyCompromise", "--crl", in("plant.crl")).
		mustSay(t, 0, "revoked "+serial+" (Anna, category network)", "CRL number 1", "/etc/edgehold/certificates/plant-7.crl")
	ext("revoke").mustSay(t, 0, "nothing new is revoked", "CRL number 2")

	pack := in("pack.zip")
	digest := writePackage(t, pack)
	ext("deny", "--package", pack, "--version", "custom:pumps@1.0.0", "--serial", serial, "--out", in("deny-plant.json"), "--number", "9").
		mustSay(t, 0, "number 9", "1 certificates, 1 packages, 1 versions", "deny-plant-7.json.sig")
	if data, err := os.ReadFile(in("deny-plant.json")); err != nil || !strings.Contains(string(data), digest) {
		t.Errorf("the package %s is not on the list: %s %v", digest, data, err)
	}
	checkListed(t, in, serial)
}

// writePackage writes a small package and returns its digest.
func writePackage(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), []byte("name: custom:pumps\nversion: 1.0.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := sign.Open(path, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.Digest
}

func checkListed(t *testing.T, in func(string) string, revoked string) {
	t.Helper()
	edgehold(t, "ext", "ca", "list", "--ca", in("ca")).
		mustSay(t, 0, "Plant 7, valid until", "last CRL number 2, last deny list number 9", "SERIAL", revoked, "revoked (keyCompromise)", "network")
	listed := edgehold(t, "ext", "ca", "list", "--ca", in("ca"), "--json")
	var s ca.Summary
	if err := json.Unmarshal([]byte(listed.out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Name != "Plant 7" || s.DaysLeft < 3648 || len(s.Certificates) < 3 || s.Certificates[0].Serial != revoked || s.Certificates[0].State != "revoked" {
		t.Errorf("listed: %+v", s)
	}
}

// TestE2EAuthorityRefuses: exit codes and words of what is refused.
func TestE2EAuthorityRefuses(t *testing.T) {
	t.Parallel()
	in := authorityFiles(t)
	makeRoot(t, in, "--key", "p256")
	if err := os.WriteFile(in("open.pass"), []byte("root phrase here"), 0o644); err != nil {
		t.Fatal(err)
	}
	cert := func(args ...string) []string {
		return append([]string{"cert", "--ca", in("ca"), "--pass-file", in("root.pass"), "--category", "c", "--name", "n", "--key", "p256", "--plain"}, args...)
	}
	for _, tc := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"ca", "--out", in("x")}, 2, []string{"name"}},
		{[]string{"ca", "--out", in("x"), "--name", "x", "--key", "rsa512", "--plain"}, 2, []string{"rsa512", "rsa4096"}},
		{[]string{"ca", "--out", in("x"), "--name", "x", "--plain", "--pass-file", in("root.pass")}, 2, []string{"plain"}},
		{[]string{"ca", "--out", in("ca"), "--name", "x", "--key", "p256", "--plain"}, 1, []string{"not empty", in("ca")}},
		{[]string{"ca", "list"}, 2, []string{"ca"}},
		{[]string{"ca", "lsit"}, 2, []string{"lsit"}},
		{[]string{"ca", "list", "--ca", in("nowhere")}, 1, []string{"nowhere", "no ca.pem"}},
		{cert("--out", in("ca")), 1, []string{in("ca"), "apart", "--out"}},
		{cert("--out", in("ca/dev")), 1, []string{"apart"}},
		{cert("--out", filepath.Dir(in("ca"))), 1, []string{"holds the folder of the root key"}},
		{cert(), 2, []string{"out"}},
		{cert("--out", in("dev"), "--fused"), 1, []string{"RSA keys only"}},
		{cert("--out", in("dev"), "--csr", in("csr")), 2, []string{"csr"}},
		{[]string{"cert", "--ca", in("ca"), "--category", "c", "--out", in("dev")}, 2, []string{"--name"}},
		{[]string{"cert", "--ca", in("ca"), "--pass-file", in("wrong.pass"), "--category", "c", "--name", "n", "--out", in("dev")}, 1, []string{"wrong pass phrase", in("ca/ca.key")}},
		{[]string{"cert", "--ca", in("ca"), "--pass-file", in("open.pass"), "--category", "c", "--name", "n", "--out", in("dev")}, 1, []string{"readable by others", "chmod"}},
		{[]string{"renew", "--ca", in("ca")}, 2, []string{"cert"}},
		{[]string{"renew", "--ca", in("ca"), "--cert", in("c"), "--plain"}, 2, []string{"--plain", "--new-key"}},
		{[]string{"revoke", "--ca", in("ca"), "--cert", "a", "--serial", "b"}, 2, []string{"serial"}},
		{[]string{"revoke", "--ca", in("ca"), "--pass-file", in("root.pass"), "--serial", "12"}, 1, []string{"ext ca list", "ext deny"}},
		{[]string{"deny", "--ca", in("ca")}, 2, []string{"package"}},
		{[]string{"deny", "--ca", in("ca"), "--number", "0", "--serial", "1"}, 2, []string{"--number"}},
		{[]string{"deny", "--ca", in("ca"), "--package", in("ca")}, 1, []string{"extension.yaml"}},
	} {
		cmd := exec.Command(program(t), append([]string{"ext"}, tc.args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal to ask on
		got := finish(t, cmd)
		got.mustSay(t, tc.code, tc.words...)
		if strings.Contains(got.all(), "phrase here") {
			t.Errorf("%q tells a pass phrase:\n%s", tc.args, got.all())
		}
	}
	noTerminal := exec.Command(program(t), "ext", "ca", "--out", in("y"), "--name", "y")
	noTerminal.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	finish(t, noTerminal).mustSay(t, 1, "no terminal", "--pass-file", "--plain")
	for _, name := range []string{"x", "y", "dev"} {
		if _, err := os.Stat(in(name)); err == nil {
			t.Errorf("the folder %s was made", name)
		}
	}
}

// typed runs the program at a terminal, answers its questions and returns how
// it ended and what was to be seen.
func typed(t *testing.T, answers [][2]string, args ...string) (code int, seen *said) {
	t.Helper()
	master, slave := terminal(t)
	cmd := exec.Command(program(t), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen = &said{}
	go func() { _, _ = io.Copy(seen, master) }() // ends with the terminal
	for _, a := range answers {
		eventually(t, "the question "+a[0], func() bool { return seen.has(a[0]) })
		if _, err := master.WriteString(a[1]); err != nil {
			t.Fatal(err)
		}
	}
	over := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // the exit code is looked at
	over.Stop()
	modes, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || modes.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal shows no more what is typed (%v)", err)
	}
	return cmd.ProcessState.ExitCode(), seen
}

// TestE2EPassPhraseTyped: it is asked for twice, not shown, and Ctrl-C leaves.
func TestE2EPassPhraseTyped(t *testing.T) {
	t.Parallel()
	in := authorityFiles(t)
	create := []string{"ext", "ca", "--out", in("ca"), "--name", "Plant 7", "--key", "p256"}
	const first, again = "New pass phrase for the root key: ", "The same again: "
	for _, tc := range []struct {
		answers [][2]string
		code    int
		words   string
	}{
		{[][2]string{{first, "typed phrase\n"}, {again, "typed phrose\n"}}, 1, "differ"},
		{[][2]string{{first, "\n"}}, 1, "no pass phrase was typed"},
		{[][2]string{{first, "short\n"}, {again, "short\n"}}, 1, "8 characters"},
		{[][2]string{{first, "typed\x03"}}, 1, "stopped"},
		{[][2]string{{first, "\x04"}}, 1, "no pass phrase was typed"},
		{[][2]string{{first, "typed phrase\n"}, {again, "typed phrase\n"}}, 0, "made " + in("ca/ca.pem")},
	} {
		code, seen := typed(t, tc.answers, create...)
		if code != tc.code {
			t.Errorf("%q: exit code %d, want %d", tc.answers, code, tc.code)
		}
		eventually(t, tc.words, func() bool { return seen.has(tc.words) })
		if seen.has("typed phrase") {
			t.Errorf("%q: the pass phrase is shown", tc.answers)
		}
	}
	code, seen := typed(t, [][2]string{{"Pass phrase of the root key: ", "typed phrase\n"}},
		"ext", "cert", "--ca", in("ca"), "--category", "network", "--name", "anna", "--out", in("dev"), "--key", "p256", "--plain")
	if code != 0 || seen.has("typed phrase") {
		t.Errorf("exit code %d", code)
	}
	if _, err := signer(t, in("dev/anna.pem"), in("dev/anna.key"), ""); err != nil {
		t.Error(err)
	}
}
