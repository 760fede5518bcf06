package ca

import (
	"crypto"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// phrase opens the keys of these tests.
const phrase = "correct horse battery"

func given(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// openssl runs openssl, which must end well, and returns what it says.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryOpenssl(t, args...)
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryOpenssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed; what it says of our files is not tested")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

// newRoot makes a root in a folder of its own, beside which others can lie.
func newRoot(t *testing.T, change ...func(*RootOptions)) *Authority {
	t.Helper()
	o := RootOptions{Dir: filepath.Join(t.TempDir(), "ca"), Name: "Plant root", Kind: P256, Days: RootDays, Now: time.Now}
	for _, c := range change {
		c(&o)
	}
	a, err := Create(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// foreignRoot is a root that openssl made, as the vendor's recipe has it.
func foreignRoot(t *testing.T) *Authority {
	t.Helper()
	dir := t.TempDir()
	openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3000", "-subj", "/CN=Foreign root",
		"-addext", "basicConstraints=critical,CA:true,pathlen:0", "-addext", "keyUsage=keyCertSign,cRLSign",
		"-keyout", filepath.Join(dir, keyName), "-out", filepath.Join(dir, certName))
	write(t, filepath.Join(dir, recordName), `{"format":1}`)
	a, err := Open(dir, time.Now)
	if err == nil {
		err = a.Unlock(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(dir, name string) Request {
	return Request{Name: name, Category: "network", Output: Output{Dir: dir, Kind: P256}}
}

func issue(t *testing.T, a *Authority, r Request) *Made {
	t.Helper()
	m, err := a.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// load reads a certificate and its key, which must fit.
func load(t *testing.T, cert, key, pass string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	c, k, err := LoadSigner(cert, key, given(pass))
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// mustFail wants an error that says all of words.
func mustFail(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one about %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in the error: %v", w, err)
		}
	}
}

func mustHave(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

// filesIn are the names in a folder.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// checkPrivateTree wants folders of 0700 and files of 0600.
func checkPrivateTree(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
