package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// paper is a certificate with its key.
type paper struct {
	*x509.Certificate
	key crypto.Signer
}

// now is the moment of the tests. It is the true one since openssl's timestamps
// cannot be dated otherwise.
var now = time.Now().UTC().Truncate(time.Second)

const oneDay = 24 * time.Hour

var serials struct {
	sync.Mutex
	last int64
}

func nextSerial() *big.Int {
	serials.Lock()
	defer serials.Unlock()
	serials.last++
	return big.NewInt(1000 + serials.last)
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate; without parent it issues itself.
func issue(t testing.TB, c *x509.Certificate, parent *paper, key crypto.Signer) *paper {
	t.Helper()
	if key == nil {
		key = p256(t)
	}
	made := &paper{key: key}
	if parent == nil {
		parent = &paper{Certificate: c, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

type change func(*x509.Certificate)

// caOf is the template of a CA as `edgehold ext ca` makes it, with changes.
func caOf(name string, changes ...change) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name, Organization: []string{"Plant"}},
		NotBefore: now.Add(-oneDay), NotAfter: now.Add(3650 * oneDay),
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range changes {
		f(c)
	}
	return c
}

// leafOf is the template of a developer's certificate.
func leafOf(name string, changes ...change) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"network"}},
		NotBefore: now.Add(-oneDay), NotAfter: now.Add(1000 * oneDay), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range changes {
		f(c)
	}
	return c
}

func pemOf(certs ...*paper) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes everything
	}
	return b.Bytes()
}

func keyPEM(t testing.TB, p *paper) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// signature is what this project's own tools write.
func signature(t testing.TB, content []byte, by *paper) []byte {
	t.Helper()
	sig, err := cms.SignDetached(content, by.Certificate, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func bundleWith(t testing.TB, inner, sig []byte) []byte {
	return bundleOf(t, map[string]string{innerName: string(inner), signatureName: string(sig)})
}

// rootsOf makes a folder of roots.
func rootsOf(t testing.TB, roots ...*paper) string {
	t.Helper()
	dir := t.TempDir()
	for i, r := range roots {
		put(t, filepath.Join(dir, "root"+strconv.Itoa(i)+".pem"), pemOf(r))
	}
	return dir
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, options TrustOptions) (*Trust, []string) {
	t.Helper()
	trust, warnings, err := LoadTrust(options)
	if err != nil {
		t.Fatal(err)
	}
	return trust, warnings
}

// quiet loads a trust of which nothing is to be warned.
func quiet(t testing.TB, options TrustOptions) *Trust {
	t.Helper()
	trust, warnings := load(t, options)
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	return trust
}

var atNow = Moment{Time: now, Trusted: true}

// wantRule holds an error against the rule that it should break; "" is none.
func wantRule(t testing.TB, err error, want Rule) (got Refusal) {
	t.Helper()
	if err == nil && want == "" {
		return got
	}
	var r *Refusal
	if !errors.As(err, &r) {
		t.Errorf("got %v, want a refusal by the rule %q", err, want)
		return got
	}
	if r.Rule != want {
		t.Errorf("refused by the rule %q, want %q: %v", r.Rule, want, r)
	}
	if r.Text == "" || r.Mend == "" {
		t.Errorf("a refusal without words: %#v", r)
	}
	return *r
}

// openssl runs it; without it a test is skipped on a developer's machine.
func openssl(t testing.TB, args ...string) error {
	t.Helper()
	_, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("openssl is missing: install it to run this test")
	}
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	return nil
}

func mustOpenssl(t testing.TB, args ...string) {
	t.Helper()
	if err := openssl(t, args...); err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
}

// opensslTrusts is the vendor's check of a package.
func opensslTrusts(t testing.TB, rootFile string, content, sig []byte, at time.Time) error {
	t.Helper()
	dir := t.TempDir()
	zip, signed := filepath.Join(dir, innerName), filepath.Join(dir, signatureName)
	put(t, zip, content)
	put(t, signed, sig)
	return openssl(t, "cms", "-verify", "-CAfile", rootFile, "-in", signed, "-binary", "-content", zip,
		"-inform", "PEM", "-attime", strconv.FormatInt(at.Unix(), 10), "-out", os.DevNull)
}

// opensslSigns makes a signature with openssl's own options. The first signer
// is first; extra certificates travel along.
func opensslSigns(t testing.TB, content []byte, signers, extra []*paper, options ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	zip, out := filepath.Join(dir, innerName), filepath.Join(dir, signatureName)
	put(t, zip, content)
	args := []string{"cms", "-sign", "-binary", "-in", zip, "-outform", "PEM", "-out", out}
	for i, s := range signers {
		cert, key := filepath.Join(dir, strconv.Itoa(i)+".pem"), filepath.Join(dir, strconv.Itoa(i)+".key")
		put(t, cert, pemOf(s))
		put(t, key, keyPEM(t, s))
		args = append(args, "-signer", cert, "-inkey", key)
	}
	if len(extra) > 0 {
		put(t, filepath.Join(dir, "extra.pem"), pemOf(extra...))
		args = append(args, "-certfile", filepath.Join(dir, "extra.pem"))
	}
	mustOpenssl(t, append(args, options...)...)
	sig, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func derOf(sig []byte) []byte {
	block, _ := pem.Decode(sig)
	return block.Bytes
}

func pemCMS(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der}) }

type certificate = x509.Certificate
