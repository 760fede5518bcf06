package extension

import (
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// httpPart is the http part of a monitoring configuration.
type httpPart struct{ endpoints []httpEntry }

// httpEntry is an endpoint as the configuration writes it.
type httpEntry struct {
	url    value
	auth   scrapeAuth
	header value
	made   plan.DocEndpoint // without its authentication
}

var (
	httpEndpointKeys = []string{"url", "authentication", "advanced", "primaryFields", "primaryTags"}
	httpAuthKeys     = []string{"scheme", "username", "password", "token", "header", "skipVerifyHttps", "ca", "useCredentialVault", "credentialVaultId"}
	httpAdvancedKeys = []string{"timeoutSecs", "retries"}
)

const defaultHTTPTimeout = 10 * time.Second

// httpConfiguration reads the endpoints of an http package.
func httpConfiguration(r *reader, part value, c *Configuration) {
	c.http = &httpPart{}
	o := r.object(part, []string{"endpoints"})
	items := o.list("endpoints")
	at, ok := o.get("endpoints")
	if !ok || at.kind == kindList && len(items) == 0 {
		o.missing("endpoints", "a list of endpoints with at least one url")
	}
	if len(items) > maxEndpoints {
		r.fail(at.node, at.path, "found "+strconv.Itoa(len(items))+" endpoints, expected at most "+strconv.Itoa(maxEndpoints)+"; split the configuration")
		return
	}
	seen := make(map[string]bool)
	for _, v := range items {
		e := r.httpEntry(v, c)
		if seen[e.made.URL] && e.made.URL != "" {
			r.warn(v.node, v.path, "this endpoint is listed twice")
			continue
		}
		seen[e.made.URL] = true
		c.http.endpoints = append(c.http.endpoints, e)
	}
}

func (r *reader) httpEntry(v value, c *Configuration) httpEntry {
	o := r.object(v, httpEndpointKeys)
	e := httpEntry{made: plan.DocEndpoint{Auth: plan.DocAuthNone, Timeout: defaultHTTPTimeout}}
	if part, ok := o.get("authentication"); ok {
		r.httpAuth(part, &e, c)
	}
	if part, ok := o.get("advanced"); ok {
		a := r.object(part, httpAdvancedKeys)
		e.made.Timeout = time.Duration(a.integer("timeoutSecs", 1, 50, 10)) * time.Second
		e.made.Retries = a.integer("retries", 0, 3, 0)
	}
	r.httpURL(o, &e)
	return e
}

// httpURL reads the URL. It may hold a secret, so no message repeats it.
func (r *reader) httpURL(o object, e *httpEntry) {
	const expected = "expected a URL such as https://192.0.2.10:8443/api"
	text := strings.TrimSpace(o.text("url"))
	e.url, _ = o.get("url")
	if text == "" {
		if o.at.kind == kindMap {
			o.missing("url", expected[len("expected "):])
		}
		return
	}
	u, err := url.Parse(text)
	fail := func(text string) { r.fail(e.url.node, e.url.path, text) }
	switch {
	case len(text) > maxURL:
		fail("longer than " + strconv.Itoa(maxURL) + " characters, shorten it")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		fail("not a URL of http or https, " + expected)
	case u.User != nil:
		fail("it holds a user, and a URL is shown; write user and password under authentication, with the scheme basic")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		fail("it has a query or a fragment, and a URL is shown; the query is in request.path of the package, a token under authentication")
	default:
		port, err := strconv.ParseUint(portOf(u), 10, 16)
		if err != nil || port == 0 {
			fail("the port is none, expected a number from 1 to 65535")
			return
		}
		e.made.URL, e.made.Host, e.made.Port = strings.TrimSuffix(u.String(), "/"), u.Hostname(), uint16(port)
	}
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// httpAuth takes the secrets out of the tree at once. What it means is checked
// when the endpoints are asked for.
func (r *reader) httpAuth(v value, e *httpEntry, c *Configuration) {
	o := r.object(v, httpAuthKeys)
	a := scrapeAuth{at: v, vault: o.flag("useCredentialVault", false)}
	for key, to := range map[string]*value{"scheme": &a.scheme, "username": &a.user, "header": &e.header} {
		o.text(key)
		*to, _ = o.get(key)
	}
	a.password, a.token = takeSecret(o, "password", c), takeSecret(o, "token", c)
	e.auth = a
	e.made.SkipVerify = r.looseFlag(o, "skipVerifyHttps")
	e.made.CA = o.text("ca")
	if e.made.CA != "" && !strings.Contains(e.made.CA, "-----BEGIN") && !filepath.IsAbs(e.made.CA) {
		e.made.CA = filepath.Join(filepath.Dir(r.file), e.made.CA)
	}
	switch header := textOf(e.header); {
	case header == "":
	case !isToken(header):
		r.fail(e.header.node, e.header.path, "not the name of a header")
	case slices.Contains(ownHeaders, strings.ToLower(header)):
		r.fail(e.header.node, e.header.path, "this header belongs to the connection and cannot hold a token, expected one such as X-Api-Key")
	}
}

// HTTPEndpoints gives the endpoints of the configuration that can be asked; the
// error joins one for each that cannot, and the others are given all the same. A
// password or token written {{name}} is taken from the credential of that name.
func (c Configuration) HTTPEndpoints(credentials map[string]probes.Credential) ([]plan.DocEndpoint, error) {
	if c.http == nil {
		return nil, nil
	}
	return sound(c.Name, c.http.endpoints, func(r *reader, e *httpEntry) plan.DocEndpoint {
		made := e.made
		r.httpAuthenticate(e, &made, credentials)
		return made
	})
}

// httpAuthenticate makes sense of an authentication.
func (r *reader) httpAuthenticate(e *httpEntry, made *plan.DocEndpoint, known map[string]probes.Credential) {
	a := &e.auth
	fail := func(key, text string) { r.fail(a.at.node, join(a.at.path, key), text) }
	switch made.Auth = plan.DocAuth(textOf(a.scheme)); made.Auth {
	case plan.DocAuthNone:
		return
	case plan.DocAuthBasic:
		switch made.User = textOf(a.user); {
		case made.User == "" && !a.vault:
			fail("username", "missing, expected the user's name")
		case strings.Contains(made.User, ":"):
			fail("username", "it has a colon, behind which the password would begin, expected the user's name alone")
		}
		made.Secret = r.httpOwnSecret(a, "password", a.password, known)
	case plan.DocAuthBearer, plan.DocAuthToken:
		made.Secret = r.httpOwnSecret(a, "token", a.token, known)
	case "":
		made.Auth = plan.DocAuthNone
		if a.at.node != nil && (a.password != nil || a.token != nil || textOf(a.user) != "" || a.vault) {
			fail("scheme", "missing, expected none, basic, bearer or apiToken")
		}
		return
	default:
		fail("scheme", "found another text, expected none, basic, bearer or apiToken")
		return
	}
	if made.Auth == plan.DocAuthToken {
		made.Header = textOf(e.header)
	}
	if text := made.Secret.Reveal(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) && made.Auth != plan.DocAuthBasic {
		fail("token", "it has a line break or another control character, which no header can hold")
	}
	if strings.HasPrefix(made.URL, "http:") && !made.SkipVerify && !isLocal(made.Host) {
		fail("scheme", "the secret would be sent over http for all to read; give an https URL, or set skipVerifyHttps to true where the way to the endpoint is safe")
	}
}

func (r *reader) httpOwnSecret(a *scrapeAuth, key string, given secretText, known map[string]probes.Credential) probes.Secret {
	if a.vault {
		r.fail(a.at.node, join(a.at.path, "useCredentialVault"), "the credential vault is in the environment and cannot be read from here; write the "+key+" itself, or "+nameIt)
		return probes.Secret{}
	}
	return r.httpSecret(a, key, given, known)
}

// httpTargets lists the hosts that the endpoints name.
func httpTargets(c Configuration) []Target {
	if c.http == nil {
		return nil
	}
	var all []Target
	for _, e := range c.http.endpoints {
		t := Target{Address: e.made.Host, File: c.Name}
		if n := e.url.node; n != nil {
			t.Line, t.Column = n.line, n.col
		}
		all = append(all, t)
	}
	return all
}
