package cms_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// Elements that the hand-built forms are made of.
var (
	oidData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSigned  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTST     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidType    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidSum     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidTime    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA1    = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSA256  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSA384  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidECDSA   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidUnknown = asn1.ObjectIdentifier{1, 2, 3, 4}

	nullDER = []byte{5, 0}
)

func alg(oid asn1.ObjectIdentifier, parameters ...[]byte) []byte {
	return tlv(0x30, append([][]byte{mustMarshal(oid)}, parameters...)...)
}

func attr(oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return tlv(0x30, mustMarshal(oid), tlv(0x31, values...))
}

// form is a signature to be built by hand; zero fields are those of the
// vendor's tool.
type form struct {
	by            identity
	version       int      // 1
	digests       [][]byte // SHA-256, parameters absent
	digest        []byte   // the same, of the signer
	kind          asn1.ObjectIdentifier
	eContent      []byte
	certs         [][]byte // of the signer
	between       []byte   // after the certificates
	signerVersion int      // 1
	sid           []byte   // issuer and serial
	attrs         [][]byte // signed attributes, in this order
	signedAttrs   [][]byte // what is signed in their place
	algorithm     []byte   // rsaEncryption NULL, or ecdsa-with-SHA256
	after         []byte   // behind the signature
	more          []byte   // a further signer
}

func (f form) build(t testing.TB) []byte {
	t.Helper()
	f.fill()
	signer := f.signer(t)
	return tlv(0x30, mustMarshal(oidSigned), tlv(0xa0, tlv(0x30,
		mustMarshal(f.version), tlv(0x31, f.digests...), f.encap(), tlv(0xa0, f.certs...), f.between,
		tlv(0x31, signer, f.more))))
}

func (f *form) fill() {
	if f.digests == nil {
		f.digests = [][]byte{alg(oidSHA256)}
	}
	if f.digest == nil {
		f.digest = alg(oidSHA256)
	}
	if f.kind == nil {
		f.kind = oidData
	}
	if f.certs == nil {
		f.certs = [][]byte{f.by.cert.Raw}
	}
	if f.sid == nil {
		f.sid = tlv(0x30, f.by.cert.RawIssuer, mustMarshal(f.by.cert.SerialNumber))
	}
	if f.algorithm == nil {
		f.algorithm = alg(oidRSA, nullDER)
		if _, ok := f.by.key.(*ecdsa.PrivateKey); ok {
			f.algorithm = alg(oidECDSA)
		}
	}
	f.version, f.signerVersion = cmp.Or(f.version, 1), cmp.Or(f.signerVersion, 1)
}

func (f form) encap() []byte {
	if f.eContent != nil {
		return tlv(0x30, mustMarshal(f.kind), tlv(0xa0, tlv(0x04, f.eContent)))
	}
	return tlv(0x30, mustMarshal(f.kind))
}

