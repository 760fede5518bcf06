package ca

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestRenew(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	old := issue(t, a, request(dir, "anna"))
	_, oldKey := load(t, old.CertFile, old.KeyFile, "")

	same, err := a.Renew(Renewal{CertFile: old.CertFile})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(same.CertFile) != "anna-2.pem" || filepath.Dir(same.CertFile) != dir || same.KeyFile != "" {
		t.Errorf("files %q, %q", same.CertFile, same.KeyFile)
	}
	c, _ := load(t, same.CertFile, old.KeyFile, "")
	if c.Subject.String() != "CN=anna,OU=network" || c.SerialNumber.Cmp(old.Certificate.SerialNumber) == 0 {
		t.Errorf("renewed: %v %v", c.Subject, c.SerialNumber)
	}
	fresh, err := a.Renew(Renewal{CertFile: same.CertFile, NewKey: true, Output: Output{Kind: P256, Phrase: []byte(phrase)}})
	if err != nil {
		t.Fatal(err)
	}
	_, key := load(t, fresh.CertFile, fresh.KeyFile, phrase)
	if filepath.Base(fresh.KeyFile) != "anna-3.key" || sameKey(key.Public(), oldKey.Public()) {
		t.Errorf("%s has the old key, or a wrong name", fresh.KeyFile)
	}
	s, err := a.Summary()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Certificates) != 3 {
		t.Fatalf("%d are recorded", len(s.Certificates))
	}
	for i, e := range s.Certificates[:2] {
		if next := s.Certificates[i+1]; e.RenewedBy != next.Serial || next.Renews != e.Serial {
			t.Errorf("%d: %+v, then %+v", i, e, next)
		}
	}
	openssl(t, "verify", "-CAfile", filepath.Join(a.Dir(), certName), same.CertFile, fresh.CertFile)

	_, err = a.Renew(Renewal{CertFile: issue(t, newRoot(t), request(t.TempDir(), "other")).CertFile})
	mustFail(t, err, "was not issued by", "Plant root")
	_, err = a.Renew(Renewal{CertFile: filepath.Join(a.Dir(), certName)})
	mustFail(t, err, "root itself")
	_, err = a.Renew(Renewal{CertFile: old.CertFile, Output: Output{Dir: a.Dir()}})
	mustFail(t, err, "apart")
}

// TestLeak: after a leak the key gets no certificate any more, a new key does.
func TestLeak(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	csr, _ := csrOf(t, "/CN=bert", "ec:"+curveFile(t))
	r := request(dir, "bert")
	r.CSR = []byte(read(t, csr))
	m := issue(t, a, r)
	if _, err := a.Revoke(Revocation{Serial: serialText(m.Certificate), Reason: "keyCompromise", Days: 30}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Renew(Renewal{CertFile: m.CertFile})
	mustFail(t, err, "revoked", "new key")
	r.Name = "bert again"
	_, err = a.Issue(r)
	mustFail(t, err, "revoked", "new key", serialText(m.Certificate))
	if _, err := a.Renew(Renewal{CertFile: m.CertFile, NewKey: true, Output: Output{Kind: P256}}); err != nil {
		t.Error(err)
	}
}

func curveFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "curve")
	openssl(t, "ecparam", "-name", "prime256v1", "-out", path)
	return path
}

func TestRevoke(t *testing.T) {
	for name, a := range map[string]*Authority{"ours": newRoot(t), "foreign": foreignRoot(t)} {
		t.Run(name, func(t *testing.T) {
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "trusted", "plant.crl")
			if err := os.Mkdir(filepath.Dir(out), 0o755); err != nil {
				t.Fatal(err)
			}
			root, crl := filepath.Join(a.Dir(), certName), filepath.Join(a.Dir(), crlName)
			good, bad, worse := issue(t, a, request(dir, "good")), issue(t, a, request(dir, "bad")), issue(t, a, request(dir, "worse"))

			done, err := a.Revoke(Revocation{CertFile: bad.CertFile, Reason: "keyCompromise", Days: 30, Out: out})
			if err != nil {
				t.Fatal(err)
			}
			if done.Number != 1 || done.Already || done.Entry.Name != "bad" || read(t, out) != read(t, crl) {
				t.Errorf("first: %+v", done)
			}
			if info, _ := os.Stat(out); info.Mode().Perm() != publicFile {
				t.Errorf("agents cannot read %s: mode %04o", out, info.Mode().Perm())
			}
			colons := strings.ToUpper(openssl(t, "x509", "-in", worse.CertFile, "-noout", "-serial"))
			_, colons, _ = strings.Cut(strings.TrimSpace(colons), "=")
			colons = strings.Join([]string{colons[:2], colons[2:4], colons[4:]}, ":")
			if done, err = a.Revoke(Revocation{Serial: colons, Reason: "superseded", Days: 30, Out: out}); err != nil || done.Number != 2 {
				t.Fatalf("second: %+v, %v", done, err)
			}
			text := openssl(t, "crl", "-in", out, "-noout", "-text", "-CAfile", root) // -CAfile: verified too
			mustHave(t, text, "verify OK", "Version 2", "X509v3 CRL Number: \n                2", "Authority Key Identifier", "Key Compromise", "Superseded",
				strings.ToUpper(serialText(bad.Certificate)))
			check := func(cert string) (string, error) {
				return tryOpenssl(t, "verify", "-crl_check", "-CAfile", root, "-CRLfile", out, cert)
			}
			if said, err := check(good.CertFile); err != nil {
				t.Errorf("the good one: %s", said)
			}
			for _, m := range []*Made{bad, worse} {
				if said, err := check(m.CertFile); err == nil || !strings.Contains(said, "certificate revoked") {
					t.Errorf("%s: %v %s", m.CertFile, err, said)
				}
			}

			again, err := a.Revoke(Revocation{CertFile: bad.CertFile, Reason: "unspecified", Days: 30})
			if err != nil || !again.Already || again.Number != 3 || again.Entry.Reason != "keyCompromise" {
				t.Errorf("again: %+v, %v", again, err)
			}
			fresh, err := a.Revoke(Revocation{Reason: "unspecified", Days: 90})
			if err != nil || fresh.Entry != nil || fresh.Number != 4 {
				t.Errorf("fresh: %+v, %v", fresh, err)
			}
			block, _ := pem.Decode([]byte(read(t, crl)))
			list, err := x509.ParseRevocationList(block.Bytes)
			if err != nil || len(list.RevokedCertificateEntries) != 2 || list.Number.Int64() != 4 || list.NextUpdate.Sub(list.ThisUpdate) != 90*day {
				t.Errorf("list: %+v, %v", list, err)
			}
		})
	}
}

