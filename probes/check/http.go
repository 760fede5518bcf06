package check

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	defaultBody = 1 << 20
	maxBodySize = 64 << 20
	warnDays    = 14
)

// HTTPOptions are the options of a `probes:` entry of kind http_check.
type HTTPOptions struct {
	URL         string            `yaml:"url"`
	Name        string            `yaml:"name"`
	Method      string            `yaml:"method"`       // GET, HEAD, POST
	Body        string            `yaml:"body"`         // of POST
	Status      []int             `yaml:"status"`       // expected; empty: 200 to 299
	Contains    string            `yaml:"contains"`     // a text that the answer has
	NotContains string            `yaml:"not_contains"` // a text that it has not
	MaxBody     probes.Size       `yaml:"max_body"`     // so much of the answer is read
	Redirects   bool              `yaml:"redirects"`    // followed
	Credential  string            `yaml:"credential"`   // the name of a password or token
	User        string            `yaml:"user"`         // makes it a password, for Basic; else Bearer
	CAFile      string            `yaml:"ca_file"`      // in place of the system's
	Verify      bool              `yaml:"verify"`       // the certificate
	WarnDays    int               `yaml:"warn_days"`    // before it expires
	Phases      bool              `yaml:"phases"`       // their times are metrics
	Interval    probes.Duration   `yaml:"interval"`
	Timeout     probes.Duration   `yaml:"timeout"`
	Event       bool              `yaml:"event"`
	Dimensions  map[string]string `yaml:"dimensions"`
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

func (o *HTTPOptions) common() *common {
	return &common{kind: "http_check", name: o.Name, interval: o.Interval.Std(), timeout: o.Timeout.Std(), event: o.Event, dimensions: o.Dimensions}
}

// Check finds what is wrong with the options themselves.
func (o *HTTPOptions) Check() []error {
	errs := o.common().check()
	if _, err := o.parse(); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if !slices.Contains(methods, o.Method) {
		errs = append(errs, fmt.Errorf("method: found %.20q, expected one of %s", o.Method, strings.Join(methods, ", ")))
	}
	if o.Body != "" && o.Method != http.MethodPost {
		errs = append(errs, errors.New("body: only POST has one; set method to POST, or leave body away"))
	}
	if o.Method == http.MethodHead && o.Contains+o.NotContains != "" {
		errs = append(errs, errors.New("method: the answer to HEAD has no text to search; use GET"))
	}
	for _, s := range o.Status {
		if s < 200 || s > 599 {
			errs = append(errs, fmt.Errorf("status: found %d, expected numbers from 200 to 599", s))
		}
	}
	if o.MaxBody < 1 || o.MaxBody > maxBodySize {
		errs = append(errs, fmt.Errorf("max_body: found %v, expected 1B to %v", o.MaxBody, probes.Size(maxBodySize)))
	}
	if o.User != "" && o.Credential == "" {
		errs = append(errs, errors.New("user: it has no password; add it to the top-level `credentials` and name it as credential"))
	}
	return append(errs, checkWarn(o.WarnDays)...)
}

func checkWarn(days int) []error {
	if days < 0 || days > 3650 {
		return []error{fmt.Errorf("warn_days: found %d, expected 0 to 3650 days", days)}
	}
	return nil
}

// ResolveFiles makes the path of the authorities absolute.
func (o *HTTPOptions) ResolveFiles(absolute func(path string) string) {
	if o.CAFile != "" {
		o.CAFile = absolute(o.CAFile)
	}
}

// Warnings tells what works, but was hardly meant to stay so.
func (o *HTTPOptions) Warnings([]probes.Task) []string {
	warnings := warnFile(o.CAFile)
	if o.Verify || !strings.HasPrefix(strings.ToLower(o.URL), "https:") {
		return warnings
	}
	return append(warnings, "verify: it is false, so nobody looks at the certificate and anybody in between can answer and read the credential; name the authority as ca_file instead")
}

// parse reads the URL. Its errors do not quote it, since it may hold a secret.
func (o *HTTPOptions) parse() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return nil, errors.New("this is no URL of http or https, expected it as in https://192.0.2.1/health")
	case u.User != nil:
		return nil, errors.New("there is a user or password in it; set user and credential instead")
	case !isHost(u.Hostname()):
		return nil, errors.New("there is no host name or IP address in it, expected it as in https://192.0.2.1/health")
	}
	if _, _, err := splitTarget(net.JoinHostPort(u.Hostname(), portOf(u)), ""); err != nil {
		return nil, err
	}
	if o.Credential != "" && u.Scheme == "http" && o.Verify && !isHere(u.Hostname()) {
		return nil, errors.New("the credential would travel over http for everybody to read; use https, or say with verify: false that this is meant")
	}
	return u, nil
}

func isHere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
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

// shown is a URL without its query, which may be secret, and what tells it apart
// from others that are shown so.
func shown(u *url.URL) (text, unique string) {
	s := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	text = s.String()
	if u.RawQuery != "" {
		sum := sha256.Sum256([]byte(u.RawQuery))
		return text + "?***", "#" + hex.EncodeToString(sum[:4])
	}
	return text, ""
}

func httpKind() probes.Kind {
	return probes.Kind{
		Name: "http_check",
		Options: func() any {
			return &HTTPOptions{Method: http.MethodGet, MaxBody: defaultBody, Verify: true, WarnDays: warnDays, Phases: true, Interval: probes.Duration(time.Minute)}
		},
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*HTTPOptions)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *check.HTTPOptions", options)
			}
			return o.tasks(deps)
		},
		Metrics: describe(httpStatus, daysLeft),
	}
}

func (o *HTTPOptions) tasks(deps probes.Deps) ([]probes.Task, error) {
	u, err := o.parse()
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	var secret probes.Secret
	if o.Credential != "" {
		known, ok := deps.Credentials[o.Credential]
		switch {
		case !ok:
			return nil, errors.New("credential: there is none of that name; a name goes here, add it under the top-level `credentials`, with a password_file or token_file")
		case known.Password.IsZero():
			return nil, fmt.Errorf("credential: %s is one of SNMP, expected one with a password_file or token_file", o.Credential)
		}
		secret = known.Password
	}
	c := o.common()
	c.device = u.Hostname()
	var unique string
	c.target, unique = shown(u)
	if o.Name == "" {
		c.unique = unique
	}
	h := &httpCheck{common: c, opts: *o, home: u, secret: secret, dialer: newDialer(deps)}
	return c.task(*o, secret, deps, h.ask), nil
}