func (f form) signer(t testing.TB) []byte {
	t.Helper()
	signed := content
	if f.eContent != nil {
		signed = f.eContent
	}
	var attrs []byte
	if f.attrs != nil {
		attrs = tlv(0xa0, f.attrs...)
		signed = tlv(0x31, f.attrs...)
	}
	if f.signedAttrs != nil {
		signed = tlv(0x31, f.signedAttrs...)
	}
	value, err := f.by.key.Sign(rand.Reader, sum256(signed), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return tlv(0x30, mustMarshal(f.signerVersion), f.sid, f.digest, attrs, f.algorithm, tlv(0x04, value), f.after)
}

func sum256(data []byte) []byte {
	h := crypto.SHA256.New()
	h.Write(data)
	return h.Sum(nil)
}

// The vendor's tool writes this, byte for byte; so is what is written here.
func TestSignsAsTheVendorsTool(t *testing.T) {
	id := members(t).rsa
	want := encodePEM("CMS", form{by: id}.build(t))
	got, err := cms.SignDetached(content, id.cert, id.key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := verify(want, content); err != nil {
		t.Error(err)
	}
	if err := opensslVerifies(t, want, content); err != nil {
		t.Error(err)
	}
}

// The vendor's editor add-on writes NULL parameters, CRLF, and certificates
// whose authority is named by issuer and serial number.
func TestReadsTheEditorsForm(t *testing.T) {
	p := members(t)
	name := tlv(0xa1, tlv(0xa4, p.ca.cert.RawSubject))
	aki := tlv(0x30, name, tlv(0x82, mustMarshal(p.ca.cert.SerialNumber)[2:]))
	m := &maker{dir: t.TempDir(), ca: &p.ca}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "dev"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: aki}},
	}
	cert, err := m.issue(c, p.rsa.key.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sha := alg(oidSHA256, nullDER)
	blob := encodePEM("CMS", form{by: identity{p.rsa.key, cert}, digests: [][]byte{sha}, digest: sha}.build(t))
	blob = bytes.ReplaceAll(blob, []byte("\n"), []byte("\r\n"))
	list, err := verify(blob, content)
	if err != nil || !list[0].Certificate.Equal(cert) {
		t.Error(err)
	}
	if err := opensslVerifies(t, blob, content); err != nil {
		t.Error(err)
	}
}

func goodAttrs() [][]byte {
	return [][]byte{attr(oidType, mustMarshal(oidData)), attr(oidSum, tlv(0x04, sum256(content)))}
}

