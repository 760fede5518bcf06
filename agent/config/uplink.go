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

// examples are URLs by the kind of the uplink.
var examples = map[string]string{"dynatrace": exampleURL, "otlp": exampleURL + "/api/v2/otlp"}

// uplink checks the one uplink that a configuration must have.
func (c *checker) uplink(doc uplink, site string) Uplink {
	out := Uplink{Kind: "dynatrace", Budget: c.budget(doc.Profile, doc.Budget)}
	if c.given("uplink", "dynatrace") && c.given("uplink", "otlp") {
		c.fault(Error{Found: "dynatrace and otlp are given", Expected: "one of them"}, "uplink", "otlp")
	}
	for _, other := range []string{"dynatrace", "otlp"} {
		if c.given("uplink", "mqtt") && c.given("uplink", other) {
			c.fault(Error{Found: other + " and mqtt are given", Expected: "one of them"}, "uplink", "mqtt")
			return out
		}
	}
	if c.given("uplink", "mqtt") && doc.MQTT != nil {
		out.Kind, out.MQTT = "mqtt", c.mqttUplink(doc.MQTT, site)
		out.TokenWhere = c.tokenWhere(out.Kind)
		return out
	}
	e := doc.Dynatrace.endpoint()
	if c.given("uplink", "otlp") && !c.given("uplink", "dynatrace") {
		out.Kind, e = "otlp", doc.OTLP
	}
	at, found := c.locate([]string{"uplink", out.Kind})
	if !found || at.shape != table || e == nil {
		if !c.inside["uplink"] {
			keys := []string{"uplink", "dynatrace"}
			if !c.given("uplink") {
				keys = keys[:1]
			}
			c.need("uplink: {dynatrace: {url: "+exampleURL+", token_file: /etc/edgehold/token}}", keys...)
		}
		return out
	}
	out.Endpoint = c.endpoint(out.Kind, *e)
	out.TokenWhere = c.tokenWhere(out.Kind)
	return out
}

// endpoint checks what stands under uplink.dynatrace or uplink.otlp.
func (c *checker) endpoint(kind string, e Endpoint) Endpoint {
	at := []string{"uplink", kind}
	out := e
	c.need("url: "+examples[kind], under(at, "url")...)
	if e.URL != "" || c.given(under(at, "url")...) {
		normal, fault := normalURL(e.URL)
		if kind == "otlp" {
			normal, fault = normalOTLP(e.URL, e.HasToken())
		}
		out.URL = normal
		if fault.Found != "" {
			c.fault(fault, under(at, "url")...)
		}
	}
	c.tokenSource(kind, &out)
	if fault := proxyFault(e.Proxy); fault.Found != "" {
		c.fault(fault, under(at, "proxy")...)
	}
	out.CAFile = c.file(e.CAFile, under(at, "ca_file")...)
	if err := checkCertificates(out.CAFile); err != nil {
		c.fault(Error{Found: err.Error(), Expected: "the path of a PEM file with certificates"}, under(at, "ca_file")...)
	}
	out.Compression = c.choice(e.Compression, choices["compression"], under(at, "compression"))
	out.Resolution = c.choice(e.Resolution, choices["resolution"], under(at, "resolution"))
	return out
}

// choice is one of the words, the first where none is given.
func (c *checker) choice(value string, words, keys []string) string {
	if !c.given(keys...) {
		return words[0]
	}
	c.word(value, words, keys...)
	return value
}

// tokenSource checks that exactly one source is named; an OTLP receiver may
// want none. Whether the token can be had is found out by Token, so that a
// lost token stops sending only.
func (c *checker) tokenSource(kind string, e *Endpoint) {
	at := []string{"uplink", kind}
	for _, x := range c.errs {
		if strings.HasPrefix(x.Path, pathOf(at)+".") && soundsSecret(x.Path) {
			return // an attempt at it has been reported
		}
	}
	if kind == "otlp" {
		e.TokenScheme = c.choice(e.TokenScheme, choices["token_scheme"], under(at, "token_scheme"))
	}
	if kind == "dynatrace" || c.anyToken(at) {
		c.source(e.source(), "token_file: /etc/edgehold/token", at)
	}
	if e.TokenFile != "" {
		e.TokenFile = c.file(e.TokenFile, under(at, "token_file")...)
	}
}

func (c *checker) anyToken(at []string) bool {
	return c.given(under(at, "token_file")...) || c.given(under(at, "token_credential")...) || c.given(under(at, "token_env")...)
}

// tokenWhere is the place of the token's source, or of the uplink without one.
func (c *checker) tokenWhere(kind string) string {
	at := []string{"uplink", kind}
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
func (e Endpoint) HasToken() bool {
	return e.TokenFile != "" || e.TokenCredential != "" || e.TokenEnv != ""
}

func (e Endpoint) source() secretSource {
	return secretSource{name: "token", file: e.TokenFile, credential: e.TokenCredential, env: e.TokenEnv}
}

// Token reads the token now, so that a renewed one is taken up. Errors name
// where it was looked for and the mend, never the token.
func (e Endpoint) Token() (probes.Secret, error) {
	s := e.source()
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

// normalOTLP is the address of a receiver without /v1/metrics. Clear text is
// for a receiver on this machine, or for one that wants no token.
func normalOTLP(text string, token bool) (string, Error) {
	u, fault := parseURL(text, exampleURL+"/api/v2/otlp")
	if fault.Found != "" {
		return "", fault
	}
	if u.Scheme == "http" && token && !loopback(u.Hostname()) {
		fault := clearText
		fault.Mend = "write https://HOST, or name no token; with one, http is for this machine only (127.0.0.1, ::1, localhost)"
		return "", fault
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	for _, end := range []string{"/v1/metrics", "/v1/logs", "/v1/traces", "/v1"} {
		path = strings.TrimRight(strings.TrimSuffix(path, end), "/")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + path, Error{}
}

var clearText = Error{Found: "http would send the token in clear text", Expected: "https", Mend: "write https://HOST; http is for this machine only (127.0.0.1, ::1, localhost)"}

// normalURL is the address of an environment without the API's own path.
func normalURL(text string) (string, Error) {
	u, fault := parseURL(text, exampleURL)
	if fault.Found != "" {
		return "", fault
	}
	host := strings.ToLower(u.Host)
	switch {
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", clearText
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

// parseURL takes http and https URLs that hold no secret.
func parseURL(text, example string) (*url.URL, Error) {
	if !strings.Contains(text, "://") {
		e := Error{Found: "no scheme", Expected: "https://", Mend: "write e.g. " + example}
		if showable("", text) && text != "" && !strings.ContainsAny(text, "@?# \"") {
			e.Mend = "write https://" + text
		}
		return nil, e
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, " \"") {
		return nil, Error{Found: "not a URL", Expected: "one such as " + example}
	}
	switch {
	case u.User != nil:
		return nil, Error{Found: "holds a user or password", Mend: "remove it; the agent signs in with its token"}
	case u.RawQuery != "" || u.Fragment != "":
		return nil, Error{Found: "holds a query or fragment", Mend: "write nothing behind the host, or behind /e/ID"}
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, Error{Found: "an unknown scheme", Expected: "https://"}
	}
	return u, Error{}
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
