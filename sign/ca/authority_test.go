package ca

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestProfile holds what openssl shows of our certificates against the profile
// that the vendor's tools and agents want.
func TestProfile(t *testing.T) {
	for name, a := range map[string]*Authority{"ours": newRoot(t), "foreign": foreignRoot(t)} {
		t.Run(name, func(t *testing.T) {
			m := issue(t, a, request(filepath.Join(t.TempDir(), "dev"), "Anna B."))
			root := filepath.Join(a.Dir(), certName)
			text := openssl(t, "x509", "-in", root, "-noout", "-text")
			mustHave(t, text, "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
				"Certificate Sign, CRL Sign\n", "Subject Key Identifier", "Authority Key Identifier")
			leaf := openssl(t, "x509", "-in", m.CertFile, "-noout", "-text")
			mustHave(t, leaf, "Version: 3", "Subject: OU = network, CN = Anna B.", "X509v3 Key Usage: critical\n                Digital Signature\n",
				"Subject Key Identifier", "Authority Key Identifier")
			for _, word := range []string{"Basic Constraints", "Extended Key Usage", "Not After : Jan  1"} {
				if strings.Contains(leaf, word) {
					t.Errorf("%q is in the developer certificate:\n%s", word, leaf)
				}
			}
			if _, id, _ := strings.Cut(text, "Subject Key Identifier: \n"); !strings.Contains(leaf, strings.TrimSpace(id[:strings.Index(id, "\n")])) {
				t.Error("the authority key identifier is not the root's subject key identifier")
			}
			openssl(t, "verify", "-x509_strict", "-CAfile", root, "-purpose", "smimesign", m.CertFile)
			if m.Certificate.Issuer.String() == m.Certificate.Subject.String() {
				t.Error("the subject is the issuer's")
			}
			if got := time.Since(m.Certificate.NotBefore); name == "ours" && (got < backdate || got > backdate+time.Minute) {
				t.Errorf("begins %v ago", got)
			}
			if m.Certificate.SerialNumber.BitLen() != 127 {
				t.Errorf("serial number of %d bits", m.Certificate.SerialNumber.BitLen())
			}
			if base := filepath.Base(m.CertFile); base != "anna-b.pem" {
				t.Errorf("the file is %s", base)
			}
			checkPrivateTree(t, filepath.Dir(m.CertFile))
		})
	}
}

