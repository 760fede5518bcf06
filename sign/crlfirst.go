package sign

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// firstCRL is a CRL of version 1, which openssl's `ca` writes unless it is told
// otherwise, and which the standard library does not read.
type firstCRL struct {
	List struct {
		Raw        asn1.RawContent
		Signature  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		ThisUpdate time.Time
		NextUpdate time.Time      `asn1:"optional"`
		Revoked    []firstRevoked `asn1:"optional"`
	}
	Algorithm pkix.AlgorithmIdentifier
	Value     asn1.BitString
}

type firstRevoked struct {
	Serial *big.Int
	Time   time.Time
}

// crlAlgorithms are those that a CRL of version 1 may be signed with.
var crlAlgorithms = map[string]x509.SignatureAlgorithm{
	"1.2.840.113549.1.1.11": x509.SHA256WithRSA,
	"1.2.840.113549.1.1.12": x509.SHA384WithRSA,
	"1.2.840.113549.1.1.13": x509.SHA512WithRSA,
	"1.2.840.10045.4.3.2":   x509.ECDSAWithSHA256,
	"1.2.840.10045.4.3.3":   x509.ECDSAWithSHA384,
	"1.2.840.10045.4.3.4":   x509.ECDSAWithSHA512,
}

// parseFirstCRL reads version 1 into the form of version 2.
func parseFirstCRL(der []byte) (*x509.RevocationList, error) {
	var c firstCRL
	rest, err := asn1.Unmarshal(der, &c)
	if err != nil {
		return nil, err
	}
	algorithm := crlAlgorithms[c.Algorithm.Algorithm.String()]
	switch {
	case len(rest) > 0:
		return nil, errors.New("something follows its end")
	case !c.Algorithm.Algorithm.Equal(c.List.Signature.Algorithm):
		return nil, errors.New("it names two algorithms of its signature")
	case algorithm == 0:
		return nil, fmt.Errorf("its signature is of the algorithm %v", c.Algorithm.Algorithm)
	}
	list := &x509.RevocationList{
		Raw: der, RawTBSRevocationList: c.List.Raw, RawIssuer: c.List.Issuer.FullBytes,
		ThisUpdate: c.List.ThisUpdate, NextUpdate: c.List.NextUpdate,
		SignatureAlgorithm: algorithm, Signature: c.Value.RightAlign(),
	}
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(list.RawIssuer, &name); err != nil {
		return nil, err
	}
	list.Issuer.FillFromRDNSequence(&name)
	for _, r := range c.List.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.Time})
	}
	return list, nil
}
