package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

const exampleURL = "https://abc12345.live.dynatrace.com"

// uplink checks the one uplink that a configuration must have.
func (c *checker) uplink(d *Dynatrace) *Dynatrace {
	at, found := c.locate([]string{"uplink", "dynatrace"})
	if !found || at.shape != table || d == nil {
		if !c.inside["uplink"] {
			keys := []string{"uplink", "dynatrace"}
			if !c.given("uplink") {
				keys = keys[:1]
			}
			c.need("uplink: {dynatrace: {url: "+exampleURL+", token_file: /etc/edgehold/token}}", keys...)
		}
		return nil
	}
	out := *d
	c.need("url: "+exampleURL, "uplink", "dynatrace", "url")
	if d.URL != "" || c.given("uplink", "dynatrace", "url") {
		normal, fault := normalURL(d.URL)
		out.URL = normal
		if fault.Found != "" {
			c.fault(fault, "uplink", "dynatrace", "url")
		}
	}
	c.tokenSource(&out)
	if fault := proxyFault(d.Proxy); fault.Found != "" {
		c.fault(fault, "uplink", "dynatrace", "proxy")
	}
	out.CAFile = c.file(d.CAFile, "uplink", "dynatrace", "ca_file")
	if err := checkCertificates(out.CAFile); err != nil {
		c.fault(Error{Found: err.Error(), Expected: "the path of a PEM file with certificates"}, "uplink", "dynatrace", "ca_file")
	}
	return &out
}

// tokenSource checks that exactly one source is named. Whether the token can
// be had is found out by Token, so that a lost token stops sending only.
func (c *checker) tokenSource(d *Dynatrace) {
	at := []string{"uplink", "dynatrace"}
	for _, e := range c.errs {
		if strings.HasPrefix(e.Path, "uplink.dynatrace.") && soundsSecret(e.Path) {
			return // an attempt at it has been reported
		}
	}
	c.source(d.source(), "token_file: /etc/edgehold/token", at)
	if d.TokenFile != "" {
		d.TokenFile = c.file(d.TokenFile, under(at, "token_file")...)
	}
}

// tokenWhere is the place of the token's source, or of the uplink without one.
func (c *checker) tokenWhere() string {
	at := []string{"uplink", "dynatrace"}
	for _, key := range []string{"token_file", "token_credential", "token_env"} {
		if c.given(under(at, key)...) {
			at = under(at, key)
			break
		}
	}
	n, _ := c.locate(at)
	return n.where()
}

// HasToken reports whether a source of the token is named.
func (d Dynatrace) HasToken() bool {
	return d.TokenFile != "" || d.TokenCredential != "" || d.TokenEnv != ""
}

func (d Dynatrace) source() secretSource {
	return secretSource{name: "token", file: d.TokenFile, credential: d.TokenCredential, env: d.TokenEnv}
}

// Token reads the token now, so that a renewed one is taken up. Errors name
// where it was looked for and the mend, never the token.
func (d Dynatrace) Token() (probes.Secret, error) {
	s := d.source()
	token, err := s.read()
	if err != nil {
		return token, fmt.Errorf("%s: %w", s.key(), err)
	}
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return probes.Secret{}, fmt.Errorf("%s: the token holds blanks or characters that no token has; copy it again", s.key())
	}
	return token, nil
}

var environmentPath = regexp.MustCompile(`^(/e/[A-Za-z0-9._-]+)?$`)

// normalURL is the address of an environment without the API's own path.
func normalURL(text string) (string, Error) {
	if !strings.Contains(text, "://") {
		e := Error{Found: "no scheme", Expected: "https://", Mend: "write e.g. " + exampleURL}
		if showable("", text) && text != "" && !strings.ContainsAny(text, "@?# \"") {
			e.Mend = "write https://" + text
		}
		return "", e
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, " \"") {
		return "", Error{Found: "not a URL", Expected: "one such as " + exampleURL}
	}
	host := strings.ToLower(u.Host)
	switch {
	case u.User != nil:
		return "", Error{Found: "holds a user or password", Mend: "remove it; the agent signs in with its token"}
	case u.RawQuery != "" || u.Fragment != "":
		return "", Error{Found: "holds a query or fragment", Mend: "write nothing behind the host, or behind /e/ID"}
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", Error{Found: "http would send the token in clear text", Expected: "https", Mend: "write https://HOST; http is for this machine only (127.0.0.1, ::1, localhost)"}
	case u.Scheme != "https" && u.Scheme != "http":
		return "", Error{Found: "an unknown scheme", Expected: "https://"}
	case strings.Contains(host, ".apps.dynatrace"):
		return "", Error{Found: "the address of the web interface, which takes no metrics", Mend: "write https://" + strings.Replace(host, ".apps.", ".live.", 1)}
	}
	path := u.EscapedPath()
	if i := strings.Index(path+"/", "/api/v2/"); i >= 0 {
		path = path[:i]
	}
	path = strings.TrimRight(path, "/")
	if !environmentPath.MatchString(path) {
		return "", Error{Found: "an unknown path behind the host", Expected: "https://HOST or https://HOST/e/ID"}
	}
	return u.Scheme + "://" + host + path, Error{}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// proxyFault checks the URL of a proxy. One with a password is a secret.
func proxyFault(text string) Error {
	if text == "" {
		return Error{}
	}
	u, err := url.Parse(text)
	known := err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "socks5")
	switch {
	case err == nil && u.User != nil:
		return Error{
			Found: "holds a user or password, and a secret must not stand in the configuration",
			Mend:  "set HTTPS_PROXY in the environment of the agent instead, from a file that only root can read",
		}
	case !known || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Error{Found: "not the URL of a proxy", Expected: "one such as http://proxy.example.com:3128"}
	}
	return Error{}
}

func checkCertificates(path string) error {
	if path == "" {
		return nil
	}
	data, err := readRegular(path, maxFile)
	if err != nil {
		return fmt.Errorf("cannot be read (%s)", reason(err))
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New("holds no certificate")
	}
	return nil
}