// TestPassPhrasesAndOneFile opens a root by its pass phrase and makes the one
// file that the vendor's tools take.
func TestPassPhrasesAndOneFile(t *testing.T) {
	a := newRoot(t, func(o *RootOptions) { o.Phrase = []byte(phrase) })
	checkPrivateTree(t, a.Dir())
	if got := filesIn(t, a.Dir()); !slices.Equal(got, []string{keyName, certName, recordName}) {
		t.Errorf("files %q", got)
	}
	mustHave(t, read(t, filepath.Join(a.Dir(), keyName)), "ENCRYPTED PRIVATE KEY")

	again, err := Open(a.Dir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	mustFail(t, again.Unlock(given("something else")), "wrong pass phrase", "ca.key")
	_, err = again.Issue(request(t.TempDir(), "early"))
	mustFail(t, err, "closed")
	if err := again.Unlock(given(phrase)); err != nil {
		t.Fatal(err)
	}

	r := request(filepath.Join(t.TempDir(), "dev"), "anna")
	r.Kind, r.Fused, r.Phrase = RSA4096, true, []byte("the developer's own")
	m := issue(t, again, r)
	checkPrivateTree(t, r.Dir)
	load(t, m.CertFile, m.KeyFile, "the developer's own")
	load(t, m.FusedFile, "", "")
	var labels []string
	for block, rest := pem.Decode([]byte(read(t, m.FusedFile))); block != nil; block, rest = pem.Decode(rest) {
		labels = append(labels, block.Type)
	}
	if !slices.Equal(labels, []string{labelCertificate, labelPKCS1}) {
		t.Errorf("the one file holds %q", labels)
	}
	openssl(t, "rsa", "-in", m.FusedFile, "-check", "-noout")
	mustHave(t, openssl(t, "x509", "-in", m.FusedFile, "-noout", "-text"), "4096 bit", "Digital Signature")
	openssl(t, "verify", "-CAfile", filepath.Join(a.Dir(), certName), m.FusedFile)
}

func TestRequestsThatAreRefused(t *testing.T) {
	a := newRoot(t)
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	for name, tc := range map[string]struct {
		change func(*Request)
		words  []string
	}{
		"no name":         {func(r *Request) { r.Name = "" }, []string{"name", "empty"}},
		"no category":     {func(r *Request) { r.Category = "" }, []string{"category", "empty"}},
		"spaces":          {func(r *Request) { r.Category = "network " }, []string{"category", "space"}},
		"control":         {func(r *Request) { r.Name = "a\nb" }, []string{"control characters"}},
		"long name":       {func(r *Request) { r.Name = strings.Repeat("ä", 65) }, []string{"64 characters"}},
		"kind":            {func(r *Request) { r.Kind = "rsa1024" }, []string{"rsa1024", "rsa4096", "p256"}},
		"short phrase":    {func(r *Request) { r.Phrase = []byte("short") }, []string{"8 characters"}},
		"empty phrase":    {func(r *Request) { r.Phrase = []byte{} }, []string{"8 characters"}},
		"negative days":   {func(r *Request) { r.Days = -1 }, []string{"-1 days"}},
		"beyond the root": {func(r *Request) { r.Days = RootDays + 1 }, []string{"after the authority", "at most 36"}},
		"fused p256":      {func(r *Request) { r.Fused = true }, []string{"RSA keys only"}},
		"dir is a file":   {func(r *Request) { r.Dir = file }, []string{"is a file"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(filepath.Join(t.TempDir(), "dev"), "anna")
			tc.change(&r)
			_, err := a.Issue(r)
			mustFail(t, err, tc.words...)
			if _, err := os.Stat(r.Dir); err == nil && r.Dir != file {
				t.Error("the folder was made")
			}
			if s, err := a.Summary(); err != nil || len(s.Certificates) != 0 {
				t.Errorf("recorded: %+v, %v", s, err)
			}
		})
	}
}

// TestEnd: nothing is issued beyond the end of the root.
func TestEnd(t *testing.T) {
	start := time.Date(2030, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := start
	a := newRoot(t, func(o *RootOptions) { o.Days, o.Now = 100, func() time.Time { return clock } })
	dir := t.TempDir()
	short := issue(t, a, request(dir, "short"))
	if !short.Shortened || !short.Certificate.NotAfter.Equal(a.Certificate.NotAfter) {
		t.Errorf("ends %v, the root %v", short.Certificate.NotAfter, a.Certificate.NotAfter)
	}
	clock = start.Add(60 * day)
	r := request(dir, "exact")
	r.Days = 40
	if m := issue(t, a, r); m.Shortened || m.Certificate.NotAfter.After(a.Certificate.NotAfter) {
		t.Errorf("40 days end %v", m.Certificate.NotAfter)
	}
	r.Days, r.Name = 41, "beyond"
	_, err := a.Issue(r)
	mustFail(t, err, "41 days", "at most 40 days")

	clock = start.Add(100*day + time.Second)
	_, err = a.Issue(request(dir, "late"))
	mustFail(t, err, "has ended on 2030-06-09", "edgehold ext ca")
	_, err = a.Renew(Renewal{CertFile: short.CertFile})
	mustFail(t, err, "has ended")
	if _, err := a.Revoke(Revocation{CertFile: short.CertFile, Reason: "unspecified", Days: 30}); err != nil {
		t.Errorf("an ended root revokes no more: %v", err)
	}
	clock = start.Add(-2 * day)
	_, err = a.Issue(request(dir, "early"))
	mustFail(t, err, "set the clock")
}

func TestCreateRefuses(t *testing.T) {
	top := t.TempDir()
	dev := filepath.Join(top, "dev")
	issue(t, newRoot(t), request(dev, "anna"))
	full := filepath.Join(top, "full")
	write(t, filepath.Join(full, "notes.txt"), "x")
	for name, tc := range map[string]struct {
		change func(*RootOptions)
		words  []string
	}{
		"no name":             {func(o *RootOptions) { o.Name = "" }, []string{"name"}},
		"days":                {func(o *RootOptions) { o.Days = 0 }, []string{"0 days"}},
		"kind":                {func(o *RootOptions) { o.Kind = "dsa" }, []string{"dsa"}},
		"short phrase":        {func(o *RootOptions) { o.Phrase = []byte("1234567") }, []string{"8 characters"}},
		"not empty":           {func(o *RootOptions) { o.Dir = full }, []string{full, "notes.txt", "not empty"}},
		"developer's folder":  {func(o *RootOptions) { o.Dir = dev }, []string{dev, "not empty"}},
		"in a developer's":    {func(o *RootOptions) { o.Dir = filepath.Join(dev, "ca") }, []string{dev, "anna.key"}},
		"a file for a folder": {func(o *RootOptions) { o.Dir = filepath.Join(full, "notes.txt") }, []string{"notes.txt"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := RootOptions{Dir: filepath.Join(t.TempDir(), "ca"), Name: "Root", Kind: P256, Days: 10, Now: time.Now}
			tc.change(&o)
			_, err := Create(o)
			mustFail(t, err, tc.words...)
			if _, err := os.Stat(filepath.Join(o.Dir, keyName)); err == nil {
				t.Error("a key was written")
			}
		})
	}
	a := newRoot(t)
	before := read(t, filepath.Join(a.Dir(), keyName))
	_, err := Create(RootOptions{Dir: a.Dir(), Name: "Again", Kind: P256, Days: 10, Now: time.Now})
	mustFail(t, err, a.Dir(), "not empty")
	if read(t, filepath.Join(a.Dir(), keyName)) != before {
		t.Error("the root key was overwritten")
	}
}

// TestCreateAtOnce: of several commands that make a root in one folder one
// does, and its files fit together.
func TestCreateAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	var wait sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wait.Go(func() {
			_, errs[i] = Create(RootOptions{Dir: dir, Name: "Root", Kind: P256, Days: 10, Now: time.Now})
		})
	}
	wait.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		mustFail(t, err, "not empty")
	}
	if made != 1 {
		t.Errorf("%d roots were made", made)
	}
	load(t, filepath.Join(dir, certName), filepath.Join(dir, keyName), "")
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open(t.TempDir(), time.Now)
	mustFail(t, err, "no ca.pem", "edgehold ext ca")

	a := newRoot(t)
	key := filepath.Join(a.Dir(), keyName)
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	mustFail(t, a.Unlock(nil), "read by others", "chmod 600 "+key)

	m := issue(t, newRoot(t), request(t.TempDir(), "anna"))
	dir := t.TempDir()
	write(t, filepath.Join(dir, certName), read(t, m.CertFile))
	_, err = Open(dir, time.Now)
	mustFail(t, err, "not the certificate of an authority")

	other := newRoot(t)
	write(t, filepath.Join(other.Dir(), keyName), read(t, m.KeyFile))
	mustFail(t, other.Unlock(nil), "not the one of the certificate")
}

