package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// DNSOptions are the options of a `probes:` entry of kind dns_check.
type DNSOptions struct {
	Query      string            `yaml:"query"`  // a name
	Type       string            `yaml:"type"`   // A, AAAA, CNAME, MX, TXT
	Server     string            `yaml:"server"` // host or host:port; empty: the system's
	Expect     []string          `yaml:"expect"` // all of these are among the answers
	Name       string            `yaml:"name"`
	Interval   probes.Duration   `yaml:"interval"`
	Timeout    probes.Duration   `yaml:"timeout"`
	Event      bool              `yaml:"event"`
	Dimensions map[string]string `yaml:"dimensions"`
}

// lookups ask for the records of one type each, in the form of expect. The name
// ends in a dot, so that nobody adds a domain to it.
var lookups = map[string]func(ctx context.Context, r *net.Resolver, name string) ([]string, error){
	"A": func(ctx context.Context, r *net.Resolver, name string) ([]string, error) {
		return addresses(ctx, r, "ip4", name)
	},
	"AAAA": func(ctx context.Context, r *net.Resolver, name string) ([]string, error) {
		return addresses(ctx, r, "ip6", name)
	},
	"TXT": func(ctx context.Context, r *net.Resolver, name string) ([]string, error) {
		return r.LookupTXT(ctx, name)
	},
	"CNAME": func(ctx context.Context, r *net.Resolver, name string) ([]string, error) {
		alias, err := r.LookupCNAME(ctx, name)
		if err != nil || strings.EqualFold(alias, name) { // it is its own name then
			return nil, err
		}
		return []string{alias}, nil
	},
	"MX": func(ctx context.Context, r *net.Resolver, name string) ([]string, error) {
		all, err := r.LookupMX(ctx, name)
		var texts []string
		for _, mx := range all {
			texts = append(texts, strconv.Itoa(int(mx.Pref))+" "+mx.Host)
		}
		return texts, err
	},
}

var dnsTypes = []string{"A", "AAAA", "CNAME", "MX", "TXT"}

func addresses(ctx context.Context, r *net.Resolver, network, name string) ([]string, error) {
	all, err := r.LookupNetIP(ctx, network, name)
	var texts []string
	for _, a := range all {
		texts = append(texts, a.Unmap().String())
	}
	return texts, err
}

func (o *DNSOptions) common() *common {
	c := &common{kind: "dns_check", name: o.Name, target: o.Query + " " + o.Type, device: o.Query, interval: o.Interval.Std(), timeout: o.Timeout.Std(), event: o.Event, dimensions: o.Dimensions}
	if o.Server != "" {
		c.target += " @" + o.Server
	}
	return c
}

// Check finds what is wrong with the options themselves.
func (o *DNSOptions) Check() []error {
	errs := o.common().check()
	if _, err := netip.ParseAddr(o.Query); err == nil || !isHost(o.Query) {
		errs = append(errs, fmt.Errorf("query: %.80q is no host name, expected it as in www.example.com", o.Query))
	}
	if lookups[o.Type] == nil {
		errs = append(errs, fmt.Errorf("type: found %.20q, expected one of %s", o.Type, strings.Join(dnsTypes, ", ")))
	}
	if o.Server != "" {
		if _, _, err := splitTarget(o.Server, "53"); err != nil {
			errs = append(errs, fmt.Errorf("server: %.80q is wrong: %w; write it as in 192.0.2.53 or dns.example.com:5353", o.Server, err))
		}
	}
	return errs
}

