package sign

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
)

// purpose is what a chain is to prove. The rules are those of openssl's purposes
// smimesign, which `openssl cms -verify` takes, and timestampsign.
type purpose uint8

const (
	forPackages purpose = 1
	forStamps   purpose = 2 // of timestamps; sign/cms has held the leaf against the stricter rules for those
	forDenial   purpose = 3 // of deny lists: the signer is a CA itself
)

const (
	minKeyBits   = 2048
	minCurveBits = 256
)

var (
	oidKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidNetscapeType = asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 1, 1}

	// understood are the extensions that may be critical.
	understood = []asn1.ObjectIdentifier{
		oidKeyUsage, oidExtKeyUsage, oidConstraints,
		{2, 5, 29, 17}, // alternative names
		{2, 5, 29, 19}, // basic constraints
		{2, 5, 29, 31}, // where CRLs are
		{2, 5, 29, 32},
		{2, 5, 29, 33},
		{2, 5, 29, 36},
		{2, 5, 29, 54}, // policies
	}
	// unwanted are extensions that openssl judges by rules of their own: proxy
	// certificates, and blocks of addresses and systems of the Internet.
	unwanted = []asn1.ObjectIdentifier{
		{1, 3, 6, 1, 5, 5, 7, 1, 14}, {1, 3, 6, 1, 5, 5, 7, 1, 7}, {1, 3, 6, 1, 5, 5, 7, 1, 8},
	}
)

func extension(c *x509.Certificate, oid asn1.ObjectIdentifier) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Value
		}
	}
	return nil
}

// checkUsage holds every certificate of a chain against what it does there.
func checkUsage(chain []*x509.Certificate, why purpose) *Refusal {
	for i, c := range chain {
		refused := checkAny(c)
		if refused == nil && why != forStamps {
			refused = checkExtUsage(c)
		}
		if refused == nil && (i > 0 || why == forDenial) {
			refused = checkIssuer(c, i-1)
		} else if refused == nil {
			refused = checkSigner(c)
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}

// checkAny is what holds for every certificate.
func checkAny(c *x509.Certificate) *Refusal {
	weak := ""
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minKeyBits {
			weak = fmt.Sprintf("an RSA key of %d bits, under %d", n, minKeyBits)
		}
	case *ecdsa.PublicKey:
		if n := key.Curve.Params().BitSize; n < minCurveBits {
			weak = fmt.Sprintf("a key on a curve of %d bits, under %d", n, minCurveBits)
		}
	}
	if weak != "" {
		return refuse(RuleKeyWeak, fmt.Sprintf("the certificate %q has %s", c.Subject, weak), "make a new certificate with `edgehold ext cert` or `ext ca` and sign again")
	}
	for _, e := range c.Extensions {
		known := slices.ContainsFunc(understood, e.Id.Equal)
		if e.Critical && !known || slices.ContainsFunc(unwanted, e.Id.Equal) {
			return refuse(RuleExtension, fmt.Sprintf("the certificate %q has the extension %v, whose meaning is not known here", c.Subject, e.Id), mendAgain)
		}
	}
	if _, _, good := netscapeType(c); !good {
		return refuse(RuleExtension, fmt.Sprintf("the Netscape type of the certificate %q cannot be read", c.Subject), mendAgain)
	}
	return nil
}

// checkExtUsage demands emailProtection where there is an extended key usage, in
// the whole chain. anyExtendedKeyUsage alone is not enough for openssl either.
func checkExtUsage(c *x509.Certificate) *Refusal {
	if extension(c, oidExtKeyUsage) == nil || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageEmailProtection) {
		return nil
	}
	return refuse(RuleExtKeyUsage, fmt.Sprintf("the extended key usage of the certificate %q lacks emailProtection", c.Subject),
		"sign with a certificate without extended key usage, as `edgehold ext cert` makes it")
}

// checkSigner holds the signer's own certificate against its key usage.
func checkSigner(c *x509.Certificate) *Refusal {
	if extension(c, oidKeyUsage) != nil && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return refuse(RuleKeyUsage, fmt.Sprintf("the key usage of the certificate %q lacks digitalSignature", c.Subject),
			"sign with a certificate whose key usage is digitalSignature, as `edgehold ext cert` makes it")
	}
	if bits, there, _ := netscapeType(c); there && bits.At(2) == 0 {
		return refuse(RuleExtKeyUsage, fmt.Sprintf("the Netscape type of the certificate %q lacks S/MIME", c.Subject), mendAgain)
	}
	return nil
}

func netscapeType(c *x509.Certificate) (bits asn1.BitString, there, good bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidNetscapeType) {
			rest, err := asn1.Unmarshal(e.Value, &bits)
			return bits, true, err == nil && len(rest) == 0
		}
	}
	return bits, false, true
}

// checkIssuer holds a certificate that issued others, below of them not counting
// the signer's.
func checkIssuer(c *x509.Certificate, below int) *Refusal {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return refuse(RuleNotCA, fmt.Sprintf("the certificate %q is no CA, yet it issued another", c.Subject), "sign with a certificate that a CA issued")
	case extension(c, oidKeyUsage) != nil && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return refuse(RuleKeyUsage, fmt.Sprintf("the key usage of the CA %q lacks keyCertSign", c.Subject), "make a new CA with `edgehold ext ca`")
	case c.MaxPathLen >= 0 && below > c.MaxPathLen:
		return refuse(RulePathLength, fmt.Sprintf("the CA %q allows %d CAs below it, there are %d", c.Subject, c.MaxPathLen, below),
			"sign with a certificate that the root issued itself")
	}
	return nil
}
