package sign

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crlOf is a CRL in DER, of today and good for a week.
func crlOf(t testing.TB, by *paper, revoked ...*paper) []byte {
	return crlUntil(t, by, now.Add(7*oneDay), revoked...)
}

func crlUntil(t testing.TB, by *paper, end time.Time, revoked ...*paper) []byte {
	t.Helper()
	return crlFrom(t, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-oneDay), NextUpdate: end}, by, revoked...)
}

func crlFrom(t testing.TB, list *x509.RevocationList, by *paper, revoked ...*paper) []byte {
	t.Helper()
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: now.Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, by.Certificate, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCRLs(t *testing.T) {
	root, middle := issue(t, caOf("Root"), nil, nil), (*paper)(nil)
	middle = issue(t, caOf("Middle"), root, nil)
	namesake := issue(t, caOf("Root"), nil, nil)
	other := issue(t, caOf("Other"), nil, nil)
	leaf, sibling := issue(t, leafOf("Dev"), middle, nil), issue(t, leafOf("Sibling"), middle, nil)
	inner := zipOf(t, content)
	bundle := bundleWith(t, inner, opensslSigns(t, inner, []*paper{leaf}, []*paper{middle}))
	delta := func(critical bool) []byte {
		return crlFrom(t, &x509.RevocationList{
			Number: big.NewInt(2), ThisUpdate: now.Add(-oneDay), NextUpdate: now.Add(oneDay),
			ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: critical, Value: []byte{2, 1, 1}}},
		}, middle, leaf)
	}
	inPEM := func(lists ...[]byte) (out []byte) {
		for _, der := range lists {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		file    []byte
		want    Rule
		warning string // of LoadTrust
		stale   string // of Warnings
	}{
		{name: "leaf", file: crlOf(t, middle, leaf), want: RuleRevoked},
		{name: "leaf, PEM", file: inPEM(crlOf(t, root), crlOf(t, middle, leaf)), want: RuleRevoked},
		{name: "intermediate", file: crlOf(t, root, middle), want: RuleRevoked},
		{name: "root by itself", file: crlOf(t, root, root), want: RuleRevoked},
		{name: "another leaf", file: crlOf(t, middle, sibling)},
		{name: "nobody", file: crlOf(t, middle)},
		{name: "run out", file: crlUntil(t, middle, now.Add(-time.Hour), leaf), want: RuleRevoked, stale: "ran out"},
		{name: "run out, another leaf", file: crlUntil(t, middle, now.Add(-time.Hour), sibling), stale: "get it again"},
		{name: "serial of the leaf, another CA", file: crlOf(t, other, leaf)},
		{name: "serial of the intermediate, root of the same name", file: crlOf(t, namesake, middle), warning: "whose key did not sign it"},
		{name: "a part of a list", file: delta(true), warning: "critical extension 2.5.29.27"},
		{name: "rubbish", file: []byte("rubbish"), warning: "holds no CRL"},
		{name: "cut", file: crlOf(t, middle, leaf)[:100], warning: "the CRL is ignored"},
		{name: "a certificate", file: pemOf(root), warning: `a block "CERTIFICATE" is ignored`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := rootsOf(t, root)
			put(t, filepath.Join(dir, "site.crl"), c.file)
			trust, warnings := load(t, TrustOptions{Roots: dir})
			_, _, err := trust.OpenBytes("b", bundle, DefaultLimits(), atNow)
			wantRule(t, err, c.want)
			wantWords(t, warnings, c.warning)
			wantWords(t, trust.Warnings(atNow), c.stale)
		})
	}
}

// wantWords wants one text that holds words, or none where there are no words.
func wantWords(t testing.TB, texts []string, words string) {
	t.Helper()
	if words == "" && len(texts) > 0 || words != "" && (len(texts) != 1 || !strings.Contains(texts[0], words)) {
		t.Errorf("got %q, want %q", texts, words)
	}
}

// A CRL by openssl's own CA tool is understood.
func TestOpensslCRL(t *testing.T) {
	root := issue(t, caOf("Root", usage(x509.KeyUsageCertSign)), nil, nil) // as some tools make it, without cRLSign
	leaf := issue(t, leafOf("Dev"), root, nil)
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"ca.pem": pemOf(root), "ca.key": keyPEM(t, root), "leaf.pem": pemOf(leaf), "index.txt": nil,
		"c.cnf": []byte("[ca]\ndefault_ca=a\n[a]\ndatabase=" + dir + "/index.txt\ndefault_md=sha256\ndefault_crl_days=7\n"),
	} {
		put(t, filepath.Join(dir, name), data)
	}
	ca := func(args ...string) {
		mustOpenssl(t, append([]string{"ca", "-config", dir + "/c.cnf", "-cert", dir + "/ca.pem", "-keyfile", dir + "/ca.key"}, args...)...)
	}
	ca("-revoke", dir+"/leaf.pem")
	roots := rootsOf(t, root)
	ca("-gencrl", "-out", roots+"/root.crl")
	inner := zipOf(t, content)
	_, _, err := quiet(t, TrustOptions{Roots: roots}).OpenBytes("b", bundleWith(t, inner, signature(t, inner, leaf)), DefaultLimits(), atNow)
	wantRule(t, err, RuleRevoked)
}

