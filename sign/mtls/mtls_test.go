package mtls_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/mtls"
)

// kit is an authority in a folder of a test.
type kit struct {
	t   *testing.T
	dir string
	a   *mtls.Authority
	now time.Time
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, dir: t.TempDir(), now: time.Now()}
	var err error
	if k.a, err = mtls.Create(mtls.RootOptions{Dir: k.path("ca"), Name: "Fleet", Days: 3650, Now: func() time.Time { return k.now }}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kit) path(name string) string { return filepath.Join(k.dir, name) }

func (k *kit) issue(r mtls.Request) *mtls.Made {
	k.t.Helper()
	if r.Dir == "" {
		r.Dir = k.path(r.Name)
	}
	made, err := k.a.Issue(r)
	if err != nil {
		k.t.Fatal(err)
	}
	return made
}

// refuse wants an error with words.
func (k *kit) refuse(r mtls.Request, words string) {
	k.t.Helper()
	if r.Dir == "" {
		r.Dir = k.path(r.Name)
	}
	if _, err := k.a.Issue(r); err == nil || !strings.Contains(err.Error(), words) {
		k.t.Errorf("%s %s: %v, want %q", r.Role, r.Name, err, words)
	}
}

// openssl runs a command and tells whether it was content.
func (k *kit) openssl(args ...string) (string, bool) {
	k.t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			k.t.Fatal("openssl is missing: packaging/setup.sh test installs it")
		}
		k.t.Skip("openssl is missing: packaging/setup.sh test installs it")
	}
	out, err := exec.CommandContext(k.t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err == nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestE2EOpenssl has another program judge what was made.
func TestE2EOpenssl(t *testing.T) {
	k := newKit(t)
	broker := k.issue(mtls.Request{Role: mtls.Broker, Name: "hub.example.com", Hosts: []string{"hub.example.com", "192.0.2.1", "2001:db8::1"}})
	site := k.issue(mtls.Request{Role: mtls.Site, Name: "plant-7"})
	relay := k.issue(mtls.Request{Role: mtls.Relay, Name: "hub-1"})
	stolen := k.issue(mtls.Request{Role: mtls.Site, Name: "plant-8"})
	done, err := k.a.Revoke(mtls.Revocation{Name: "plant-8", Reason: "keyCompromise"})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Entries) != 1 || done.Entries[0].Serial != stolen.Serial || done.Number != 2 || !done.Next.Equal(k.a.Certificate.NotAfter) {
		t.Errorf("%+v", done)
	}
	common := []string{"verify", "-x509_strict", "-CAfile", filepath.Join(k.a.Dir, mtls.RootName), "-crl_check", "-CRLfile", done.File, "-purpose"}
	for _, tc := range []struct {
		args []string
		file string
		want string // "": content
	}{
		{[]string{"sslserver", "-verify_hostname", "hub.example.com"}, broker.CertFile, ""},
		{[]string{"sslserver", "-verify_ip", "192.0.2.1"}, broker.CertFile, ""},
		{[]string{"sslserver", "-verify_ip", "2001:db8::1"}, broker.CertFile, ""},
		{[]string{"sslserver", "-verify_hostname", "other.example.com"}, broker.CertFile, "ostname mismatch"},
		{[]string{"sslclient"}, broker.CertFile, "certificate purpose"},
		{[]string{"sslclient"}, site.CertFile, ""},
		{[]string{"sslclient"}, relay.CertFile, ""},
		{[]string{"sslserver"}, site.CertFile, "certificate purpose"},
		{[]string{"sslclient"}, stolen.CertFile, "certificate revoked"},
	} {
		out, ok := k.openssl(append(append(append([]string(nil), common...), tc.args...), tc.file)...)
		if ok != (tc.want == "") || !strings.Contains(out, tc.want) {
			t.Errorf("%v %s: %v\n%s", tc.args, tc.file, ok, out)
		}
	}
	out, _ := k.openssl("x509", "-in", site.CertFile, "-noout", "-subject", "-nameopt", "RFC2253")
	if strings.TrimSpace(out) != "subject=OU=edgehold-site,CN=plant-7" && strings.TrimSpace(out) != "subject=CN=plant-7,OU=edgehold-site" {
		t.Errorf("subject %q", out)
	}
	out, ok := k.openssl("crl", "-in", done.File, "-noout", "-text", "-CAfile", filepath.Join(k.a.Dir, mtls.RootName))
	if !ok || !strings.Contains(out, "verify OK") || !strings.Contains(out, "Key Compromise") {
		t.Errorf("%v\n%s", ok, out)
	}
}