func dnsKind() probes.Kind {
	return probes.Kind{
		Name:    "dns_check",
		Options: func() any { return &DNSOptions{Type: "A", Interval: probes.Duration(time.Minute)} },
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*DNSOptions)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *check.DNSOptions", options)
			}
			c := o.common()
			d := &dnsCheck{common: c, opts: *o, dial: systemDial(deps)}
			if o.Server != "" {
				host, address, err := splitTarget(o.Server, "53")
				if err != nil {
					return nil, fmt.Errorf("server: %w", err)
				}
				c.device = host
				through := newDialer(deps)
				d.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return through.dial(ctx, network, address)
				}
			}
			return c.task(*o, probes.Secret{}, deps, d.ask), nil
		},
		Metrics: describe(dnsAnswers, dnsAnswers),
	}
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// systemDial reaches the servers of this machine's configuration.
func systemDial(deps probes.Deps) dialFunc {
	if deps.DNS != nil && deps.DNS.Dial != nil {
		return deps.DNS.Dial
	}
	return (&net.Dialer{}).DialContext
}

type dnsCheck struct {
	*common
	opts DNSOptions
	dial dialFunc
}

func (d *dnsCheck) ask(ctx context.Context, _ probes.Stamp) (a answer, _ error) {
	var l listener
	r := &net.Resolver{PreferGo: true, Dial: func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := d.dial(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() }) // the resolver would go on waiting for seconds
		return l.listen(conn), nil
	}}
	begin := time.Now()
	found, err := lookups[d.opts.Type](ctx, r, strings.TrimSuffix(d.opts.Query, ".")+".")
	took := time.Since(begin)
	code, heard := l.last()
	if heard {
		a.took = took
		a.add(dnsAnswers, float64(len(found)))
	}
	switch {
	case err != nil:
		a.wrong = fail(d.explain(ctx, err, code, heard))
	case !heard && d.opts.Server != "":
		a.wrong = failf("the server was not asked, since /etc/hosts of this machine has the name; ask for another one")
	case !heard: // the system's own answer, without a server
		a.took = took
		a.add(dnsAnswers, float64(len(found)))
		a.wrong = d.compare(found)
	default:
		a.wrong = d.compare(found)
	}
	return a, nil
}

// The names of response codes (RFC 1035, 4.1.1).
var responseCodes = map[int]string{1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

// explain says why there is no answer. The resolver tells no response code, so it
// is taken from what the server has sent.
func (d *dnsCheck) explain(ctx context.Context, err error, code int, heard bool) error {
	var name *net.DNSError
	switch {
	case !heard && errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("this machine knows no DNS server that could be asked for %s", d.opts.Query)
	case !heard && ctx.Err() == nil && errors.As(err, &name):
		return fmt.Errorf("no answer of the DNS server: %s", printable(name.Err))
	case !heard:
		return fmt.Errorf("no answer of the DNS server within %v", d.limit())
	case code == 3:
		return fmt.Errorf("%s does not exist (NXDOMAIN)", d.opts.Query)
	case code != 0 && responseCodes[code] != "":
		return fmt.Errorf("the DNS server answers %s", responseCodes[code])
	case code != 0:
		return fmt.Errorf("the DNS server answers with response code %d", code)
	case errors.As(err, &name) && name.IsNotFound:
		return d.none()
	case ctx.Err() != nil:
		return fmt.Errorf("no whole answer of the DNS server within %v", d.limit())
	}
	return errors.New("the answer of the DNS server cannot be read")
}

func (d *dnsCheck) none() error { return fmt.Errorf("%s has no %s record", d.opts.Query, d.opts.Type) }

// compare looks for all that is expected.
func (d *dnsCheck) compare(found []string) error {
	if len(found) == 0 {
		return fail(d.none())
	}
	var missing []string
	for _, want := range d.opts.Expect {
		same := func(got string) bool { return d.normal(got) == d.normal(want) }
		if !slices.ContainsFunc(found, same) {
			missing = append(missing, want)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return failf("the answers are %s, and %s is not among them", printable(strings.Join(found, ", ")), printable(strings.Join(missing, ", ")))
}

// normal is one form for all ways to write an answer. A text is what it is.
func (d *dnsCheck) normal(s string) string {
	if d.opts.Type == "TXT" {
		return s
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