// numbered is a CRL of that number.
func numbered(t testing.TB, number int64, by *paper, revoked ...*paper) []byte {
	t.Helper()
	return crlFrom(t, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now.Add(-oneDay), NextUpdate: now.Add(oneDay)}, by, revoked...)
}

// What a CRL once revoked stays so: an older one, a missing one and a forged
// memory change nothing, and only the CA lifts it, with a newer one.
func TestCRLsCannotBeRolledBack(t *testing.T) {
	root := issue(t, caOf("Root"), nil, nil)
	leaf := issue(t, leafOf("Dev"), root, nil)
	inner := zipOf(t, content)
	bundle := bundleWith(t, inner, signature(t, inner, leaf))
	dir, state := rootsOf(t, root), filepath.Join(t.TempDir(), "trust")
	file := filepath.Join(dir, "site.crl")
	step := func(name string, want Rule, warning string) {
		t.Helper()
		trust, warnings := load(t, TrustOptions{Roots: dir, State: state})
		wantWords(t, warnings, warning)
		_, _, err := trust.OpenBytes("b", bundle, DefaultLimits(), atNow)
		if r := wantRule(t, err, want); t.Failed() {
			t.Fatalf("%s: %v", name, r)
		}
	}
	step("none", "", "")
	put(t, file, numbered(t, 5, root, leaf))
	step("number 5", RuleRevoked, "")
	step("number 5 again", RuleRevoked, "")
	put(t, file, numbered(t, 4, root))
	step("an older one", RuleRevoked, "number 5 of")
	put(t, file, numbered(t, 5, root))
	step("another one of the same number", RuleRevoked, "another content")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	step("missing", RuleRevoked, "stays in force")
	// The root is issued anew, with its key.
	put(t, filepath.Join(dir, "root0.pem"), pemOf(issue(t, caOf("Root", ends(9000*oneDay)), nil, root.key)))
	step("root issued anew", RuleRevoked, "stays in force")
	put(t, file, numbered(t, 6, root))
	step("lifted by the CA", "", "")
	step("lifted for good", "", "")
	// A forged memory is not believed.
	files, err := filepath.Glob(filepath.Join(state, crlPrefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	put(t, files[0], numbered(t, 99, issue(t, caOf("Root"), nil, nil), leaf))
	step("forged memory", "", "")
	put(t, files[0], []byte("rubbish"))
	step("damaged memory", "", "cannot be used")
	step("mended memory", "", "")
}

// Who comes without a number is weighed by its date, and a CA that nobody here
// knows leaves no memory, which is said.
func TestWhatCRLsAreRemembered(t *testing.T) {
	root := issue(t, caOf("Root"), nil, nil)
	middle := issue(t, caOf("Middle"), root, nil)
	dir, state := rootsOf(t, root), t.TempDir()
	put(t, filepath.Join(dir, "middle.crl"), crlOf(t, middle))
	_, warnings := load(t, TrustOptions{Roots: dir, State: state})
	wantWords(t, warnings, "is not remembered")
	put(t, filepath.Join(dir, "middle.pem"), pemOf(middle))
	quiet(t, TrustOptions{Roots: dir, State: state})
	old, young := &crl{list: &x509.RevocationList{ThisUpdate: now}}, &crl{list: &x509.RevocationList{ThisUpdate: now.Add(time.Second)}}
	if !old.olderThan(young) || young.olderThan(old) {
		t.Error("CRLs without a number are not weighed by their dates")
	}
	// A state folder that cannot be written is a warning.
	_, warnings = load(t, TrustOptions{Roots: dir, State: writeFile(t, "state", nil)})
	if !strings.Contains(strings.Join(warnings, "\n"), "the CRL middle.crl cannot be remembered") {
		t.Errorf("%q", warnings)
	}
}

// Folders and files that others may write are told.
func TestWritableRootsAreTold(t *testing.T) {
	dir := rootsOf(t, issue(t, caOf("Root"), nil, nil))
	quiet(t, TrustOptions{Roots: dir})
	for _, path := range []string{dir, filepath.Join(dir, "root0.pem")} {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, info.Mode().Perm()|0o002)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, warnings := load(t, TrustOptions{Roots: dir})
		wantWords(t, warnings, "chmod go-w "+path)
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing waits for a pipe, and nothing reads a device to its end.
func TestReadRegular(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", t.TempDir()} {
		if _, err := ReadRegular(path, 10); !errors.Is(err, errNotFile) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Build(pipe, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("build of a pipe: %v", err)
	}
	file := writeFile(t, "x", []byte("0123456789"))
	if data, err := ReadRegular(file, 10); err != nil || len(data) != 10 {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := ReadRegular(file, 9); err == nil || !strings.Contains(err.Error(), "larger than 9 bytes") {
		t.Errorf("too large: %v", err)
	}
}
