package prometheus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// TaskOptions belong to all tasks of one configuration.
type TaskOptions struct {
	Config string // the configuration entry; it begins the tasks' ids
}

// Tasks makes one task for each endpoint and distinct interval of the plan; the
// tasks of one endpoint share its connections. The network is not touched. The
// error joins one for each endpoint that cannot be asked, and the others are
// given all the same.
func Tasks(p *plan.Plan, endpoints []plan.ScrapeEndpoint, o TaskOptions, deps probes.Deps) ([]probes.Task, error) {
	if p.Exposition == nil {
		return nil, nil
	}
	var tasks []probes.Task
	var errs []error
	content := planHash(p)
	suffixes := tellApart(endpoints)
	for i, e := range endpoints {
		c, err := newClient(e, deps)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ShownURL(e.URL)+suffixes[i], err))
			continue
		}
		c.suffix = suffixes[i]
		for _, interval := range p.Exposition.Intervals() {
			tasks = append(tasks, probes.Task{
				ID:       fmt.Sprintf("%s/%s/%s", o.Config, uniqueURL(e.URL), interval),
				Device:   deviceOf(e.URL),
				Lane:     uniqueURL(e.URL),
				Label:    c.shown() + " " + p.Extension[strings.LastIndexByte(p.Extension, '.')+1:],
				Config:   o.Config,
				Interval: interval,
				Probe:    newProbe(c, p.Exposition, interval, deps),
				Same:     fingerprint(content, e, interval),
			})
		}
	}
	return tasks, errors.Join(errs...)
}

func newProbe(c *client, e *plan.Exposition, interval time.Duration, deps probes.Deps) *Probe {
	p := &Probe{
		client: c, names: plan.NewExposedNames(e.At(interval), c.Buckets),
		interval: interval, leftOut: e.LeftOut, deps: deps,
	}
	if c.Discovery == nil {
		p.targets = []*target{p.newTarget(c.URL)}
	}
	return p
}

func (p *Probe) newTarget(url string) *target {
	t := &target{url: url, key: ShownURL(url), state: plan.ExposedState{Constants: p.deps.Constants, Memory: p.deps.Memory.Series.Hold()}}
	t.name = t.key + p.client.suffix
	if t.state.Memory != nil { // a reload or a look-up drops targets without a word
		runtime.AddCleanup(t, (*probes.Hold).Release, t.state.Memory)
	}
	return t
}

func (c *client) shown() string { return ShownURL(c.URL) + c.suffix }

// tellApart gives what the shown URLs need to differ: of endpoints that are shown
// alike each gets a number, by the order of their URLs.
func tellApart(endpoints []plan.ScrapeEndpoint) []string {
	alike := make(map[string][]string)
	for _, e := range endpoints {
		shown := ShownURL(e.URL)
		alike[shown] = append(alike[shown], e.URL)
	}
	suffixes := make([]string, len(endpoints))
	for i, e := range endpoints {
		if urls := alike[ShownURL(e.URL)]; len(urls) > 1 {
			slices.Sort(urls)
			suffixes[i] = "#" + strconv.Itoa(slices.Index(urls, e.URL)+1)
		}
	}
	return suffixes
}

// shownParameters are the parameters of a query whose values are shown: what
// exporters and servers are known to call what they are asked for.
var shownParameters = []string{"target", "module", "format", "query", "match[]", "collect[]", "name[]"}

// ShownURL is a URL without what may be secret in it: a user, a password, and the
// values of query parameters that nobody knows.
func ShownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the endpoint"
	}
	u.User = nil
	if u.RawQuery == "" {
		return u.String()
	}
	parts := strings.Split(u.RawQuery, "&")
	for i, part := range parts {
		name, value, named := strings.Cut(part, "=")
		switch {
		case !named:
			parts[i] = "***"
		case !harmless(name, value):
			parts[i] = name + "=***"
		}
	}
	u.RawQuery = strings.Join(parts, "&")
	return u.String()
}

// harmless tells whether the value of a parameter may be shown. A target may be a
// URL with a user or parameters of its own.
func harmless(name, value string) bool {
	plain, err := url.QueryUnescape(name)
	shown, wrong := url.QueryUnescape(value)
	return err == nil && wrong == nil && slices.Contains(shownParameters, plain) && (plain == "query" || !strings.ContainsAny(shown, "@?"))
}

// uniqueURL tells two URLs apart that are shown alike.
func uniqueURL(text string) string {
	shown := ShownURL(text)
	if shown == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return shown + "#" + hex.EncodeToString(sum[:4])
}

// deviceOf is the host and port of a URL.
func deviceOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ShownURL(text)
	}
	return strings.ToLower(u.Host)
}

// planHash covers everything that is collected.
func planHash(p *plan.Plan) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d\n", p.Extension, p.Version, p.Exposition.LeftOut)
	for _, b := range p.Exposition.Blocks {
		fmt.Fprintf(h, "%q %d %#v\n", b.Path, b.Interval, b.Metrics)
		for _, d := range b.Dims {
			filter := d.Filter.String()
			d.Filter = nil
			fmt.Fprintf(h, "%#v %q\n", d, filter)
		}
	}
	return h.Sum(nil)
}

// fingerprint changes with every setting, secrets and the file of authorities
// included, and tells none.
func fingerprint(content []byte, e plan.ScrapeEndpoint, interval time.Duration) string {
	h := sha256.New()
	fmt.Fprintf(h, "%x %d %q", content, interval, e.Secret.Reveal())
	if e.Discovery != nil {
		fmt.Fprintf(h, " %#v", *e.Discovery)
	}
	if e.CAFile != "" {
		pem, _ := os.ReadFile(e.CAFile) // it was read just now
		fmt.Fprintf(h, " %x", sha256.Sum256(pem))
	}
	e.Secret, e.Discovery = probes.Secret{}, nil
	fmt.Fprintf(h, " %#v", e)
	return hex.EncodeToString(h.Sum(nil))
}
