package mtls

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Role is what a certificate is for.
type Role string

// The roles. Broker is for a server, the others are for clients.
const (
	Broker Role = "broker"
	Site   Role = "site"
	Relay  Role = "relay"
)

// unitPrefix and the role are the organizational unit of a certificate.
const unitPrefix = "edgehold-"

// Request asks for a certificate.
type Request struct {
	Role   Role
	Name   string   // common name: of a site or relay its id
	Hosts  []string // names and addresses of a broker; with Renew nil: those of the older one
	CSR    *CSR     // of a key that is elsewhere; nil: the key is made here
	Days   int      // of validity; 0: LeafDays, or until the authority ends
	Dir    string   // for the files; made if need be
	Renew  bool     // in place of the newest one of the name, for the same key
	NewKey bool     // with Renew: for a new key
	Force  bool     // replace files
}

// Made is a new certificate with its files; KeyFile is empty where no key was
// made.
type Made struct {
	Issued
	CertFile, KeyFile, RootFile string
}

// Issue makes a certificate.
func (a *Authority) Issue(r Request) (*Made, error) {
	if a.key == nil {
		return nil, errors.New("the key of the authority is closed")
	}
	template, err := a.template(r)
	if err != nil {
		return nil, err
	}
	release, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	rec, err := a.read()
	if err != nil {
		return nil, err
	}
	older, err := rec.older(r)
	if err != nil {
		return nil, err
	}
	j := &job{Request: r, template: template, base: filepath.Join(r.Dir, r.Name)}
	if r.CSR != nil {
		j.public = r.CSR.public
	}
	if older != nil {
		if err := a.takeOver(j, older); err != nil {
			return nil, err
		}
	}
	if err := addHosts(template, j.Hosts); err != nil {
		return nil, err
	}
	if r.Role == Broker && len(template.DNSNames)+len(template.IPAddresses) == 0 {
		return nil, errors.New("a broker's certificate names the hosts that clients dial; give --dns or --ip")
	}
	return a.deliver(rec, j)
}

// job is a certificate that is being made.
type job struct {
	Request
	template *x509.Certificate
	public   crypto.PublicKey // nil: a key is made
	older    *x509.Certificate
	base     string // path of the files, without an ending
}

// older is what the request renews, nil for none.
func (rec *record) older(r Request) (*Entry, error) {
	for _, e := range rec.Certificates {
		if r.Role != Broker && e.Role != Broker && e.Role != r.Role && e.Name == r.Name {
			return nil, fmt.Errorf("%q was issued to a %s (serial %s), and brokers tell clients apart by the name alone; give this %s another name",
				r.Name, e.Role, e.Serial, r.Role)
		}
	}
	older := rec.latest(r.Role, r.Name)
	switch {
	case r.Renew && older == nil:
		return nil, fmt.Errorf("%s %q has no certificate to renew; leave out --renew, or see `edgehold relay cert ls`", r.Role, r.Name)
	case !r.Renew && older != nil && !r.Force:
		return nil, fmt.Errorf("%s %q has a certificate already (serial %s, until %s); give --renew for one in its place, or revoke it first",
			r.Role, r.Name, older.Serial, older.NotAfter.Format(time.DateOnly))
	}
	if !r.Renew {
		older = nil
	}
	return older, nil
}

// takeOver takes from the older certificate what the request leaves open.
func (a *Authority) takeOver(j *job, e *Entry) (err error) {
	if j.older, err = readCertificate(filepath.Join(a.Dir, issuedName, e.Serial+".pem")); err != nil {
		return err
	}
	if j.public == nil && !j.NewKey {
		j.public = j.older.PublicKey
	}
	if j.Hosts == nil {
		j.Hosts = e.Hosts
	}
	return nil
}

