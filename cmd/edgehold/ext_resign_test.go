package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/cms"
)

// expired makes a certificate that has ended, and signs with it.
func expired(t *testing.T, inner []byte) (certificate, signature []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ended := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "old"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1000, 0)}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}}
	der, err := x509.CreateCertificate(rand.Reader, ended, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if signature, err = cms.SignDetached(inner, cert, key); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), signature
}

func TestExtResign(t *testing.T) {
	w := newWorkshop(t)
	w.ok("ext", "cert", "--ca", w.in("ca"), "--category", "network", "--name", "carla", "--out", w.in("carla"), "--key", "p256", "--plain")
	annas, berts := mustRead(t, w.bundle("1.0.0", "uptime", "anna")), mustRead(t, w.bundle("1.0.0", "uptime", "bert"))
	parts, err := sign.Split(annas, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.Replace(parts.Inner, []byte("PK"), []byte("PK"), 1)
	otherInner, err := sign.Split(mustRead(t, w.bundle("3.0.0", "uptime", "bert")), sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	w.file("p/a.zip", string(annas))
	w.file("p/deep/er/bundle-without-suffix", string(annas))
	w.file("p/pair/extension.zip", string(parts.Inner))
	w.file("p/pair/extension.zip.sig", string(parts.Signature))
	w.file("p/bert.zip", string(berts))
	w.file("p/unsigned.zip", string(foreign))
	w.file("p/readme.txt", "PK is not enough")
	w.file("p/earlier.zip.old", string(annas))
	w.file("p/broken.zip", string(sign.WriteBundle(otherInner.Inner, parts.Signature))) // the signature of another package
	if err := os.Chmod(w.in("p/a.zip"), 0o640); err != nil {
		t.Fatal(err)
	}
	resign := func(more ...string) said {
		return run(append([]string{"ext", "resign", "--old", w.in("anna/anna.pem"), "--new", w.in("carla/carla.pem"), "--key", w.in("carla/carla.key"), w.in("p")}, more...)...)
	}
	s := resign("--json")
	var r resignReport
	if err := json.Unmarshal([]byte(s.out), &r); err != nil || s.code != exitCheck {
		t.Fatalf("exit %d, %v\n%s%s", s.code, err, s.out, s.err)
	}
	var done []string
	for _, one := range r.Resigned {
		done = append(done, strings.TrimPrefix(one.Path, w.in("p")+"/"))
		if one.Backup != one.Path+".old" {
			t.Errorf("backup of %s is %s", one.Path, one.Backup)
		}
	}
	slices.Sort(done)
	if want := []string{"a.zip", "deep/er/bundle-without-suffix", "pair/extension.zip.sig"}; !slices.Equal(done, want) {
		t.Errorf("signed again: %q, want %q", done, want)
	}
	if len(r.Failed) != 1 || r.Failed[0].Path != w.in("p/broken.zip") || r.Others != 1 || r.Unsigned != 1 || r.Done != 0 {
		t.Errorf("report %+v", r)
	}
	for _, path := range []string{"p/a.zip", "p/deep/er/bundle-without-suffix", "p/pair/extension.zip"} {
		run("ext", "verify", w.in(path), "--roots", w.in("roots")).want(t, exitOK, "signer     CN=carla", "")
	}
	w.opensslVerify(w.in("p/a.zip"))
	if !bytes.Equal(w.read("p/a.zip.old"), annas) || !bytes.Equal(w.read("p/pair/extension.zip.sig.old"), parts.Signature) || !bytes.Equal(w.read("p/bert.zip"), berts) {
		t.Error("a file is not what it was")
	}
	if info, err := os.Stat(w.in("p/a.zip")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Once more there is nothing left to do.
	resign().want(t, exitCheck, "0 packages signed again, 1 failed; left as they are: 1 of other signers, 3 signed by the new certificate already, 1 unsigned", "")
	if left, _ := filepath.Glob(w.in("p/.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// The backup of before stays when the file is replaced again.
	w.file("p/a.zip", string(annas))
	resign().want(t, exitCheck, "1 package signed again", "")
	if !bytes.Equal(w.read("p/a.zip.old2"), annas) {
		t.Error("no second backup")
	}
	w.file("q/a.zip", string(annas))
	run("ext", "resign", "--old", w.in("anna/anna.pem"), "--new", w.in("carla/carla.pem"), "--key", w.in("carla/carla.key"), "--no-backup", w.in("q")).want(t, exitOK, "signed again  "+w.in("q/a.zip"), "")
	if _, err := os.Stat(w.in("q/a.zip.old")); err == nil {
		t.Error("a backup was kept")
	}
}

// The old certificate may have ended, or be another one of the same key.
func TestExtResignOld(t *testing.T) {
	w := newWorkshop(t)
	parts, err := sign.Split(mustRead(t, w.bundle("1.0.0", "uptime", "anna")), sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	certificate, signature := expired(t, parts.Inner)
	old := w.file("old.pem", string(certificate))
	w.file("p/a.zip", string(sign.WriteBundle(parts.Inner, signature)))
	to := []string{"--new", w.in("bert/bert.pem"), "--key", w.in("bert/bert.key")}
	run(append([]string{"ext", "resign", "--old", old, w.in("p")}, to...)...).want(t, exitOK, "1 package signed again, 0 failed", "")
	run("ext", "verify", w.in("p/a.zip"), "--roots", w.in("roots")).want(t, exitOK, "CN=bert", "")

	// A renewed certificate has the key of the one before.
	w.ok("ext", "renew", "--ca", w.in("ca"), "--cert", w.in("bert/bert.pem"), "--out", w.in("bert2"))
	renewed, err := filepath.Glob(w.in("bert2/*.pem"))
	if err != nil || len(renewed) != 1 {
		t.Fatalf("%q, %v", renewed, err)
	}
	again := []string{"ext", "resign", "--old", w.in("bert/bert.pem"), "--new", renewed[0], "--key", w.in("bert/bert.key"), w.in("p")}
	run(again...).want(t, exitOK, "1 package signed again", "the new certificate has the key of the old one")
	run(again...).want(t, exitOK, "0 packages signed again, 0 failed; left as they are: 0 of other signers, 1 signed by the new", "")
	// Whoever looks for the old one finds what the renewed one signed.
	run("ext", "resign", "--old", w.in("bert/bert.pem"), "--new", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key"), w.in("p")).want(t, exitOK, "1 package signed again", "")

	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--old", w.in("bert/bert.pem")}, exitUsage, "the same certificate"},
		{[]string{"--old", w.in("none.pem")}, exitError, "none.pem"},
		{[]string{"--old", w.in("p/a.zip")}, exitError, "holds no certificate"},
	} {
		run(append(append([]string{"ext", "resign", w.in("p")}, c.args...), to...)...).want(t, c.code, "", c.want)
	}
	run(append([]string{"ext", "resign", "--old", old, w.in("none")}, to...)...).want(t, exitCheck, "FAILED", "")
}

// A leaked certificate: what it signed is refused once it is revoked, and is
// installed again under a new one.
func TestExtLeak(t *testing.T) {
	w := newWorkshop(t)
	bundle := w.bundle("1.0.0", "uptime", "anna")
	here := []string{"--roots", w.in("roots"), "--state-dir", w.in("state")}
	w.install(bundle).want(t, exitOK, "", "")
	w.ok("ext", "revoke", "--ca", w.in("ca"), "--cert", w.in("anna/anna.pem"), "--crl", w.in("roots/ca.crl"))
	run(append([]string{"ext", "list"}, here...)...).want(t, exitOK, "REFUSED: revoked", "")
	w.install(bundle).want(t, exitCheck, "", "refused by the rule revoked")
	w.ok("ext", "resign", "--old", w.in("anna/anna.pem"), "--new", w.in("bert/bert.pem"), "--key", w.in("bert/bert.key"), filepath.Dir(bundle))
	w.install(bundle).want(t, exitOK, "signed by CN=bert", "")
	run(append([]string{"ext", "list"}, here...)...).want(t, exitOK, "CN=bert,OU=network  -", "")
	run("ext", "history", "--state-dir", w.in("state")).want(t, exitOK, "signed again; the signer was ", "")
}

func TestExtAdopt(t *testing.T) {
	author, w := newWorkshop(t), newWorkshop(t)
	bundle := author.bundle("2.0.0", "uptime", "anna")
	me := []string{"--cert", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key"), "--state-dir", w.in("state")}
	adopt := func(more ...string) said { return run(slices.Concat([]string{"ext", "adopt"}, more, me)...) }
	out := w.in("adopted.zip")
	w.install(bundle).want(t, exitCheck, "", "wrong_root")
	s := adopt(bundle, "--out", out)
	s.want(t, exitUsage, "the signature fits; whether this is who it says is not known", "add --yes")
	s.want(t, exitUsage, "no version of it is installed here", "")
	if _, err := os.Stat(out); err == nil {
		t.Fatal("it was signed without an answer")
	}
	adopt(bundle, "--yes").want(t, exitError, "", "exists already and is left as it is")
	adopt(bundle, "--out", out, "--yes").want(t, exitOK, "signed "+out, "")
	w.opensslVerify(out)
	theirs, err := sign.Split(mustRead(t, bundle), sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := sign.Split(mustRead(t, out), sign.DefaultLimits())
	if err != nil || !bytes.Equal(ours.Inner, theirs.Inner) {
		t.Errorf("the content is another, %v", err)
	}
	if _, err := os.Stat(w.in("state/extensions")); err == nil {
		t.Error("a machine without packages got a history")
	}
	w.install(out).want(t, exitOK, "", "")

	// The next version asks for more: the review says what.
	author.pack("next", "3.0.0", "contact", "1.3.6.1.4.1.9.1.0")
	author.file("next/alerts/a.json", "{}")
	author.ok("ext", "build", author.in("next"))
	s = adopt(author.in("custom_plant.switch-3.0.0.unsigned.zip"), "--out", w.in("next.zip"), "--yes")
	for _, want := range []string{
		"signer     NOBODY", "against the installed version 2.0.0", "asks for more: OID          1.3.6.1.4.1.9.1.0", "no longer asks for: OID          " + sysUpTime,
		"new file alerts/a.json", "- version: 2.0.0", "+ version: 3.0.0", "+       - {key: plant.contact", "lint       ",
	} {
		s.want(t, exitOK, want, "")
	}
	run("ext", "history", "--state-dir", w.in("state")).want(t, exitOK, "adopt", "")

	broken := w.file("broken.zip", string(sign.WriteBundle(theirs.Inner[:len(theirs.Inner):len(theirs.Inner)], bytes.Replace(theirs.Signature, []byte("\n"), []byte("\nx"), 1))))
	adopt(broken, "--out", w.in("x.zip"), "--yes").want(t, exitCheck, "", "its signature does not fit")
}

// What diffLines tells leads from one text to the other.
func TestDiffLines(t *testing.T) {
	if got := diffLines([]string{"a", "b", "c", "d", "e", "f", "g"}, []string{"a", "b", "x", "d", "e", "f", "y", "g"}); !slices.Equal(got,
		[]string{"  b", "- c", "+ x", "  d", "  ...", "+ y", "  g"}) {
		t.Errorf("%q", got)
	}
	if got := diffLines(nil, nil); len(got) > 0 {
		t.Errorf("%q", got)
	}
	long := slices.Repeat([]string{"x", "y"}, 2000)
	if got := diffLines(long, slices.Repeat([]string{"z"}, 4000)); len(got) != 1 || got[0] != "from line 1 on, 4000 lines became 4000 others" {
		t.Errorf("%d lines", len(got))
	}
}

// No line is told to be gone or new that is not, and none is left out.
func TestDiffLinesCount(t *testing.T) {
	source := mathrand.New(mathrand.NewPCG(1, 2))
	lines := func() (out []string) {
		for range source.IntN(12) {
			out = append(out, string(rune('a'+source.IntN(4))))
		}
		return out
	}
	for range 5000 {
		before, after := lines(), lines()
		count := map[string]int{}
		for _, line := range before {
			count[line]++
		}
		for _, line := range diffLines(before, after) {
			switch line[:2] {
			case "- ":
				count[line[2:]]--
			case "+ ":
				count[line[2:]]++
			}
		}
		for _, line := range after {
			count[line]--
		}
		for line, n := range count {
			if n != 0 {
				t.Fatalf("%q to %q: %d lines %q too many", before, after, n, line)
			}
		}
	}
}
