package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
)

// The forms that are written, as encoding/asn1 marshals them.
type (
	contentInfoOut struct {
		Type    asn1.ObjectIdentifier
		Content signedDataOut `asn1:"explicit,tag:0"`
	}
	signedDataOut struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      encapOut
		Certificates asn1.RawValue
		Signers      []signerOut `asn1:"set"`
	}
	encapOut struct {
		Type asn1.ObjectIdentifier
	}
	signerOut struct {
		Version   int
		Name      issuerSerialOut
		Digest    pkix.AlgorithmIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	issuerSerialOut struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
)

// SignDetached signs the content: PEM labelled CMS, SHA-256 over the content
// itself (no signed attributes), the signer's certificate alone inside. With an
// RSA key the same input gives the same bytes, and those of the vendor's tool.
// What is returned has been verified once. The error is an *Error where the
// certificate or key breaks a rule.
func SignDetached(content []byte, cert *x509.Certificate, key crypto.Signer) ([]byte, error) {
	if refused := checkKey(cert.PublicKey); refused != nil {
		return nil, refused
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(cert.PublicKey) {
		return nil, refuse(RuleSigner, "the private key does not belong to the certificate of %s", cert.Subject)
	}
	algorithm := pkix.AlgorithmIdentifier{}
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey:
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
	case *ecdsa.PublicKey:
		algorithm.Algorithm = oidECDSASHA256
	}
	signature, err := key.Sign(rand.Reader, digest(crypto.SHA256, content), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign with the key of %s: %w", cert.Subject, err)
	}
	der, err := asn1.Marshal(detached(cert, algorithm, signature))
	if err != nil {
		return nil, fmt.Errorf("encode the signature: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der})
	if err := proofread(out, content); err != nil {
		return nil, err
	}
	return out, nil
}

func detached(cert *x509.Certificate, algorithm pkix.AlgorithmIdentifier, signature []byte) contentInfoOut {
	sha256 := pkix.AlgorithmIdentifier{Algorithm: oidSHA256}
	return contentInfoOut{Type: oidSignedData, Content: signedDataOut{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{sha256},
		Content:      encapOut{Type: oidData},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: cert.Raw},
		Signers: []signerOut{{
			Version:   1,
			Name:      issuerSerialOut{Issuer: asn1.RawValue{FullBytes: cert.RawIssuer}, Serial: cert.SerialNumber},
			Digest:    sha256,
			Algorithm: algorithm,
			Signature: signature,
		}},
	}}
}

// proofread catches a key that signs wrongly before its signature travels.
func proofread(out, content []byte) error {
	s, err := Parse(out)
	if err == nil {
		_, err = s.Verify(content)
	}
	if err != nil {
		return fmt.Errorf("verify the signature just made: %w", err)
	}
	return nil
}