func TestFilesArePrivate(t *testing.T) {
	k := newKit(t)
	k.issue(mtls.Request{Role: mtls.Site, Name: "plant-7"})
	if _, _, err := mtls.MakeRequest(mtls.KeyRequest{Name: "plant-8", Dir: k.path("plant-8")}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.Walk(k.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != k.dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if err == nil && !info.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != 4+1+3+2 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestNames is that nobody gets the name of another.
func TestNames(t *testing.T) {
	k := newKit(t)
	k.issue(mtls.Request{Role: mtls.Relay, Name: "hub-1"})
	k.issue(mtls.Request{Role: mtls.Site, Name: "plant-7"})
	k.issue(mtls.Request{Role: mtls.Broker, Name: "plant-7", Dir: k.path("broker"), Hosts: []string{"plant-7"}}) // no client: it may
	k.refuse(mtls.Request{Role: mtls.Site, Name: "hub-1", Dir: k.path("x"), Force: true}, "was issued to a relay")
	k.refuse(mtls.Request{Role: mtls.Relay, Name: "plant-7", Dir: k.path("x"), Force: true}, "was issued to a site")
	if _, err := k.a.Revoke(mtls.Revocation{Name: "hub-1", Reason: "superseded"}); err != nil {
		t.Fatal(err)
	}
	k.refuse(mtls.Request{Role: mtls.Site, Name: "hub-1", Dir: k.path("x")}, "was issued to a relay") // its lines may still be in the rules
	k.refuse(mtls.Request{Role: mtls.Site, Name: "plant-7", Dir: k.path("x")}, "--renew")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "plant-9", Renew: true}, "no certificate to renew")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "../x", Dir: k.path("x")}, "slash")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "", Dir: k.path("x")}, "1 to 64")
	k.refuse(mtls.Request{Role: mtls.Broker, Name: "b"}, "--dns or --ip")
	k.refuse(mtls.Request{Role: mtls.Broker, Name: "b", Hosts: []string{"mqtts://b:1"}}, "want a name")
	k.refuse(mtls.Request{Role: "king", Name: "b"}, "broker, site or relay")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "b", Days: 4000}, "after the authority itself")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "b", Dir: k.a.Dir}, "folder of the authority")
}

