package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"testing"

	"github.com/edgehold/edgehold/sign/cms"
)

// loose is CMS as encoding/asn1 reads it, without any of the rules: the other
// reading that an accepted signature is held against.
type loose struct {
	Type asn1.ObjectIdentifier
	Data struct {
		Version int
		Digests asn1.RawValue `asn1:"set"`
		Content struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue `asn1:"optional,explicit,tag:0"`
		}
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Signers      []looseSigner `asn1:"set"`
	} `asn1:"explicit,tag:0"`
}

type looseSigner struct {
	Version   int
	Name      asn1.RawValue
	Digest    looseAlgorithm
	Attrs     asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm looseAlgorithm
	Signature []byte
	Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
}

type looseAlgorithm struct {
	OID        asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

// holdIndependently checks each signer again, by the other reading and by
// crypto/rsa and crypto/ecdsa directly.
func holdIndependently(t *testing.T, der, signed []byte, list []cms.Verified) {
	t.Helper()
	var blob loose
	if rest, err := asn1.Unmarshal(der, &blob); err != nil || len(rest) > 0 {
		t.Fatalf("accepted, and not CMS: %v", err)
	}
	if len(blob.Data.Signers) != len(list) || len(list) == 0 {
		t.Fatalf("%d signers verified of %d", len(list), len(blob.Data.Signers))
	}
	for i, s := range blob.Data.Signers {
		c := list[i].Certificate
		if !bytes.Contains(blob.Data.Certificates.Bytes, c.Raw) {
			t.Error("the certificate is not in the blob")
		}
		if h := list[i].Hash; h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512 {
			t.Errorf("hash %v", h)
		}
		over := signed
		if len(s.Attrs.FullBytes) > 0 {
			over = append([]byte{0x31}, s.Attrs.FullBytes[1:]...)
			if !bytes.Contains(over, sumBy(list[i].Hash, signed)) {
				t.Error("the attributes do not hold the digest of the content")
			}
		}
		if !signatureHolds(c, list[i].Hash, sumBy(list[i].Hash, over), s.Signature) {
			t.Errorf("signer %d accepted, and the signature does not hold", i)
		}
	}
}

func sumBy(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

func signatureHolds(c *x509.Certificate, h crypto.Hash, sum, value []byte) bool {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		pss := rsa.VerifyPSS(key, h, sum, value, &rsa.PSSOptions{Hash: h})
		return key.N.BitLen() >= 2048 && (pss == nil || rsa.VerifyPKCS1v15(key, h, sum, value) == nil)
	case *ecdsa.PublicKey:
		return key.Params().BitSize >= 256 && ecdsa.VerifyASN1(key, sum, value)
	}
	return false
}

// The properties: whatever Verify accepts holds by other means too; the PEM and
// the DER form of one signature get one verdict; no other content passes.
func FuzzVerify(f *testing.F) {
	p := members(f)
	for _, seed := range []form{
		{by: p.rsa},
		{by: p.p256},
		{by: p.p384, attrs: goodAttrs()},
		{by: p.rsa, after: tlv(0xa1, attr(oidUnknown, nullDER))},
		{by: p.p256, more: form{by: p.rsa, attrs: goodAttrs()}.one(f), certs: [][]byte{p.rsa.cert.Raw, p.p256.cert.Raw}},
	} {
		f.Add(seed.build(f), content)
		f.Add(encodePEM("PKCS7", seed.build(f)), content)
	}
	f.Fuzz(func(t *testing.T, blob, data []byte) {
		list, err := verify(blob, data)
		if err != nil {
			if ruleOf(err) == "" {
				t.Errorf("a refusal without a rule: %v", err)
			}
			return
		}
		der := blob
		if block, _ := pem.Decode(blob); blob[0] != 0x30 {
			der = block.Bytes
		}
		holdIndependently(t, der, data, list)
		for _, same := range [][]byte{der, encodePEM("CMS", der)} {
			if again, err := verify(same, data); err != nil || len(again) != len(list) {
				t.Errorf("another form of the same signature: %v", err)
			}
		}
		if _, err := verify(blob, append(data[:len(data):len(data)], 0)); err == nil {
			t.Error("other content passes too")
		}
	})
}

// The property: an accepted timestamp stamps these bytes and no others, and its
// signature holds by other means too.
func FuzzTimestamp(f *testing.F) {
	for _, s := range []stamping{{}, {by: "tsaec", ess: "sha1", chain: true}} {
		f.Add(s.make(f, stamped), stamped)
	}
	f.Fuzz(func(t *testing.T, tsr, data []byte) {
		stamp, err := verifyStamp(tsr, data)
		if err != nil {
			if ruleOf(err) == "" {
				t.Errorf("a refusal without a rule: %v", err)
			}
			return
		}
		var outer struct {
			Status asn1.RawValue
			Token  asn1.RawValue
		}
		if _, err := asn1.Unmarshal(tsr, &outer); err != nil {
			t.Fatal(err)
		}
		var blob loose
		if _, err := asn1.Unmarshal(outer.Token.FullBytes, &blob); err != nil {
			t.Fatal(err)
		}
		var info []byte
		if _, err := asn1.Unmarshal(blob.Data.Content.Value.Bytes, &info); err != nil {
			t.Fatal(err)
		}
		one := cms.Verified{Certificate: stamp.Certificate, Hash: hashOf(t, blob.Data.Signers[0].Digest.OID)}
		holdIndependently(t, outer.Token.FullBytes, info, []cms.Verified{one})
		if stamp.Verify(append(data[:len(data):len(data)], 0)) == nil {
			t.Error("other bytes are stamped too")
		}
	})
}

func hashOf(t *testing.T, oid asn1.ObjectIdentifier) crypto.Hash {
	t.Helper()
	h, ok := map[string]crypto.Hash{oidSHA256.String(): crypto.SHA256, oidSHA384.String(): crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512}[oid.String()]
	if !ok {
		t.Fatalf("accepted with the digest %v", oid)
	}
	return h
}