func TestRevokeRefuses(t *testing.T) {
	a := newRoot(t)
	m := issue(t, a, request(t.TempDir(), "anna"))
	folder := filepath.Join(t.TempDir(), "folder.crl")
	file := write(t, filepath.Join(folder, "file.crl"), read(t, m.CertFile))
	foreign := filepath.Join(folder, "foreign.crl")
	if _, err := newRoot(t).Revoke(Revocation{Reason: "unspecified", Days: 1, Out: foreign}); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(a.Dir(), keyName)
	before := read(t, own)
	for name, tc := range map[string]struct {
		v     Revocation
		words []string
	}{
		"reason":        {Revocation{CertFile: m.CertFile, Reason: "bored", Days: 1}, []string{"bored", "keyCompromise"}},
		"days":          {Revocation{CertFile: m.CertFile, Reason: "unspecified"}, []string{"0 days"}},
		"no hex":        {Revocation{Serial: "12 34", Reason: "unspecified", Days: 1}, []string{"12 34", "hex"}},
		"negative":      {Revocation{Serial: "-1", Reason: "unspecified", Days: 1}, []string{"hex"}},
		"unknown":       {Revocation{Serial: "1234", Reason: "unspecified", Days: 1}, []string{"1234", "ext ca list"}},
		"the root":      {Revocation{CertFile: filepath.Join(a.Dir(), certName), Reason: "unspecified", Days: 1}, []string{"root itself"}},
		"over the key":  {Revocation{Reason: "unspecified", Days: 1, Out: own}, []string{own, "plant-root.crl"}},
		"over a folder": {Revocation{Reason: "unspecified", Days: 1, Out: folder}, []string{"not a regular file"}},
		"over a file":   {Revocation{Reason: "unspecified", Days: 1, Out: file}, []string{file, "no list of this authority"}},
		"over another":  {Revocation{Reason: "unspecified", Days: 1, Out: foreign}, []string{foreign, "no list of this authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Revoke(tc.v)
			mustFail(t, err, tc.words...)
		})
	}
	if read(t, own) != before {
		t.Error("the root key was overwritten")
	}
}

// TestRevokeWithoutRecord: the certificate itself is proof enough that it was
// issued here.
func TestRevokeWithoutRecord(t *testing.T) {
	a := newRoot(t)
	m := issue(t, a, request(t.TempDir(), "anna"))
	write(t, filepath.Join(a.Dir(), recordName), `{"format":1,"crl_number":41}`)
	done, err := a.Revoke(Revocation{CertFile: m.CertFile, Reason: "keyCompromise", Days: 1})
	if err != nil || done.Number != 42 {
		t.Fatalf("%+v, %v", done, err)
	}
	mustHave(t, read(t, filepath.Join(a.Dir(), recordName)), serialText(m.Certificate), `"category": "network"`)
}

// TestRevokeAtOnce: no number is given twice and no certificate is forgotten.
func TestRevokeAtOnce(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	numbers := make(chan int64, 8)
	var wait sync.WaitGroup
	for i := range cap(numbers) {
		m := issue(t, a, request(dir, "dev"+itoa(i)))
		wait.Go(func() {
			done, err := a.Revoke(Revocation{CertFile: m.CertFile, Reason: "superseded", Days: 1})
			if err != nil {
				t.Error(err)
			}
			numbers <- done.Number
		})
	}
	wait.Wait()
	close(numbers)
	seen := map[int64]bool{}
	for n := range numbers {
		if seen[n] {
			t.Errorf("number %d twice", n)
		}
		seen[n] = true
	}
	s, err := a.Summary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Certificates {
		if c.State != "revoked" || time.Since(c.Revoked) > time.Hour {
			t.Errorf("%s: %s %v", c.Name, c.State, c.Revoked)
		}
	}
	if s.CRLNumber != 8 {
		t.Errorf("CRL number %d", s.CRLNumber)
	}
}