func TestForms(t *testing.T) {
	p := members(t)
	type F = form
	type B = [][]byte
	good, kind, sum := goodAttrs(), goodAttrs()[0], goodAttrs()[1]
	other := attr(oidUnknown, nullDER, nullDER)
	cert := p.rsa.cert
	renewed := p.sibling(t, cert.SerialNumber)
	for name, c := range map[string]struct {
		form form
		rule cms.Rule
	}{
		"with attributes":               {F{attrs: good}, ""},
		"an unknown attribute":          {F{attrs: B{other, kind, sum}}, ""},
		"unsigned attributes":           {F{after: tlv(0xa1, other)}, ""},
		"sha256WithRSA":                 {F{algorithm: alg(oidRSA256)}, ""},
		"another certificate beside":    {F{certs: B{cert.Raw, p.ca.cert.Raw}}, ""},
		"key identifier":                {F{version: 3, signerVersion: 3, sid: tlv(0x80, cert.SubjectKeyId)}, ""},
		"ECDSA":                         {F{by: p.p256}, ""},
		"ECDSA with NULL":               {F{by: p.p256, algorithm: alg(oidECDSA, nullDER)}, ""},
		"one signer good, one weak":     {F{more: F{by: p.weak}.one(t), certs: B{cert.Raw, p.weak.cert.Raw}}, cms.RuleKeyWeak},
		"one signer good, one absent":   {F{more: F{by: p.p256}.one(t)}, cms.RuleSigner},
		"no certificate":                {F{certs: B{}}, cms.RuleSigner},
		"another certificate":           {F{certs: B{p.rsa2.cert.Raw}}, cms.RuleSigner},
		"empty key identifier":          {F{version: 3, signerVersion: 3, sid: tlv(0x80)}, cms.RuleSigner},
		"two certificates answer":       {F{certs: B{cert.Raw, renewed}}, cms.RuleSigner},
		"the certificate twice":         {F{certs: B{cert.Raw, cert.Raw}}, cms.RuleDuplicate},
		"too many certificates":         {F{certs: p.siblings(t, 33)}, cms.RuleTooLarge},
		"certificate of another type":   {F{certs: B{cert.Raw, tlv(0xa2, nullDER)}}, cms.RuleUnsupported},
		"certificate broken":            {F{certs: B{cert.Raw, tlv(0x30, nullDER)}}, cms.RuleCertificate},
		"revocation lists":              {F{between: tlv(0xa1, nullDER)}, cms.RuleUnsupported},
		"version 3":                     {F{version: 3}, cms.RuleVersion},
		"version 0":                     {F{version: -1}, cms.RuleVersion},
		"signer of version 3":           {F{signerVersion: 3}, cms.RuleVersion},
		"key identifier, version 1":     {F{version: 3, sid: tlv(0x80, cert.SubjectKeyId)}, cms.RuleVersion},
		"SHA-1":                         {F{digest: alg(oidSHA1), digests: B{alg(oidSHA1)}}, cms.RuleDigestWeak},
		"SHA-1 announced":               {F{digests: B{alg(oidSHA1), alg(oidSHA256)}}, cms.RuleDigestWeak},
		"SHA-1 used":                    {F{digest: alg(oidSHA1)}, cms.RuleDigests},
		"no digest announced":           {F{digests: B{}}, cms.RuleDigests},
		"another digest announced":      {F{digests: B{alg(oidSHA256), alg(oidSHA384)}}, cms.RuleDigests},
		"digest announced twice":        {F{digests: B{alg(oidSHA256), alg(oidSHA256, nullDER)}}, cms.RuleDuplicate},
		"digest with parameters":        {F{digest: alg(oidSHA256, mustMarshal(1))}, cms.RuleAlgorithm},
		"digest with two parameters":    {F{digest: alg(oidSHA256, nullDER, nullDER)}, cms.RuleTrailingData},
		"another digest than signed":    {F{digest: alg(oidSHA384), digests: B{alg(oidSHA384)}}, cms.RuleTampered},
		"sha384WithRSA over SHA-256":    {F{algorithm: alg(oidRSA384)}, cms.RuleAlgorithm},
		"RSA with parameters":           {F{algorithm: alg(oidRSA, mustMarshal(1))}, cms.RuleAlgorithm},
		"ECDSA algorithm, RSA key":      {F{algorithm: alg(oidECDSA)}, cms.RuleAlgorithm},
		"RSA algorithm, ECDSA key":      {F{by: p.p256, algorithm: alg(oidRSA, nullDER)}, cms.RuleAlgorithm},
		"an unknown algorithm":          {F{algorithm: alg(oidUnknown)}, cms.RuleAlgorithm},
		"PSS without parameters":        {F{algorithm: alg(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10})}, cms.RuleAlgorithm},
		"content type missing":          {F{attrs: B{sum}}, cms.RuleAttributes},
		"digest attribute missing":      {F{attrs: B{kind}}, cms.RuleAttributes},
		"no attributes, empty set":      {F{attrs: B{}}, cms.RuleAttributes},
		"content type of a timestamp":   {F{attrs: B{attr(oidType, mustMarshal(oidTST)), sum}}, cms.RuleAttributes},
		"two digests in one attribute":  {F{attrs: B{kind, attr(oidSum, tlv(0x04, sum256(content)), tlv(0x04, sum256(content)))}}, cms.RuleAttributes},
		"digest of another type":        {F{attrs: B{kind, attr(oidSum, tlv(0x0c, sum256(content)))}}, cms.RuleAttributes},
		"digest of other content":       {F{attrs: B{kind, attr(oidSum, tlv(0x04, sum256(nil)))}}, cms.RuleTampered},
		"attribute without a value":     {F{attrs: B{attr(oidUnknown), kind, sum}}, cms.RuleAttributes},
		"too many values":               {F{after: tlv(0xa1, attr(oidUnknown, slices.Repeat(B{nullDER}, 65)...))}, cms.RuleTooLarge},
		"time that is none":             {F{attrs: B{kind, attr(oidTime, tlv(0x17, []byte("yesterday"))), sum}}, cms.RuleAttributes},
		"attribute twice":               {F{attrs: B{kind, kind, sum}}, cms.RuleDuplicate},
		"digest attribute twice":        {F{attrs: B{kind, sum, attr(oidSum, tlv(0x04, sum256(content), nil))}}, cms.RuleDuplicate},
		"attributes out of order":       {F{attrs: B{sum, kind}}, cms.RuleNotDER},
		"out of order, signed in order": {F{attrs: B{sum, kind}, signedAttrs: good}, cms.RuleNotDER},
		"in order, signed out of order": {F{attrs: good, signedAttrs: B{sum, kind}}, cms.RuleTampered},
		"something after an attribute":  {F{attrs: B{kind, tlv(0x30, mustMarshal(oidSum), tlv(0x31, tlv(0x04, sum256(content))), nullDER)}}, cms.RuleTrailingData},
		"too many attributes":           {F{attrs: slices.Repeat(B{kind}, 65)}, cms.RuleTooLarge},
		"too many unsigned attributes":  {F{after: tlv(0xa1, slices.Repeat(B{other}, 65)...)}, cms.RuleTooLarge},
		"too many signers":              {F{more: bytes.Repeat(F{by: p.p256}.one(t), 16), certs: B{cert.Raw, p.p256.cert.Raw}}, cms.RuleTooLarge},
		"too many digests":              {F{digests: unknownDigests(17)}, cms.RuleTooLarge},
		"bytes of a constructed string": {F{after: nil, sid: tlv(0xa0, cert.SubjectKeyId)}, cms.RuleNotCMS},
		"content type other":            {F{version: 3, kind: oidUnknown}, cms.RuleContentType},
		"content inside":                {F{eContent: content}, cms.RuleDetached},
		"empty content inside":          {F{eContent: []byte{}}, cms.RuleDetached},
	} {
		t.Run(name, func(t *testing.T) {
			if c.form.by.cert == nil {
				c.form.by = p.rsa
			}
			blob := c.form.build(t)
			_, err := verify(blob, content)
			wantRule(t, err, c.rule)
			if err == nil {
				if err := opensslVerifies(t, blob, content); err != nil {
					t.Errorf("openssl refuses what is accepted here: %v", err)
				}
			}
		})
	}
}