func TestRecordRefused(t *testing.T) {
	for text, words := range map[string][]string{
		"":               {"backup"},
		"{":              {"backup"},
		`{"format":2}`:   {"format 2"},
		`{"format":1} x`: {"backup"},
	} {
		a := newRoot(t)
		path := write(t, filepath.Join(a.Dir(), recordName), text)
		_, err := a.Issue(request(t.TempDir(), "anna"))
		mustFail(t, err, append(words, path)...)
	}
	a := newRoot(t)
	if err := os.Remove(filepath.Join(a.Dir(), recordName)); err != nil {
		t.Fatal(err)
	}
	_, err := a.Issue(request(t.TempDir(), "anna"))
	mustFail(t, err, "missing", "backup", `echo '{"format":1}'`)
}

// TestIssueAtOnce: commands that run at once lose none of what they issue.
func TestIssueAtOnce(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	var wait sync.WaitGroup
	names := strings.Split("abcdefghijkl", "")
	for _, name := range append(names, names...) { // each name twice: one of the two is refused
		wait.Go(func() {
			own, err := Open(a.Dir(), time.Now)
			if err == nil {
				err = own.Unlock(nil)
			}
			if err == nil {
				_, err = own.Issue(request(dir, name))
			}
			if err != nil && !strings.Contains(err.Error(), "exists already") {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	s, err := a.Summary()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Certificates) != len(names) {
		t.Errorf("%d are recorded, want %d", len(s.Certificates), len(names))
	}
	for _, c := range s.Certificates {
		cert, _ := load(t, filepath.Join(dir, c.Name+certEnding), filepath.Join(dir, c.Name+keyEnding), "")
		if serialText(cert) != c.Serial {
			t.Errorf("%s: the file is not the one of the record", c.Name)
		}
	}
	if got := len(filesIn(t, dir)); got != 2*len(names) {
		t.Errorf("%d files: %q", got, filesIn(t, dir))
	}
}

// TestLockWaits: a command waits for one that is at work in the folder, but
// not for ever.
func TestLockWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		release, err := lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = lock(dir)
		mustFail(t, err, dir, "another command is at work")
		if waited := time.Since(start); waited < lockWait || waited > lockWait+time.Second {
			t.Errorf("it waited %v", waited)
		}
		time.AfterFunc(time.Second, release)
		start = time.Now()
		release, err = lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if waited := time.Since(start); waited < time.Second || waited > 2*time.Second {
			t.Errorf("it waited %v for one second's work", waited)
		}
	})
}

