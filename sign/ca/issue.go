package ca

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Request asks for a developer certificate.
type Request struct {
	Name     string // common name; with a CSR it may be empty: the one in there
	Category string // the organizational unit
	CSR      []byte // PEM or DER; nil: a key is made here
	Output
}

// Output says how a certificate and its key are made and where they go.
type Output struct {
	Dir    string // apart from the authority's
	Kind   Kind   // of a key that is made here
	Phrase []byte // protects it; nil: it is not encrypted
	Fused  bool   // also one plain file with certificate and key, as the vendor's tools want it
	Days   int    // of validity; 0: DeveloperDays, or until the authority ends
}

// Made is a new certificate with its files; those that were not written are
// empty.
type Made struct {
	Certificate                  *x509.Certificate
	CertFile, KeyFile, FusedFile string
	Shortened                    bool // ends with the authority, before the usual time
}

// Issue makes a developer certificate.
func (a *Authority) Issue(r Request) (*Made, error) {
	j := job{Output: r.Output}
	if r.CSR != nil {
		csr, err := parseRequest(r.CSR)
		if err != nil {
			return nil, err
		}
		j.public = csr.PublicKey
		r.Name = cmp.Or(r.Name, csr.Subject.CommonName)
	}
	if err := checkName("name", r.Name); err != nil {
		return nil, err
	}
	if err := checkName("category", r.Category); err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: r.Name, OrganizationalUnit: []string{r.Category}}
	raw, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("encode subject: %w", err)
	}
	j.subject, j.file = raw, fileName(r.Name)
	return a.issue(j)
}

// parseRequest reads a CSR and checks that its sender has the key.
func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != labelRequest && block.Type != labelOldRequest {
			return nil, fmt.Errorf("read CSR: the file holds a %s; make one with: openssl req -new -key KEY -subj /CN=NAME -out FILE", block.Type)
		}
		data = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(data)
	if err != nil {
		return nil, fmt.Errorf("read CSR: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("read CSR: its signature is not by its key, so it was changed or is not its sender's: %w", err)
	}
	if err := checkPublic(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("read CSR: %w", err)
	}
	return csr, nil
}

// Renewal asks for a certificate in place of an older one.
type Renewal struct {
	CertFile string // the older one
	NewKey   bool   // of the kind of Output, else the key stays
	Output          // an empty Dir is the folder of CertFile
}

// Renew makes a certificate with the subject of an older one. The older one
// stays valid until it ends or is revoked.
func (a *Authority) Renew(r Renewal) (*Made, error) {
	old, err := a.ownCertificate(r.CertFile)
	if err != nil {
		return nil, err
	}
	j := job{Output: r.Output, subject: old.RawSubject, file: fileName(old.Subject.CommonName), renews: old}
	if j.Dir == "" {
		j.Dir = filepath.Dir(r.CertFile)
	}
	if !r.NewKey {
		j.public = old.PublicKey
	}
	return a.issue(j)
}

// ownCertificate reads a certificate that this authority has signed.
func (a *Authority) ownCertificate(path string) (*x509.Certificate, error) {
	list, err := readCertificates(path)
	if err != nil {
		return nil, err
	}
	c := list[0]
	if c.Equal(a.Certificate) {
		return nil, fmt.Errorf("%s is the root itself; make a new root with `edgehold ext ca`, and take the old one off the machines that trust it", path)
	}
	if err := c.CheckSignatureFrom(a.Certificate); err != nil {
		return nil, fmt.Errorf("%s was not issued by %q; give the folder of the authority that did: %w", path, a.Certificate.Subject.CommonName, err)
	}
	return c, nil
}

// job is a certificate to be made.
type job struct {
	Output
	subject []byte
	file    string            // name of its files, without an ending
	public  crypto.PublicKey  // nil: a key is made
	renews  *x509.Certificate // nil: none
	key     crypto.Signer     // that was made
}

func (a *Authority) issue(j job) (*Made, error) {
	if err := a.checkKeyWishes(j); err != nil {
		return nil, err
	}
	start, end, shortened, err := a.term(j.Days)
	if err != nil {
		return nil, err
	}
	dir, err := a.checkPlace(j)
	if err != nil {
		return nil, err
	}
	if j.public == nil {
		if j.key, err = makeKey(j.Kind); err != nil {
			return nil, err
		}
		j.public = j.key.Public()
	}
	return a.certify(j, dir, validity{start, end, shortened})
}

// validity is the term of a certificate.
type validity struct {
	start, end time.Time
	shortened  bool
}

// CheckPlace tells what is wrong with a folder for the files of name, before
// anything is made.
func (a *Authority) CheckPlace(dir, name string) error {
	_, err := a.checkPlace(job{Output: Output{Dir: dir}, file: fileName(name)})
	return err
}

