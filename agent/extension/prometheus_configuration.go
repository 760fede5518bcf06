package extension

import (
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// prometheusPart is the prometheus part of a monitoring configuration.
type prometheusPart struct{ endpoints []scrapeEntry }

// scrapeEntry is an endpoint as the configuration writes it.
type scrapeEntry struct {
	at        value
	url       value
	auth      scrapeAuth
	made      plan.ScrapeEndpoint // without its authentication
	targetOf  string              // host name or address
	plainText bool                // http, to another machine
}

// scrapeAuth is the authentication as it is written. Its secrets are out of the
// tree.
type scrapeAuth struct {
	at       value
	scheme   value
	vault    bool
	user     value
	password secretText
	token    secretText
}

const (
	maxEndpoints = 100
	maxURL       = 500 // characters
)

var (
	prometheusKeys = []string{"prometheusRemote", "prometheusLocal"}
	endpointsKeys  = []string{"endpoints"}
	endpointKeys   = []string{"url", "authentication", "advanced", "autoDiscovery", "primaryFields", "primaryTags"}
	scrapeAuthKeys = []string{
		"scheme", "username", "password", "token", "skipVerifyHttps", "ca", "useCredentialVault", "credentialVaultId",
		"accessKey", "secretKey", "region",
	}
	scrapeAdvancedKeys = []string{"timeoutSecs", "retries", "collectHistogramBuckets"}
	discoveryKeys      = []string{"autoDiscoveryType", "dnsType", "dnsPort", "refreshInterval"}
)

// prometheusConfiguration reads one part: the endpoints elsewhere, or those of
// this machine.
func prometheusConfiguration(r *reader, part value, c *Configuration) {
	if c.prometheus == nil {
		c.prometheus = &prometheusPart{}
	}
	o := r.object(part, endpointsKeys)
	items := o.list("endpoints")
	if v, ok := o.get("endpoints"); !ok || v.kind == kindList && len(items) == 0 {
		o.missing("endpoints", "a list of endpoints with at least one url")
	}
	if len(items) > maxEndpoints {
		at, _ := o.get("endpoints")
		r.fail(at.node, at.path, "found "+strconv.Itoa(len(items))+" endpoints, expected at most "+strconv.Itoa(maxEndpoints)+"; split the configuration")
		return
	}
	seen := make(map[string]bool)
	for _, v := range items {
		e := r.scrapeEntry(v, c)
		if strings.HasSuffix(part.path, "prometheusLocal") && e.made.URL != "" && !isLocal(e.targetOf) {
			r.fail(e.url.node, e.url.path, "found another machine, but prometheusLocal is for endpoints of this one (localhost, 127.0.0.1); list it under prometheusRemote")
		}
		if seen[e.made.URL] && e.made.URL != "" {
			r.warn(v.node, v.path, "this endpoint is listed twice")
			continue
		}
		seen[e.made.URL] = true
		c.prometheus.endpoints = append(c.prometheus.endpoints, e)
	}
}

func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func (r *reader) scrapeEntry(v value, c *Configuration) scrapeEntry {
	o := r.object(v, endpointKeys)
	e := scrapeEntry{at: v}
	if part, ok := o.get("authentication"); ok {
		e.auth = r.scrapeAuth(part, c, &e.made)
	}
	if part, ok := o.get("advanced"); ok {
		a := r.object(part, scrapeAdvancedKeys)
		e.made.Timeout = time.Duration(a.integer("timeoutSecs", 0, 50, 0)) * time.Second
		e.made.Retries = a.integer("retries", 0, 3, 0)
		e.made.Buckets = a.flag("collectHistogramBuckets", false)
	}
	if part, ok := o.get("autoDiscovery"); ok {
		e.made.Discovery = r.discovery(part)
	}
	r.scrapeURL(o, &e)
	return e
}

// scrapeURL reads the URL; with discovery it may be a mere name. It may hold a
// secret, so no message repeats it.
func (r *reader) scrapeURL(o object, e *scrapeEntry) {
	const expected = "expected a URL such as http://192.0.2.10:9100/metrics"
	text := strings.TrimSpace(o.text("url"))
	e.url, _ = o.get("url")
	if text == "" {
		if o.at.kind == kindMap {
			o.missing("url", expected[len("expected "):])
		}
		return
	}
	if e.made.Discovery != nil && !strings.Contains(text, "://") {
		text = "http://" + text
		if !strings.Contains(text[len("http://"):], "/") {
			text += "/metrics"
		}
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		r.fail(e.url.node, e.url.path, "longer than "+strconv.Itoa(maxURL)+" characters, which the environment does not take; shorten it")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		r.fail(e.url.node, e.url.path, "not a URL of http or https, "+expected)
	case u.User != nil:
		r.fail(e.url.node, e.url.path, "it holds a user, and a URL is shown; write user and password under authentication, with the scheme basic")
	case e.made.Discovery != nil && isAddress(u.Hostname()):
		r.fail(e.url.node, e.url.path, "found an address, but autoDiscovery needs a DNS name; write the name, or remove autoDiscovery")
	default:
		u.Fragment = ""
		e.made.URL, e.targetOf, e.plainText = u.String(), u.Hostname(), u.Scheme == "http" && !isLocal(u.Hostname())
	}
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// scrapeAuth takes the secrets out of the tree at once. What it means is checked
// when the endpoints are asked for.
func (r *reader) scrapeAuth(v value, c *Configuration, made *plan.ScrapeEndpoint) scrapeAuth {
	o := r.object(v, scrapeAuthKeys)
	a := scrapeAuth{at: v, vault: o.flag("useCredentialVault", false)}
	made.SkipVerify = r.looseFlag(o, "skipVerifyHttps")
	o.text("scheme")
	a.scheme, _ = o.get("scheme")
	o.text("username")
	a.user, _ = o.get("username")
	a.password, a.token = takeSecret(o, "password", c), takeSecret(o, "token", c)
	takeSecret(o, "accessKey", c)
	takeSecret(o, "secretKey", c)
	if file := o.text("ca"); file != "" {
		if made.CAFile = file; !filepath.IsAbs(file) {
			made.CAFile = filepath.Join(filepath.Dir(r.file), file)
		}
	}
	return a
}

// takeSecret takes a secret out of the tree, nil where there is none.
func takeSecret(o object, key string, c *Configuration) secretText {
	text := o.text(key)
	if n := o.seen[key]; n != nil {
		n.text = ""
	}
	if text == "" {
		return nil
	}
	c.secrets = c.secrets || !placeholder.MatchString(text) && !masked.MatchString(text)
	secret := probes.NewSecret(text)
	return &secret
}

// looseFlag reads a boolean that may be written as a text, as the vendor's own
// examples do.
func (r *reader) looseFlag(o object, key string) bool {
	if v, ok := o.get(key); ok && v.kind == kindText {
		if strings.EqualFold(v.node.text, "true") || strings.EqualFold(v.node.text, "false") {
			return strings.EqualFold(v.node.text, "true")
		}
	}
	return o.flag(key, false)
}

// discovery reads autoDiscovery, an object or a list of one.
func (r *reader) discovery(v value) *plan.ScrapeDNS {
	if v.kind == kindList && len(v.items) == 1 {
		v = value{v.items[0], v.path + "[0]"}
	}
	o := r.object(v, discoveryKeys)
	r.onlyWord(o, "autoDiscoveryType", "dns_sd_config")
	r.onlyWord(o, "dnsType", "a")
	return &plan.ScrapeDNS{Port: uint16(o.integer("dnsPort", 1, 65535, 0)), Refresh: r.refresh(o)}
}

func (r *reader) onlyWord(o object, key, expected string) {
	if at, ok := o.get(key); ok && !strings.EqualFold(o.text(key), expected) {
		r.fail(at.node, at.path, "found another text, expected "+expected+", which is the one there is")
	}
}

// refresh reads a number of seconds, as a number or a text, or a duration.
func (r *reader) refresh(o object) time.Duration {
	text := strings.TrimSpace(o.label("refreshInterval"))
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	var d probes.Duration
	if d.UnmarshalText([]byte(text)) == nil && d.Std() >= time.Second {
		return d.Std()
	}
	at, _ := o.get("refreshInterval")
	r.fail(at.node, at.path, "found another text, expected a number of seconds such as 30")
	return 0
}

// ScrapeEndpoints gives the Prometheus endpoints of the configuration that can
// be asked; the error joins one for each that cannot, and the others are given
// all the same. A password or token written {{name}} is taken from the
// credential of that name.
func (c Configuration) ScrapeEndpoints(credentials map[string]probes.Credential) ([]plan.ScrapeEndpoint, error) {
	if c.prometheus == nil {
		return nil, nil
	}
	return sound(c.Name, c.prometheus.endpoints, func(r *reader, e *scrapeEntry) plan.ScrapeEndpoint {
		made := e.made
		r.authenticate(e, &made, credentials)
		return made
	})
}

// sound makes an endpoint of each entry of a file; of those that cannot be made
// the error has one each.
func sound[E, M any](file string, entries []E, read func(*reader, *E) M) (all []M, err error) {
	var errs []error
	for i := range entries {
		r := reader{file: file}
		made := read(&r, &entries[i])
		if err := r.err(); err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, made)
	}
	return all, errors.Join(errs...)
}

// authenticate makes sense of an authentication.
func (r *reader) authenticate(e *scrapeEntry, made *plan.ScrapeEndpoint, known map[string]probes.Credential) {
	a := &e.auth
	fail := func(key, text string) { r.fail(a.at.node, join(a.at.path, key), text) }
	scheme := textOf(a.scheme)
	switch {
	case a.at.node == nil, scheme == "none":
		made.Auth = plan.ScrapeNone
		return
	case scheme == "" && a.token != nil:
		made.Auth = plan.ScrapeBearer
	case scheme == "" && a.password == nil && textOf(a.user) == "" && !a.vault:
		made.Auth = plan.ScrapeNone
		return
	case scheme == "":
		made.Auth = plan.ScrapeBasic
	case scheme == "aws":
		fail("scheme", "requests signed for AWS are not made here; use an exporter or a proxy in between that takes none, basic or bearer")
		return
	case scheme != "basic" && scheme != "bearer":
		fail("scheme", "found another text, expected none, basic or bearer")
		return
	default:
		made.Auth = plan.ScrapeAuth(scheme)
	}
	switch {
	case a.vault:
		fail("useCredentialVault", "the credential vault is in the environment and cannot be read from here; write username and password themselves, or "+nameIt)
	case made.Auth == plan.ScrapeBasic:
		if made.User = textOf(a.user); made.User == "" {
			fail("username", "missing, expected the user's name")
		}
		made.Secret = r.httpSecret(a, "password", a.password, known)
	default:
		made.Secret = r.httpSecret(a, "token", a.token, known)
	}
	if e.plainText && !made.SkipVerify {
		fail("scheme", "the secret would be sent over http for all to read; give an https URL, or set skipVerifyHttps to true where the way to the endpoint is safe")
	}
}

// httpSecret is the secret itself, or the one of the credential that it names.
func (r *reader) httpSecret(a *scrapeAuth, key string, given secretText, known map[string]probes.Credential) probes.Secret {
	l := lookup{r: r, a: &authentication{at: a.at}, known: known}
	switch {
	case given == nil:
		l.fail(key, "missing; write the "+key+" itself, or "+nameIt)
		return probes.Secret{}
	case masked.MatchString(given.Reveal()):
		l.fail(key, "found a masked secret, the environment does not give secrets out; write the "+key+" itself, or "+nameIt)
		return probes.Secret{}
	case !strings.Contains(given.Reveal(), "{{"):
		return *given
	}
	match := placeholder.FindStringSubmatch(given.Reveal())
	if match == nil {
		l.fail(key, "found {{ in another text, expected {{name}} alone or a "+key)
		return probes.Secret{}
	}
	credential, ok := l.named(key, match[1])
	for _, secret := range []probes.Secret{credential.Password, credential.Community, credential.AuthPass} {
		if !secret.IsZero() {
			return secret
		}
	}
	if ok {
		l.fail(key, "the credential "+strconv.Quote(match[1])+" has no secret")
	}
	return probes.Secret{}
}

// prometheusTargets lists the hosts that the endpoints name.
func prometheusTargets(c Configuration) []Target {
	if c.prometheus == nil {
		return nil
	}
	var all []Target
	for _, e := range c.prometheus.endpoints {
		t := Target{Address: e.targetOf, File: c.Name}
		if n := e.url.node; n != nil {
			t.Line, t.Column = n.line, n.col
		}
		all = append(all, t)
	}
	return all
}
