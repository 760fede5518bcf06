package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// content is what every test signs; the line ends tell a tool that signs text.
var content = []byte("PK\x03\x04 the bytes\r\nof a package\n\x00\xff and no more")

// identity is a key with its certificate by the authority of the tests.
type identity struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// party is who takes part in the tests, made once.
type party struct {
	dir                                            string
	ca, rsa, rsa2, weak, p224, p256, p384, p521    identity
	tsa, tsaEC, tsaSoft, tsaTwo, tsaNone, tsaCrypt identity
}

var parties = sync.OnceValues(makeParty)

func TestMain(m *testing.M) {
	code := m.Run()
	if p, err := parties(); err == nil {
		os.RemoveAll(p.dir)
	}
	os.Exit(code)
}

func members(t testing.TB) *party {
	t.Helper()
	p, err := parties()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makeParty() (*party, error) {
	dir, err := os.MkdirTemp("", "cms")
	if err != nil {
		return nil, err
	}
	p := &party{dir: dir}
	m := &maker{dir: dir}
	stamping, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	critical := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: stamping}}
	p.ca = m.make("ca", curve(elliptic.P256()), x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign})
	m.ca = &p.ca
	for _, one := range []struct {
		into *identity
		name string
		key  func() (crypto.Signer, error)
	}{
		{&p.rsa, "rsa", modulus(2048)},
		{&p.rsa2, "rsa2", modulus(2048)},
		{&p.weak, "weak", modulus(1024)},
		{&p.p224, "p224", curve(elliptic.P224())},
		{&p.p256, "p256", curve(elliptic.P256())},
		{&p.p384, "p384", curve(elliptic.P384())},
		{&p.p521, "p521", curve(elliptic.P521())},
	} {
		*one.into = m.make(one.name, one.key, x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	}
	two := []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageEmailProtection}
	sign := x509.KeyUsageDigitalSignature
	p.tsa = m.make("tsa", modulus(2048), x509.Certificate{KeyUsage: sign, ExtraExtensions: critical, DNSNames: []string{"x.example", "tsa.example"}})
	p.tsaEC = m.make("tsaec", curve(elliptic.P384()), x509.Certificate{KeyUsage: sign, ExtraExtensions: critical})
	p.tsaSoft = m.make("tsasoft", curve(elliptic.P256()), x509.Certificate{KeyUsage: sign, ExtKeyUsage: two[:1]})
	p.tsaTwo = m.make("tsatwo", curve(elliptic.P256()), x509.Certificate{KeyUsage: sign, ExtKeyUsage: two})
	p.tsaNone = m.make("tsanone", curve(elliptic.P256()), x509.Certificate{KeyUsage: sign})
	p.tsaCrypt = m.make("tsacrypt", curve(elliptic.P256()), x509.Certificate{KeyUsage: sign | x509.KeyUsageKeyEncipherment, ExtraExtensions: critical})
	return p, m.err
}

func modulus(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func curve(c elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
}

// maker makes identities and writes NAME.pem and NAME.key; the first fault sticks.
type maker struct {
	dir    string
	ca     *identity
	serial int64
	err    error
}

func (m *maker) make(name string, key func() (crypto.Signer, error), c x509.Certificate) (id identity) {
	if m.err != nil {
		return id
	}
	if id.key, m.err = key(); m.err != nil {
		return id
	}
	m.serial++
	c.SerialNumber = big.NewInt(0x8000 + m.serial)
	c.Subject = pkix.Name{CommonName: name, Organization: []string{"Acme é"}}
	c.NotBefore, c.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(1000*time.Hour)
	id.cert, m.err = m.issue(&c, id.key.Public(), id.key)
	if m.err != nil {
		return id
	}
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	m.err = errors.Join(err,
		os.WriteFile(filepath.Join(m.dir, name+".pem"), encodePEM("CERTIFICATE", id.cert.Raw), 0o600),
		os.WriteFile(filepath.Join(m.dir, name+".key"), encodePEM("PRIVATE KEY", der), 0o600))
	return id
}

func (m *maker) issue(c *x509.Certificate, public crypto.PublicKey, own crypto.Signer) (*x509.Certificate, error) {
	parent, key := c, own
	if m.ca != nil {
		parent, key = m.ca.cert, m.ca.key
	}
	sum := sha256.Sum256(fmt.Append(nil, public))
	c.SubjectKeyId = sum[:20]
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func encodePEM(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func derOf(t testing.TB, blob []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(blob)
	if block == nil {
		t.Fatal("no PEM block")
	}
	return block.Bytes
}

// openssl runs it in the folder of the parties.
func openssl(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := tryOpenssl(t, args...)
	if err != nil {
		t.Fatalf("openssl %q: %v", args, err)
	}
	return out
}

func tryOpenssl(t testing.TB, args ...string) ([]byte, error) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed: nothing is compared with it")
	}
	cmd := exec.Command("openssl", args...)
	cmd.Dir = members(t).dir
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, fault.Bytes())
	}
	return out.Bytes(), nil
}

// file writes data for openssl and gives its path.
func file(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// opensslVerifies asks openssl for the signature alone, as Verify does.
func opensslVerifies(t testing.TB, blob, data []byte) error {
	t.Helper()
	form := "PEM"
	if len(blob) > 0 && blob[0] == 0x30 {
		form = "DER"
	}
	_, err := tryOpenssl(t, "cms", "-verify", "-noverify", "-binary", "-inform", form, "-in", file(t, blob),
		"-content", file(t, data), "-out", "/dev/null")
	return err
}

func verify(blob, data []byte) ([]cms.Verified, error) {
	s, err := cms.Parse(blob)
	if err != nil {
		return nil, err
	}
	return s.Verify(data)
}

func ruleOf(err error) cms.Rule {
	var refused *cms.Error
	if errors.As(err, &refused) {
		return refused.Rule
	}
	return ""
}

// wantRule holds the error against the rule; "" is no error.
func wantRule(t testing.TB, err error, want cms.Rule) {
	t.Helper()
	if got := ruleOf(err); got != want || (err == nil) != (want == "") {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// node is a DER element: a leaf with bytes, or constructed with parts. It is
// the tests' own reading of DER, apart from the one under test.
type node struct {
	tag   byte
	bytes []byte
	parts []*node
}

func tlv(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// decode reads one well-formed element and gives what follows it.
func decode(der []byte) (*node, []byte) {
	n, head := int(der[1]), 2
	if n >= 0x80 {
		head += n & 0x7f
		n = 0
		for _, b := range der[2:head] {
			n = n<<8 | int(b)
		}
	}
	out, body := &node{tag: der[0]}, der[head:head+n]
	if out.tag&0x20 == 0 {
		out.bytes = body
		return out, der[head+n:]
	}
	for len(body) > 0 {
		var part *node
		part, body = decode(body)
		out.parts = append(out.parts, part)
	}
	return out, der[head+n:]
}

func (n *node) encode() []byte {
	if n.tag&0x20 == 0 {
		return tlv(n.tag, n.bytes)
	}
	var parts [][]byte
	for _, p := range n.parts {
		parts = append(parts, p.encode())
	}
	return tlv(n.tag, parts...)
}

// at follows a path of indexes.
func (n *node) at(path ...int) *node {
	for _, i := range path {
		n = n.parts[i]
	}
	return n
}

// every calls visit with each element below, with its path.
func (n *node) every(path []int, visit func(path []int, n *node)) {
	visit(path, n)
	for i, p := range n.parts {
		p.every(append(slices.Clone(path), i), visit)
	}
}

func zero() *node { return &node{tag: 2, bytes: []byte{0}} }

func mustMarshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}
