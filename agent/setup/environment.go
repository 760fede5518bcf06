package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/drain"
)

// Environment tests an environment or a receiver of OTLP. Reach goes first: the
// token is held against certificates at the time that it has found.
type Environment struct {
	Uplink  Uplink
	Version string    // for the User-Agent
	Floor   time.Time // no time before it is believed
	Now     func() time.Time

	ahead time.Duration // the environment's clock, of this machine's
}

const (
	namePatience = 10 * time.Second
	postPatience = 30 * time.Second
	clockSlack   = 5 * time.Second // beyond this the machine's clock is told to be wrong
)

// Reach tests the way: the name, the certificate and this machine's clock. No
// token leaves.
func (e *Environment) Reach(ctx context.Context) []Finding {
	name, ok := e.name(ctx)
	if !ok {
		return name
	}
	return append(name, e.chain(ctx)...)
}

// name looks the host up that is dialed: the environment's, or the proxy's.
func (e *Environment) name(ctx context.Context) (found []Finding, ok bool) {
	proxy, host, err := e.next(ctx)
	if err != nil {
		return []Finding{{Failed, err.Error(), "write it as in http://proxy.example.com:3128"}}, false
	}
	if proxy {
		found = append(found, Finding{Good, "through the proxy " + host, ""})
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return found, true
	}
	ctx, cancel := context.WithTimeout(ctx, namePatience)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return append(found, Finding{Failed, "the name " + host + " does not lead to an address: " + drain.Explain(err), ""}), false
	}
	return append(found, Finding{Good, "the name " + host + " leads to " + addresses[0], ""}), true
}

// next is the host that is dialed first.
func (e *Environment) next(ctx context.Context) (proxied bool, host string, err error) {
	choose, err := drain.ProxyFunc(e.Uplink.Proxy)
	if err != nil {
		return false, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.Uplink.URL, nil)
	if err != nil {
		return false, "", errors.New("the URL is not valid")
	}
	proxy, err := choose(req)
	if err != nil {
		return false, "", errors.New("HTTPS_PROXY in the environment is not the URL of a proxy")
	}
	if proxy != nil {
		return true, proxy.Hostname(), nil
	}
	return false, req.URL.Hostname(), nil
}

// chain reads the time from the environment, proved by its certificate.
func (e *Environment) chain(ctx context.Context) []Finding {
	roots, err := drain.Roots(e.Uplink.CAFile)
	if err != nil {
		return []Finding{{Failed, err.Error(), "name a file with certificates in PEM form"}}
	}
	proxy, err := drain.ProxyFunc(e.Uplink.Proxy)
	if err != nil {
		return []Finding{{Failed, err.Error(), ""}}
	}
	read, err := clock.ReadDate(ctx, clock.DateOptions{URL: e.Uplink.URL, Proxy: proxy, RootCAs: roots, Floor: e.Floor})
	if err != nil {
		return []Finding{{Failed, drain.Explain(err), ""}}
	}
	found := []Finding{{Good, "the certificate of " + hostOf(e.Uplink.URL) + " is trusted", ""}}
	if strings.HasPrefix(e.Uplink.URL, "http:") {
		found = []Finding{{Good, hostOf(e.Uplink.URL) + " answers", ""}}
	}
	e.ahead = read.Time.Sub(e.Now())
	off := e.ahead.Abs()
	if off <= read.Error+clockSlack {
		return append(found, Finding{Good, "the clock of this machine is right", ""})
	}
	side := "behind"
	if e.ahead < 0 {
		side = "ahead"
	}
	return append(found, Finding{
		Note, fmt.Sprintf("the clock of this machine is %v %s", off.Round(time.Second), side),
		"the agent goes by the environment's time; for the rest of the machine set up NTP, e.g. timedatectl set-ntp true",
	})
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the environment"
	}
	return u.Host
}

// ask is one API that the token is tried at, with a body that nothing is stored of.
type ask struct {
	path, kind, body string
	scope, noun      string
	lacking          string // what does not work without it; "": nothing does
}

// asks are the APIs of a kind of uplink.
func asks(kind string) []ask {
	if kind == OTLP {
		return []ask{
			{"/v1/metrics", "application/x-protobuf", "", "metrics.ingest", "metrics", ""},
			{"/v1/logs", "application/x-protobuf", "", "logs.ingest", "log records", "outages are not told, and late points cannot leave as log records"},
		}
	}
	return []ask{
		{"/api/v2/metrics/ingest", "text/plain; charset=utf-8", "", "metrics.ingest", "metrics", ""},
		{"/api/v2/events/ingest", "application/json; charset=utf-8", "{}", "events.ingest", "events", "outages and new devices are not told as events"},
		{"/api/v2/logs/ingest", "application/json; charset=utf-8", "[]", "logs.ingest", "log records", "late points cannot leave as log records"},
	}
}

// CheckToken tells what is wrong with the form of a token, nil for nothing.
func CheckToken(token string) error {
	switch {
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("there is a blank or a letter that no token has in it; copy it again")
	case strings.HasPrefix(token, "dt0") && strings.Count(token, ".") < 2:
		return errors.New("that is only a part of a token, which is dt0c01.ID.SECRET; copy all of it, when it is made it is shown once")
	}
	return nil
}

