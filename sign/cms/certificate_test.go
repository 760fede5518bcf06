package cms_test

import (
	"crypto"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/sign/cms"
)

var (
	oidNames   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidNamesV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

func sorted(attrs ...[]byte) [][]byte {
	slices.SortFunc(attrs, slices.Compare)
	return attrs
}

// A signer may name its certificate in what it signs; then it must be the one.
func TestSigningCertificate(t *testing.T) {
	p := members(t)
	type B = []byte
	cert, ca := p.rsa.cert, p.ca.cert
	v1 := func(raw B, more ...B) B {
		return tlv(0x30, append([]B{tlv(0x04, sumBy(crypto.SHA1, raw))}, more...)...)
	}
	v2 := func(raw B, more ...B) B { return tlv(0x30, append([]B{tlv(0x04, sum256(raw))}, more...)...) }
	names := func(ids ...B) B { return tlv(0x30, tlv(0x30, ids...)) }
	pair := func(issuer B, serial any) B {
		return tlv(0x30, tlv(0x30, tlv(0xa4, issuer)), mustMarshal(serial))
	}
	for name, c := range map[string]struct {
		attr B
		rule cms.Rule
	}{
		"first form":                   {attr(oidNames, names(v1(cert.Raw))), ""},
		"second form":                  {attr(oidNamesV2, names(v2(cert.Raw))), ""},
		"another digest":               {attr(oidNamesV2, names(tlv(0x30, alg(oidSHA384), tlv(0x04, sumBy(crypto.SHA384, cert.Raw))))), ""},
		"issuer and serial":            {attr(oidNamesV2, names(v2(cert.Raw, pair(cert.RawIssuer, cert.SerialNumber)))), ""},
		"policies":                     {attr(oidNamesV2, tlv(0x30, tlv(0x30, v2(cert.Raw)), tlv(0x30))), ""},
		"the chain":                    {attr(oidNamesV2, names(v2(cert.Raw), v2(ca.Raw))), ""},
		"one that is not there":        {attr(oidNamesV2, names(v2(cert.Raw), v2(p.p256.cert.Raw))), cms.RuleAttributes},
		"another first":                {attr(oidNamesV2, names(v2(ca.Raw), v2(cert.Raw))), cms.RuleAttributes},
		"another, first form":          {attr(oidNames, names(v1(ca.Raw))), cms.RuleAttributes},
		"nobody":                       {attr(oidNamesV2, names()), cms.RuleAttributes},
		"another serial":               {attr(oidNamesV2, names(v2(cert.Raw, pair(cert.RawIssuer, 1)))), cms.RuleAttributes},
		"another issuer":               {attr(oidNamesV2, names(v2(cert.Raw, pair(cert.RawSubject, cert.SerialNumber)))), cms.RuleAttributes},
		"a weak digest":                {attr(oidNamesV2, names(tlv(0x30, alg(oidSHA1), tlv(0x04, sumBy(crypto.SHA1, cert.Raw))))), cms.RuleAttributes},
		"two values":                   {attr(oidNamesV2, names(v2(cert.Raw)), names(v2(cert.Raw))), cms.RuleAttributes},
		"another type":                 {attr(oidNamesV2, mustMarshal(1)), cms.RuleAttributes},
		"something left over":          {attr(oidNamesV2, tlv(0x30, tlv(0x30, v2(cert.Raw)), tlv(0x30), nullDER)), cms.RuleAttributes},
		"something left over in an id": {attr(oidNamesV2, names(v2(cert.Raw, nullDER))), cms.RuleAttributes},
		"too many":                     {attr(oidNamesV2, names(slices.Repeat([]B{v2(cert.Raw)}, 33)...)), cms.RuleAttributes},
	} {
		t.Run(name, func(t *testing.T) {
			attrs := sorted(append(goodAttrs(), c.attr)...)
			blob := form{by: p.rsa, attrs: attrs, certs: [][]byte{cert.Raw, ca.Raw}}.build(t)
			_, err := verify(blob, content)
			wantRule(t, err, c.rule)
		})
	}
}

// crypto/x509 passes over elements that it does not look for. Such certificates
// are refused, as openssl refuses them.
func TestCertificatesOfOddForm(t *testing.T) {
	p := members(t)
	raw := p.rsa.cert.Raw
	find := func(tree *node, oid asn1.ObjectIdentifier) *node {
		for _, e := range tree.at(0, 7, 0).parts {
			if slices.Equal(e.at(0).encode(), mustMarshal(oid)) {
				return e.at(len(e.parts) - 1)
			}
		}
		t.Fatalf("no extension %v", oid)
		return nil
	}
	for name, c := range map[string]struct {
		change  func(tree *node)
		openssl bool // takes it, as long as the certificate itself is not verified
	}{
		"version 1 with extensions":   {func(n *node) { n.at(0, 0, 0).bytes = []byte{0} }, true},
		"an element after the key":    {func(n *node) { add(n.at(0, 6)) }, false},
		"an element after the body":   {func(n *node) { add(n.at(0)) }, false},
		"an element after a name":     {func(n *node) { add(n.at(0, 5, 0, 0)) }, false},
		"an element after the times":  {func(n *node) { add(n.at(0, 4)) }, false},
		"an element after the end":    {func(n *node) { add(n) }, false},
		"an authority of odd content": {func(n *node) { find(n, asn1.ObjectIdentifier{2, 5, 29, 35}).bytes = tlv(0x30, nullDER) }, true},
		"a key usage of no bits":      {func(n *node) { find(n, asn1.ObjectIdentifier{2, 5, 29, 15}).bytes = tlv(0x03, []byte{7, 0}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			tree, _ := decode(raw)
			c.change(tree)
			blob := form{by: p.rsa, certs: [][]byte{tree.encode()}}.build(t)
			_, err := verify(blob, content)
			wantRule(t, err, cms.RuleCertificate)
			if got := opensslVerifies(t, blob, content) == nil; got != c.openssl {
				t.Errorf("openssl takes it: %v", got)
			}
		})
	}
}

func add(n *node) { n.parts = append(n.parts, zero()) }