// checkPlace gives the folder of the files, which need not be there. A key that
// is given must not be one that was taken back.
func (a *Authority) checkPlace(j job) (dir string, err error) {
	if dir, err = a.checkApart(j.Dir); err != nil {
		return "", err
	}
	if files := taken(filepath.Join(dir, j.file)); len(files) > 0 && j.renews == nil {
		return "", existsError(files[0])
	}
	there := dir
	for _, err = os.Stat(there); errors.Is(err, fs.ErrNotExist); _, err = os.Stat(there) {
		there = filepath.Dir(there)
	}
	if err == nil {
		err = unix.Access(there, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return "", fmt.Errorf("the folder %s cannot be written to: %w; give another --out", there, err)
	}
	if j.public == nil {
		return dir, nil
	}
	r, err := readRecord(a.dir)
	if err != nil {
		return "", err
	}
	return dir, r.checkKey(j)
}

func (a *Authority) certify(j job, dir string, v validity) (_ *Made, err error) {
	template := &x509.Certificate{
		SerialNumber: newSerial(), RawSubject: j.subject, NotBefore: v.start, NotAfter: v.end,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if template.SubjectKeyId, err = keyID(j.public); err != nil {
		return nil, err
	}
	_, before := os.Stat(dir)
	if err := os.MkdirAll(dir, privateFolder); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer func() {
		if err != nil && errors.Is(before, fs.ErrNotExist) {
			os.Remove(dir) // which stays where something is in it
		}
	}()
	made := &Made{Shortened: v.shortened}
	err = a.update(func(r *Record) (err error) {
		if made.Certificate, err = signCertificate(template, a.Certificate, j.public, a.key); err != nil {
			return err
		}
		return a.deliver(r, j, filepath.Join(dir, j.file), made)
	})
	return made, err
}

func (a *Authority) checkKeyWishes(j job) error {
	if a.key == nil {
		return errors.New("the key of the authority is closed")
	}
	if j.public != nil {
		if sameKey(a.Certificate.PublicKey, j.public) {
			return errors.New("the key is the root's own; a developer needs one of his own")
		}
		if j.Fused {
			return errors.New("one file with certificate and key is made where the key is made; leave out --fused, or have the key made here")
		}
		return nil
	}
	if j.Fused && j.Kind != RSA4096 {
		return fmt.Errorf("the vendor's tools, for which certificate and key go into one file, take RSA keys only; choose %s", RSA4096)
	}
	return checkPhrase(j.Phrase)
}

// term is the validity of a certificate that is issued now: never beyond the
// authority's own.
func (a *Authority) term(days int) (start, end time.Time, shortened bool, err error) {
	now, ends := a.now().UTC().Truncate(time.Second), a.Certificate.NotAfter
	switch {
	case now.After(ends):
		err = fmt.Errorf("the authority %q has ended on %s; make a new one with `edgehold ext ca`", a.Certificate.Subject.CommonName, ends.Format(time.DateOnly))
	case now.Before(a.Certificate.NotBefore):
		err = fmt.Errorf("the authority begins on %s, which this machine's clock (%s) has not reached; set the clock",
			a.Certificate.NotBefore.Format(time.DateTime), now.Format(time.DateTime))
	case days != 0:
		err = checkDays(days)
	}
	if err != nil {
		return start, end, false, err
	}
	end = now.Add(time.Duration(cmp.Or(days, DeveloperDays)) * day)
	if end.After(ends) {
		if days != 0 {
			return start, end, false, fmt.Errorf("%d days end after the authority itself (%s); ask for at most %d days, or make a new authority with `edgehold ext ca`",
				days, ends.Format(time.DateOnly), int(ends.Sub(now)/day))
		}
		end, shortened = ends, true
	}
	if start = now.Add(-backdate); start.Before(a.Certificate.NotBefore) {
		start = a.Certificate.NotBefore
	}
	return start, end, shortened, nil
}

// deliver records the certificate and writes its files. The key comes first and
// the certificate last, so that what is there can be used.
func (a *Authority) deliver(r *Record, j job, base string, made *Made) error {
	if err := r.checkKey(j); err != nil {
		return err
	}
	if files := taken(base); len(files) > 0 {
		if j.renews == nil {
			return existsError(files[0])
		}
		base = freeBase(base)
	}
	if err := writeKey(j, base, made); err != nil {
		return err
	}
	r.add(made.Certificate, j.renews)
	err := r.write(a.dir)
	if err == nil {
		err = writeNew(base+certEnding, encodeCertificate(made.Certificate))
	}
	if err != nil {
		discard(made.KeyFile)
		return err
	}
	made.CertFile = base + certEnding
	return writeFused(j, base, made)
}

func writeKey(j job, base string, made *Made) error {
	if j.key == nil {
		return nil
	}
	key, err := EncodeKey(j.key, j.Phrase)
	if err != nil {
		return err
	}
	made.KeyFile = base + keyEnding
	return writeNew(made.KeyFile, key)
}

// discard removes a key whose certificate could not be written.
func discard(path string) {
	if path != "" {
		os.Remove(path)
	}
}

// writeFused writes certificate and key into one file, in the order and form
// that the vendor's tools want.
func writeFused(j job, base string, made *Made) error {
	if !j.Fused {
		return nil
	}
	key, ok := j.key.(*rsa.PrivateKey)
	if !ok {
		return errors.New("only an RSA key goes into one file with its certificate")
	}
	block := &pem.Block{Type: labelPKCS1, Bytes: x509.MarshalPKCS1PrivateKey(key)}
	made.FusedFile = base + fusedEnding
	return writeNew(made.FusedFile, slices.Concat(encodeCertificate(made.Certificate), pem.EncodeToMemory(block)))
}

// add records a certificate, and of the older one that it came after it.
func (r *Record) add(c, renews *x509.Certificate) {
	e := entryOf(c)
	if renews != nil {
		older := r.findOrAdd(renews)
		older.RenewedBy, e.Renews = e.Serial, older.Serial
	}
	r.Certificates = append(r.Certificates, e)
}

// keyID is the subject key identifier of a key (RFC 7093, method 1).
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if err := unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(spki.Key.Bytes)
	return sum[:20], nil
}
