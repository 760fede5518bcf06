package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const day = 24 * time.Hour

// certificateError says in words what is wrong with a certificate.
type certificateError struct{ words string }

// Error is the words.
func (e *certificateError) Error() string { return e.words }

// judge looks at the certificates of a server.
type judge struct {
	caFile string
	skip   bool // nobody is to judge
	warn   int  // days
	now    probes.Stamp
	roots  *x509.CertPool // of a judge that has opened

	ends time.Time // found: when the first of the chain ends; zero: there was none
}

// newJudge reads the authorities, anew for each check.
func newJudge(j judge) (*judge, error) {
	roots, err := pool(os.ReadFile, j.caFile)
	j.roots = roots
	return &j, err
}

// warnFile tells what is wrong with a file of authorities.
func warnFile(name string) []string {
	if _, err := pool(os.ReadFile, name); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// config is that of a client that asks the judge, not the wall clock.
func (j *judge) config(serverName string) *tls.Config {
	return &tls.Config{
		ServerName: serverName, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection:   func(s tls.ConnectionState) error { return j.verify(serverName, s.PeerCertificates) },
	}
}

// verify finds out when the chain ends, and what is wrong with it. While this
// machine's time is a guess no certificate is too old or too new.
func (j *judge) verify(name string, served []*x509.Certificate) error {
	if len(served) == 0 {
		return &certificateError{"the server has shown no certificate"}
	}
	j.ends = firstEnd(served)
	if j.skip {
		return nil
	}
	o := x509.VerifyOptions{Roots: j.roots, DNSName: name, CurrentTime: j.now.Time(), Intermediates: x509.NewCertPool()}
	if j.now.Guess {
		o.CurrentTime = lastBegin(served)
	}
	for _, c := range served[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := served[0].Verify(o)
	var early x509.CertificateInvalidError
	for range served { // an authority may be younger than what it stands for now
		if !j.now.Guess || !errors.As(err, &early) || early.Reason != x509.Expired || !early.Cert.NotBefore.After(o.CurrentTime) {
			break
		}
		o.CurrentTime = early.Cert.NotBefore
		chains, err = served[0].Verify(o)
	}
	if err != nil {
		return &certificateError{j.explain(name, served, err)}
	}
	j.ends = firstEnd(chains[0])
	for _, chain := range chains[1:] { // the way that lasts longest counts
		if end := firstEnd(chain); end.After(j.ends) {
			j.ends = end
		}
	}
	return nil
}

func firstEnd(all []*x509.Certificate) time.Time {
	end := all[0].NotAfter
	for _, c := range all {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

func lastBegin(all []*x509.Certificate) time.Time {
	begin := all[0].NotBefore
	for _, c := range all {
		if c.NotBefore.After(begin) {
			begin = c.NotBefore
		}
	}
	return begin
}

func (j *judge) explain(name string, served []*x509.Certificate, err error) string {
	var (
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		if j.now.Time().Before(c.NotBefore) {
			return fmt.Sprintf("the certificate of %s is valid from %s on only", subject(c), c.NotBefore.UTC().Format(time.DateOnly))
		}
		return fmt.Sprintf("the certificate of %s has expired on %s", subject(c), c.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &host):
		return fmt.Sprintf("the certificate is for %s, not for %s", names(served[0]), name)
	case errors.As(err, &unknown) && issuedItself(served[0]):
		return "the certificate is self-signed; where that is right, name it as ca_file"
	case errors.As(err, &unknown):
		last := served[len(served)-1]
		return fmt.Sprintf("the chain of %d certificates ends at %s, whose issuer %s is not trusted here; either the server lacks a certificate in between, or name the issuer's as ca_file",
			len(served), subject(last), printable(last.Issuer.String()))
	}
	return printable(strings.TrimPrefix(err.Error(), "x509: "))
}

func issuedItself(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

func subject(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return printable(c.Subject.CommonName)
	}
	return names(c)
}

// names lists some of the names that a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	const most = 5
	switch {
	case len(all) == 0:
		return "no name at all"
	case len(all) > most:
		return printable(strings.Join(all[:most], ", ")) + fmt.Sprintf(" and %d more", len(all)-most)
	}
	return printable(strings.Join(all, ", "))
}

// tell adds how many days are left, and says where they are few.
func (j *judge) tell(a *answer) {
	if j.ends.IsZero() {
		return
	}
	if j.now.Guess {
		if a.wrong == nil && !j.skip {
			a.wrong = warnf("the clock of this machine is not trusted yet, so nobody can tell whether the certificate has expired")
		}
		return
	}
	left := j.ends.Sub(j.now.Time())
	a.add(daysLeft, float64(left)/float64(day))
	if a.wrong == nil && !j.skip && left < time.Duration(j.warn)*day {
		a.wrong = warnf("a certificate of the chain expires in %.1f days, on %s; renew it", float64(left)/float64(day), j.ends.UTC().Format(time.DateOnly))
	}
}