func (a *Authority) template(r Request) (*x509.Certificate, error) {
	if r.Name == "" || len(r.Name) > 64 || filepath.Base(r.Name) != r.Name || r.Name[0] == '.' {
		return nil, fmt.Errorf("name %q: want 1 to 64 characters, none of them a slash, the first no dot", r.Name)
	}
	now, ends := a.now().UTC().Truncate(time.Second), a.Certificate.NotAfter
	if r.Days != 0 {
		if err := checkDays(r.Days); err != nil {
			return nil, err
		}
	}
	end := now.Add(time.Duration(cmp.Or(r.Days, LeafDays)) * day)
	switch {
	case now.After(ends):
		return nil, fmt.Errorf("the authority has ended on %s; make a new one with `edgehold relay cert ca`", ends.Format(time.DateOnly))
	case end.After(ends) && r.Days != 0:
		return nil, fmt.Errorf("%d days end after the authority itself (%s); ask for at most %d", r.Days, ends.Format(time.DateOnly), int(ends.Sub(now)/day))
	case end.After(ends):
		end = ends
	}
	t := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: r.Name, OrganizationalUnit: []string{unitPrefix + string(r.Role)}},
		NotBefore: now.Add(-backdate), NotAfter: end, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	switch r.Role {
	case Broker:
		t.ExtKeyUsage[0] = x509.ExtKeyUsageServerAuth
	case Site, Relay:
	default:
		return nil, fmt.Errorf("role %q: want broker, site or relay", r.Role)
	}
	return t, nil
}

func addHosts(t *x509.Certificate, hosts []string) error {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
			continue
		}
		if host == "" || len(host) > 253 || strings.ContainsAny(host, " /:@,") {
			return fmt.Errorf("host %q: want a name such as mqtt.example.com or an address", host)
		}
		t.DNSNames = append(t.DNSNames, host)
	}
	return nil
}

// deliver makes the certificate, records it and writes its files: the key comes
// first and the certificate last, so that what is there can be used.
func (a *Authority) deliver(rec *record, j *job) (*Made, error) {
	made := &Made{CertFile: j.base + ".pem", RootFile: filepath.Join(j.Dir, RootName)}
	if err := os.MkdirAll(j.Dir, privateFolder); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	replace, err := a.checkFiles(j, made)
	if err != nil {
		return nil, err
	}
	if j.public == nil {
		made.KeyFile = j.base + ".key"
		key, err := newKey(made.KeyFile, j.Force)
		if err != nil {
			return nil, err
		}
		j.public = key.Public()
	}
	if j.template.SubjectKeyId, err = keyID(j.public); err != nil {
		return nil, err
	}
	c, err := makeCertificate(j.template, a.Certificate, j.public, a.key)
	if err != nil {
		return nil, err
	}
	if err = rec.checkKey(c); err == nil {
		err = a.keep(rec, c)
	}
	if err != nil {
		return nil, err
	}
	if root := encode(a.Certificate); !holds(made.RootFile, root) {
		if err := write(made.RootFile, root, j.Force); err != nil {
			return nil, err
		}
	}
	made.Issued = entryOf(c).judge(a.now())
	return made, write(made.CertFile, encode(c), replace)
}

// checkFiles tells whether the certificate may take the place of the file that
// is there: it may where that file is what it renews.
func (a *Authority) checkFiles(j *job, made *Made) (replace bool, err error) {
	if samePlace(j.Dir, a.Dir) {
		return false, fmt.Errorf("%s is the folder of the authority, whose key goes nowhere else; give another --out", j.Dir)
	}
	if j.Force {
		return true, nil
	}
	root := encode(a.Certificate)
	if free(made.RootFile) != nil && !holds(made.RootFile, root) {
		return false, free(made.RootFile)
	}
	if j.older != nil && holds(made.CertFile, encode(j.older)) {
		replace = true
	} else if err := free(made.CertFile); err != nil {
		return false, err
	}
	if j.public == nil {
		return replace, free(j.base + ".key")
	}
	return replace, nil
}

func samePlace(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// keep records a certificate, and stores it: to renew it without its owner.
func (a *Authority) keep(rec *record, c *x509.Certificate) error {
	folder := filepath.Join(a.Dir, issuedName)
	if err := os.MkdirAll(folder, privateFolder); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	e := entryOf(c)
	if err := write(filepath.Join(folder, e.Serial+".pem"), encode(c), false); err != nil {
		return err
	}
	rec.Certificates = append(slices.Clip(rec.Certificates), e)
	return a.write(rec)
}

// checkKey refuses a key that was taken back, with whatever name.
func (rec *record) checkKey(c *x509.Certificate) error {
	key := digest(c.RawSubjectPublicKeyInfo)
	for _, e := range rec.Certificates {
		if e.Key == key && !e.Revoked.IsZero() {
			return fmt.Errorf("the key is the one of certificate %s (%s %q), which was revoked on %s; make a new key (--new-key, or `edgehold relay cert request` without --renew)",
				e.Serial, e.Role, e.Name, e.Revoked.Format(time.DateOnly))
		}
	}
	return nil
}