func TestSummary(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := start
	a := newRoot(t, func(o *RootOptions) { o.Days, o.Now = 400, func() time.Time { return clock } })
	dir := t.TempDir()
	for name, days := range map[string]int{"ended": 10, "soon": 50, "long": 300, "gone": 350} {
		r := request(dir, name)
		r.Days = days
		issue(t, a, r)
	}
	if _, err := a.Revoke(Revocation{CertFile: filepath.Join(dir, "gone.pem"), Reason: "keyCompromise", Days: 30}); err != nil {
		t.Fatal(err)
	}
	clock = start.Add(30*day + time.Hour)
	s, err := a.Summary()
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "Plant root" || s.State != "valid" || s.DaysLeft != 369 || s.CRLNumber != 1 || s.DenyNumber != 0 {
		t.Errorf("root: %+v", s)
	}
	want := map[string]string{"ended": "expired -21", "soon": "ends soon 19", "long": "valid 269", "gone": "revoked 319"}
	for _, c := range s.Certificates {
		if got := c.State + " " + itoa(c.DaysLeft); got != want[c.Name] {
			t.Errorf("%s: %s, want %s", c.Name, got, want[c.Name])
		}
	}
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"Anna B.": "anna-b", "../../etc/passwd": "etc-passwd", "..": "certificate", ".hidden": "hidden", "Zoë": "zo", "日本": "certificate",
		"a/b\\c": "a-b-c", "build_01.example": "build_01.example", "--": "certificate", "a..b": "a.b",
	} {
		if got := fileName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// csrOf makes a request with openssl.
func csrOf(t *testing.T, subject, keyType string) (csr, key string) {
	t.Helper()
	dir := t.TempDir()
	csr, key = filepath.Join(dir, "csr"), filepath.Join(dir, "key")
	openssl(t, "req", "-new", "-newkey", keyType, "-nodes", "-subj", subject, "-keyout", key, "-out", csr)
	return csr, key
}

func TestCSR(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	csr, key := csrOf(t, "/CN=bert/OU=everything/O=Elsewhere", "rsa:2048")
	r := request(dir, "")
	r.CSR = []byte(read(t, csr))
	m := issue(t, a, r)
	if got := m.Certificate.Subject.String(); got != "CN=bert,OU=network" {
		t.Errorf("subject %s", got)
	}
	if m.KeyFile != "" || !slices.Equal(filesIn(t, dir), []string{"bert.pem"}) {
		t.Errorf("files %q, key %q", filesIn(t, dir), m.KeyFile)
	}
	load(t, m.CertFile, key, "")
	_, err := a.Issue(r)
	mustFail(t, err, "bert.pem", "exists already")

	block, _ := pem.Decode(r.CSR)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(request.RawTBSCertificateRequest) + 4 { // what is signed, after the head of the whole
		bad := slices.Clone(block.Bytes)
		bad[i] ^= 1
		r.CSR, r.Name = bad, "bad"
		if _, err := a.Issue(r); err == nil {
			t.Fatalf("a request with a changed byte %d is taken", i)
		}
	}
	r.CSR = slices.Clone(block.Bytes)
	r.CSR[len(r.CSR)-1] ^= 1
	_, err = a.Issue(r)
	mustFail(t, err, "CSR", "signature", "changed")
	r.CSR = block.Bytes // DER
	issue(t, a, r)

	for keyType, word := range map[string]string{"rsa:1024": "1024 bits", "ed25519": "ed25519"} {
		weak, _ := csrOf(t, "/CN=weak", keyType)
		r.CSR = []byte(read(t, weak))
		_, err = a.Issue(r)
		mustFail(t, err, "CSR", word)
	}
	r.CSR = encodeCertificate(a.Certificate)
	_, err = a.Issue(r)
	mustFail(t, err, "holds a CERTIFICATE", "openssl req")
	own := filepath.Join(t.TempDir(), "own")
	openssl(t, "req", "-new", "-key", filepath.Join(a.Dir(), keyName), "-subj", "/CN=own", "-out", own)
	r.CSR = []byte(read(t, own))
	_, err = a.Issue(r)
	mustFail(t, err, "root's own")
	fused := r
	fused.CSR, fused.Fused = []byte(read(t, csr)), true
	_, err = a.Issue(fused)
	mustFail(t, err, "--fused")
}

// A renewal with the key of a revoked certificate says what to do, and leaves
// nothing behind.
func TestRenewalOfARevokedKey(t *testing.T) {
	a := newRoot(t)
	m := issue(t, a, request(t.TempDir(), "anna"))
	if _, err := a.Revoke(Revocation{CertFile: m.CertFile, Reason: "keyCompromise", Days: 1}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "next")
	_, err := a.Renew(Renewal{CertFile: m.CertFile, Output: Output{Dir: out}})
	mustFail(t, err, "revoked on", "--new-key")
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("%s was left: %v", out, err)
	}
	if _, err := a.Renew(Renewal{CertFile: m.CertFile, NewKey: true, Output: Output{Dir: out, Kind: P256}}); err != nil {
		t.Error(err)
	}
}

// What is wrong with a folder is found before a key is made.
func TestCheckPlace(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	m := issue(t, a, request(dir, "anna"))
	for _, c := range []struct{ dir, name, want string }{
		{dir, "anna", "exists already"},
		{filepath.Join(a.Dir(), "sub"), "bert", "folder of the root key"},
		{m.CertFile, "bert", "is a file"},
		{filepath.Join(m.CertFile, "sub"), "bert", "not a directory"},
	} {
		err := a.CheckPlace(c.dir, c.name)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.dir, err, c.want)
		}
	}
	out := filepath.Join(dir, "a", "b")
	if err := a.CheckPlace(out, "bert"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(out)); !os.IsNotExist(err) {
		t.Errorf("looking made a folder: %v", err)
	}
}

// Where something goes wrong at the very end, no empty folder is left.
func TestNoEmptyFolderIsLeft(t *testing.T) {
	a := newRoot(t)
	if err := os.Remove(filepath.Join(a.Dir(), recordName)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "anna")
	_, err := a.Issue(request(out, "anna"))
	mustFail(t, err, recordName, "is missing")
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("%s was left: %v", out, err)
	}
}