// one is a signer alone.
func (f form) one(t testing.TB) []byte {
	f.fill()
	return f.signer(t)
}

// sibling is another certificate of the issuer under the same serial number.
func (p *party) sibling(t *testing.T, serial *big.Int) []byte {
	t.Helper()
	m := &maker{ca: &p.ca}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "sibling"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	cert, err := m.issue(c, p.p256.key.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Raw
}

func (p *party) siblings(t *testing.T, n int64) (list [][]byte) {
	for i := range n {
		list = append(list, p.sibling(t, big.NewInt(100+i)))
	}
	return list
}

func unknownDigests(n int) (list [][]byte) {
	for i := range n {
		list = append(list, alg(append(slices.Clone(oidUnknown), i)))
	}
	return list
}

func TestNobodySigned(t *testing.T) {
	tree, _ := decode(form{by: members(t).rsa}.build(t))
	signers := tree.at(1, 0, 4)
	signers.parts = nil
	blob := tree.encode()
	if _, err := verify(blob, content); ruleOf(err) != cms.RuleDigests && ruleOf(err) != cms.RuleNoSigner {
		t.Error(err)
	}
	tree.at(1, 0, 1).parts = nil
	_, err := verify(tree.encode(), content)
	wantRule(t, err, cms.RuleNoSigner)
}

// A set of signed attributes must not pass as content: its signature would be
// one over it as well.
func TestAttributesAreNoContent(t *testing.T) {
	p := members(t)
	set := tlv(0x31, goodAttrs()...)
	tree, _ := decode(form{by: p.rsa, attrs: goodAttrs()}.build(t))
	info := tree.at(1, 0, 4, 0)
	info.parts = slices.Delete(info.parts, 3, 4)
	blob := tree.encode()
	if err := opensslVerifies(t, blob, set); err != nil {
		t.Errorf("the case is not what it is meant to be: %v", err)
	}
	_, err := verify(blob, set)
	wantRule(t, err, cms.RuleAttributes)

	for _, harmless := range [][]byte{{0x31}, tlv(0x31, mustMarshal(1)), tlv(0x31, attr(oidUnknown, nullDER))} {
		if _, err := cms.SignDetached(harmless, p.rsa.cert, p.rsa.key); err != nil {
			t.Errorf("%x: %v", harmless, err)
		}
	}
}

// Whatever is added, wherever: refused. What is inside of a signed attribute's
// value is held by the signature.
func TestNothingMayFollowAnywhere(t *testing.T) {
	p := members(t)
	for _, f := range []form{{by: p.rsa}, {by: p.p256, attrs: goodAttrs()}, {by: p.rsa, version: 3, signerVersion: 3, sid: tlv(0x80, p.rsa.cert.SubjectKeyId)}} {
		blob := f.build(t)
		root, _ := decode(blob)
		root.every(nil, func(path []int, n *node) {
			if n.tag&0x20 == 0 {
				return
			}
			tree, _ := decode(blob)
			at := tree.at(path...)
			at.parts = append(at.parts, zero())
			if _, err := verify(tree.encode(), content); err == nil {
				t.Errorf("an element more in %v passes", path)
			}
		})
		if _, err := verify(append(blob, 0), content); ruleOf(err) != cms.RuleTrailingData {
			t.Error(err)
		}
	}
}

func TestLongLengthsAreNotDER(t *testing.T) {
	blob := form{by: members(t).rsa}.build(t)
	longer := append([]byte{0x30, 0x83, 0x00}, blob[2:]...)
	_, err := verify(longer, content)
	wantRule(t, err, cms.RuleNotCMS)
}

// Keys that nobody makes in good faith are refused before they are computed with.
func TestAbsurdKeys(t *testing.T) {
	p := members(t)
	wide := new(big.Int).SetBit(big.NewInt(1), 16391, 1)
	even := new(big.Int).SetBit(new(big.Int), 2100, 1)
	odd := p.rsa.key.Public().(*rsa.PublicKey).N
	for name, c := range map[string]struct {
		key  rsa.PublicKey
		rule cms.Rule
	}{
		"a modulus of 16392 bits": {rsa.PublicKey{N: wide, E: 65537}, cms.RuleKeySize},
		"an even modulus":         {rsa.PublicKey{N: even, E: 65537}, cms.RuleKeyWeak},
		"an exponent of 1":        {rsa.PublicKey{N: odd, E: 1}, cms.RuleKeyWeak},
		"an even exponent":        {rsa.PublicKey{N: odd, E: 4}, cms.RuleKeyWeak},
	} {
		t.Run(name, func(t *testing.T) {
			m := &maker{ca: &p.ca}
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "odd"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
			cert, err := m.issue(tmpl, &c.key, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = verify(form{by: identity{p.rsa.key, cert}}.build(t), content)
			wantRule(t, err, c.rule)
		})
	}
}

func TestSignRefuses(t *testing.T) {
	p := members(t)
	for name, c := range map[string]struct {
		cert identity
		key  crypto.Signer
		rule cms.Rule
	}{
		"a weak key":           {p.weak, p.weak.key, cms.RuleKeyWeak},
		"a small curve":        {p.p224, p.p224.key, cms.RuleKeyWeak},
		"the key of another":   {p.rsa, p.rsa2.key, cms.RuleSigner},
		"a key that signs ill": {p.rsa, liar{p.rsa.key}, cms.RuleTampered},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := cms.SignDetached(content, c.cert.cert, c.key)
			wantRule(t, err, c.rule)
			if out != nil {
				t.Error("a signature came with the error")
			}
		})
	}
}

func TestKeyThatFails(t *testing.T) {
	id := members(t).rsa
	out, err := cms.SignDetached(content, id.cert, broken{id.key})
	if !errors.Is(err, errBroken) || out != nil {
		t.Errorf("%q, %v", out, err)
	}
}

var errBroken = errors.New("the token is not plugged in")

type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errBroken }

// liar is a key whose hardware fails.
type liar struct{ crypto.Signer }

func (l liar) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	out, err := l.Signer.Sign(r, digest, o)
	out[9] ^= 1
	return out, err
}
