package setup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/probes"
)

// soon is how near the end of a certificate has to be to be told.
const soon = 30 * 24 * time.Hour

// Broker tests a broker and the certificate of a site.
func Broker(ctx context.Context, u Uplink, site string, now time.Time) []Finding {
	var found []Finding
	if u.CertFile != "" {
		found = certificate(u, site, now)
		if AnyFailed(found) {
			return found
		}
	}
	o := mqtt.Options{
		Broker: u.URL, ClientID: site + "-init", CAFile: u.CAFile, CertFile: u.CertFile, KeyFile: u.KeyFile,
		User: u.User, Log: zerolog.Nop(),
	}
	if !u.Password.IsZero() {
		o.Password = func() (probes.Secret, error) { return u.Password, nil }
	}
	conn, err := mqtt.Dial(ctx, o)
	if err != nil {
		return append(found, Finding{Failed, printable(err.Error(), 500), ""})
	}
	_ = conn.Close(ctx) // nothing was sent
	return append(found, Finding{Good, "the broker " + brokerHost(u.URL) + " lets this site in", ""})
}

func brokerHost(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Host
	}
	return text
}

// certificate holds the pair of files together, and against the site and time.
func certificate(u Uplink, site string, now time.Time) []Finding {
	for _, file := range []string{u.CertFile, u.KeyFile} {
		if _, err := os.ReadFile(file); err != nil {
			return []Finding{{Failed, fmt.Sprintf("read certificate and key: %v", err), "name two files in PEM form that this user may read"}}
		}
	}
	pair, err := tls.LoadX509KeyPair(u.CertFile, u.KeyFile)
	if err != nil {
		return []Finding{{Failed, "certificate and key: " + err.Error(), "name a certificate and the key that belongs to it, in PEM form"}}
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return []Finding{{Failed, "read certificate: " + err.Error(), ""}}
	}
	name := leaf.Subject.CommonName
	switch {
	case name != site:
		return []Finding{{Failed, fmt.Sprintf("the certificate is for %q, and the site is %q", printable(name, 100), site), "name the certificate that was made for this site, or the site as the certificate does"}}
	case now.After(leaf.NotAfter):
		return []Finding{{Failed, "the certificate has ended on " + leaf.NotAfter.Format(time.DateOnly), "have a new one made for this site, unless this machine's clock is ahead"}}
	case now.Before(leaf.NotBefore):
		return []Finding{{Failed, "the certificate is not valid before " + leaf.NotBefore.Format(time.DateOnly), "check this machine's clock"}}
	case now.Add(soon).After(leaf.NotAfter):
		return []Finding{{Note, "the certificate of the site ends on " + leaf.NotAfter.Format(time.DateOnly), "have a new one made in time"}}
	}
	return []Finding{{Good, "the certificate is the site's and lasts until " + leaf.NotAfter.Format(time.DateOnly), ""}}
}