func TestRenew(t *testing.T) {
	k := newKit(t)
	first := k.issue(mtls.Request{Role: mtls.Broker, Name: "hub", Hosts: []string{"hub.example.com"}})
	key := read(t, first.KeyFile)
	k.now = k.now.Add(700 * 24 * time.Hour)
	second := k.issue(mtls.Request{Role: mtls.Broker, Name: "hub", Renew: true})
	if second.CertFile != first.CertFile || second.KeyFile != "" || read(t, first.KeyFile) != key || second.Key != first.Key {
		t.Errorf("%+v, then %+v", first, second)
	}
	if !second.NotAfter.After(first.NotAfter) || strings.Join(second.Hosts, " ") != "hub.example.com" {
		t.Errorf("%+v", second.Entry)
	}
	if shown, err := mtls.Show(first.CertFile, k.now); err != nil || shown.Serial != second.Serial || shown.State != "valid" || shown.Role != mtls.Broker {
		t.Errorf("%+v, %v", shown, err)
	}
	// Another file in its place is nobody's to replace.
	if err := os.WriteFile(first.CertFile, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.refuse(mtls.Request{Role: mtls.Broker, Name: "hub", Renew: true}, "not overwritten")
	k.refuse(mtls.Request{Role: mtls.Broker, Name: "hub", Renew: true, NewKey: true, Dir: k.path("hub")}, "not overwritten")
	if read(t, first.CertFile) != "mine" || read(t, first.KeyFile) != key {
		t.Error("a file was replaced")
	}
	third := k.issue(mtls.Request{Role: mtls.Broker, Name: "hub", Renew: true, NewKey: true, Force: true})
	if third.Key == first.Key || read(t, first.KeyFile) == key {
		t.Error("the key is the old one")
	}
	s, err := k.a.Summary()
	if err != nil || len(s.Certificates) != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if s.Certificates[0].State != "ends soon" || s.Certificates[0].DaysLeft < 29 || s.Certificates[0].DaysLeft > 30 {
		t.Errorf("%+v", s.Certificates[0])
	}
}

// TestRequests is the way on which a key never leaves its site.
func TestRequests(t *testing.T) {
	k := newKit(t)
	site := k.path("site")
	keyFile, csrFile, err := mtls.MakeRequest(mtls.KeyRequest{Name: "plant-7", Dir: site})
	if err != nil {
		t.Fatal(err)
	}
	key := read(t, keyFile)
	if _, _, err := mtls.MakeRequest(mtls.KeyRequest{Name: "plant-7", Dir: site}); err == nil || read(t, keyFile) != key {
		t.Errorf("made again: %v", err)
	}
	if out, ok := k.openssl("req", "-in", csrFile, "-noout", "-verify", "-subject"); !ok || !strings.Contains(out, "plant-7") {
		t.Errorf("%v\n%s", ok, out)
	}
	csr, err := mtls.ReadCSR(csrFile)
	if err != nil || csr.Name != "plant-7" {
		t.Fatalf("%+v, %v", csr, err)
	}
	made := k.issue(mtls.Request{Role: mtls.Site, Name: csr.Name, CSR: csr})
	if made.KeyFile != "" || made.Role != mtls.Site {
		t.Errorf("%+v", made)
	}
	// A renewal for the same key, while it is not revoked.
	if _, _, err := mtls.MakeRequest(mtls.KeyRequest{Name: "plant-7", Dir: site, Renew: true}); err != nil || read(t, keyFile) != key {
		t.Fatal(err)
	}
	if csr, err = mtls.ReadCSR(csrFile); err != nil {
		t.Fatal(err)
	}
	if again := k.issue(mtls.Request{Role: mtls.Site, Name: "plant-7", CSR: csr, Renew: true}); again.Key != made.Key {
		t.Errorf("%+v", again)
	}
	if _, err := k.a.Revoke(mtls.Revocation{Name: "plant-7", Reason: "keyCompromise"}); err != nil {
		t.Fatal(err)
	}
	k.refuse(mtls.Request{Role: mtls.Site, Name: "plant-7", CSR: csr, Dir: k.path("new")}, "was revoked")
	k.refuse(mtls.Request{Role: mtls.Site, Name: "plant-9", CSR: csr, Dir: k.path("new")}, "was revoked")
	// One that was changed on its way.
	block, _ := pem.Decode([]byte(read(t, csrFile)))
	block.Bytes[len(block.Bytes)-40] ^= 1
	bad := k.path("bad.csr")
	if err := os.WriteFile(bad, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.ReadCSR(bad); err == nil {
		t.Error("a changed request is taken")
	}
	if _, err := mtls.ReadCSR(made.CertFile); err == nil || !strings.Contains(err.Error(), "relay cert request") {
		t.Error(err)
	}
}

func TestPassPhraseAndFolders(t *testing.T) {
	dir := t.TempDir()
	o := mtls.RootOptions{Dir: filepath.Join(dir, "ca"), Name: "Fleet", Days: 30, Phrase: []byte("correct horse"), Now: time.Now}
	if _, err := mtls.Create(o); err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.Create(o); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("made again: %v", err)
	}
	a, err := mtls.Open(o.Dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(mtls.Request{Role: mtls.Site, Name: "x", Dir: dir}); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Error(err)
	}
	say := func(text string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(text), nil } }
	if err := a.Unlock(say("wrong phrase")); err == nil {
		t.Error("a wrong pass phrase opens the key")
	}
	if err := a.Unlock(say("correct horse")); err != nil {
		t.Error(err)
	}
	made, err := a.Issue(mtls.Request{Role: mtls.Site, Name: "x", Dir: dir})
	if err != nil || made.NotAfter.After(a.Certificate.NotAfter) {
		t.Errorf("%+v, %v", made, err)
	}
	if err := os.Chmod(filepath.Join(o.Dir, "ca.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.Unlock(say("correct horse")); err == nil || !strings.Contains(err.Error(), "can be read by others") {
		t.Error(err)
	}
	if _, err := mtls.Open(t.TempDir(), time.Now); err == nil || !strings.Contains(err.Error(), "edgehold relay cert ca") {
		t.Error(err)
	}
}