// Token tries the token at each API. Nothing is stored of it.
func (e *Environment) Token(ctx context.Context) []Finding {
	if err := CheckToken(e.Uplink.Token.Reveal()); err != nil {
		return []Finding{{Failed, err.Error(), ""}}
	}
	client, err := drain.NewClient(drain.ClientOptions{
		Proxy: e.Uplink.Proxy, CAFile: e.Uplink.CAFile, Time: func() time.Time { return e.Now().Add(e.ahead) },
	})
	if err != nil {
		return []Finding{{Failed, err.Error(), ""}}
	}
	defer client.CloseIdleConnections()
	var found []Finding
	for _, a := range asks(e.Uplink.Kind) {
		f := e.try(ctx, client, a)
		found = append(found, f)
		if f.Grade == Failed {
			break // the others would say the same
		}
	}
	return found
}

// try posts next to nothing to one API and reads what the answer says.
func (e *Environment) try(ctx context.Context, client *http.Client, a ask) Finding {
	ctx, cancel := context.WithTimeout(ctx, postPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Uplink.URL+a.path, strings.NewReader(a.body))
	if err != nil {
		return Finding{Failed, "the URL is not valid", ""}
	}
	req.Header.Set("Content-Type", a.kind)
	req.Header.Set("User-Agent", "edgehold/"+e.Version)
	if !e.Uplink.Token.IsZero() {
		req.Header.Set("Authorization", e.Uplink.tokenScheme()+" "+e.Uplink.Token.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return Finding{Failed, "post " + a.noun + ": " + drain.Explain(err), ""}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status is what counts
	f := a.judge(answer{resp.StatusCode, resp.Header, body}, e.Uplink)
	if f.Grade == Failed && a.lacking != "" {
		f = Finding{Note, f.Text, strings.TrimPrefix(f.Mend+"; without it metrics flow, and "+a.lacking, "; ")}
	}
	return f
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// isPage tells what is made for browsers.
func (x answer) isPage() bool {
	return strings.HasPrefix(x.header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(x.body), []byte("<"))
}

// judge reads the answer of an API. What is refused as empty had a token that
// was taken.
func (a ask) judge(x answer, u Uplink) Finding {
	code := fmt.Sprintf(" (HTTP %d)", x.status)
	switch {
	case x.isPage():
		return Finding{Failed, "a page answers, not the API for " + a.noun + code, "check the URL and the proxy, and whether this network wants a sign-in first"}
	case x.status >= 200 && x.status < 300, x.status == http.StatusBadRequest, x.status == http.StatusUnprocessableEntity:
		return a.taken(u)
	case x.status == http.StatusUnauthorized && u.Token.IsZero():
		return Finding{Failed, "the receiver wants a token" + code, "give one"}
	case x.status == http.StatusUnauthorized:
		return Finding{Failed, "the token is not accepted" + code, "it is wrong, expired or switched off, or of another environment: make an access token with the scopes metrics.ingest, events.ingest and logs.ingest there"}
	case x.status == http.StatusForbidden:
		return Finding{Failed, "the token may not send " + a.noun + code, "give it the scope " + a.scope}
	case x.status == http.StatusNotFound, x.status == http.StatusMethodNotAllowed, x.status == http.StatusNotImplemented:
		return Finding{Failed, "there is no API for " + a.noun + " at this address" + code, a.elsewhere()}
	case x.status == http.StatusPaymentRequired:
		return Finding{Failed, "the licence of the environment does not cover " + a.noun + code, "its owner has to see to it"}
	case x.status >= 300 && x.status < 400:
		return Finding{Failed, "the address leads on to " + printable(hostOf(x.header.Get("Location")), 100) + code, "give the address that it leads to, if it is the environment's; else check whether this network wants a sign-in first"}
	case x.status == http.StatusTooManyRequests || x.status >= 500:
		return Finding{Failed, "the server cannot serve now" + code, "try again in a minute"}
	}
	return Finding{Failed, "an unexpected answer" + code, "check the URL and the proxy"}
}

func (a ask) taken(u Uplink) Finding {
	if u.Token.IsZero() {
		return Finding{Good, a.noun + " are taken without a token", ""}
	}
	if u.Kind == OTLP && u.tokenScheme() == "Bearer" {
		return Finding{Good, "the token may send " + a.noun, ""}
	}
	return Finding{Good, "the token may send " + a.noun + " (" + a.scope + ")", ""}
}

func (a ask) elsewhere() string {
	switch a.scope {
	case "metrics.ingest":
		return "it should be https://ENVIRONMENT.live.dynatrace.com, https://HOST/e/ENVIRONMENT or https://ACTIVEGATE:9999/e/ENVIRONMENT; of an OTLP receiver all before /v1/metrics"
	case "logs.ingest":
		return "an ActiveGate needs its log module for it"
	}
	return "an ActiveGate needs its API module for it"
}

// printable makes foreign text fit for one line of at most so many characters.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	r := []rune(text)
	return string(r[:min(len(r), most)])
}
