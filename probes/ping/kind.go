package ping

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Options are the options of a `probes:` entry of kind ping.
type Options struct {
	Targets    []string          `yaml:"targets"` // names or IP addresses
	Interval   probes.Duration   `yaml:"interval"`
	Count      int               `yaml:"count"`         // packets of one poll
	Spacing    probes.Duration   `yaml:"spacing"`       // between two packets; 0: the default
	Timeout    probes.Duration   `yaml:"timeout"`       // of one packet; 0: the default
	Size       int               `yaml:"size"`          // bytes of the payload
	Family     string            `yaml:"family"`        // any, ipv4, ipv6
	All        bool              `yaml:"all_addresses"` // of a name, in place of the first
	Dimensions map[string]string `yaml:"dimensions"`
}

const (
	minInterval    = time.Second
	maxInterval    = 24 * time.Hour
	defaultCount   = 5
	maxCount       = 100
	defaultSize    = 56
	maxSize        = 65507 // what IPv4 has room for
	minTimeout     = 10 * time.Millisecond
	defaultTimeout = 2 * time.Second
	defaultSpacing = 200 * time.Millisecond
)

// families are what LookupNetIP calls them.
var families = map[string]string{"any": "ip", "ipv4": "ip4", "ipv6": "ip6"}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	errs := o.checkTargets()
	if d := o.Interval.Std(); d < minInterval || d > maxInterval {
		errs = append(errs, fmt.Errorf("interval: found %v, expected %v to %v", o.Interval, minInterval, maxInterval))
	}
	if o.Count < 1 || o.Count > maxCount {
		errs = append(errs, fmt.Errorf("count: found %d, expected 1 to %d packets", o.Count, maxCount))
	}
	if o.Size < tokenSize || o.Size > maxSize {
		errs = append(errs, fmt.Errorf("size: found %d, expected %d to %d bytes", o.Size, tokenSize, maxSize))
	}
	if families[o.Family] == "" {
		errs = append(errs, fmt.Errorf("family: found %.20q, expected any, ipv4 or ipv6", o.Family))
	}
	if s := o.Spacing; s < 0 || s.Std() > maxInterval {
		errs = append(errs, fmt.Errorf("spacing: found %v, expected a time such as 200ms, or no spacing for the default", s))
	}
	if t := o.Timeout.Std(); t != 0 && (t < minTimeout || t > maxInterval) {
		errs = append(errs, fmt.Errorf("timeout: found %v, expected %v to the interval, or no timeout for the default", o.Timeout, minTimeout))
	}
	for key, value := range o.Dimensions {
		if !ownKey(key) || value == "" {
			errs = append(errs, fmt.Errorf("dimensions: %.60q is no key and value that can be added, expected a key in lower case other than device.address and ping.address, and a value", key))
		}
	}
	if len(errs) == 0 && o.takes() > o.Interval.Std() {
		errs = append(errs, fmt.Errorf("interval: a poll of %d packets each %v takes up to %v, which is longer than %v; shorten spacing or timeout, or lengthen the interval",
			o.Count, o.spacing(), o.takes(), o.Interval))
	}
	return errs
}

// ownKey tells whether the key of a dimension is free and leaves as it stands.
func ownKey(key string) bool {
	return key != "" && probes.DimensionKey(key) == key && key != keyDevice && key != keyAddress
}

func (o *Options) checkTargets() (errs []error) {
	if len(o.Targets) == 0 {
		errs = append(errs, errors.New("targets: empty, expected at least one name or IP address such as 192.0.2.1"))
	}
	seen := map[string]int{}
	for i, text := range o.Targets {
		key := strings.ToLower(text)
		if addr, err := netip.ParseAddr(text); err == nil {
			key = addr.Unmap().String()
			if addr.IsLinkLocalUnicast() && addr.Is6() && addr.Zone() == "" {
				errs = append(errs, fmt.Errorf("targets[%d]: %q is a link-local address, name its interface: %s%%eth0", i, text, text))
			}
		} else if !isName(text) {
			errs = append(errs, fmt.Errorf("targets[%d]: %.80q is neither a host name nor an IP address; ping has no ports and no URLs, expected it as in 192.0.2.1, switch.example or 2001:db8::1", i, text))
		}
		if first, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("targets[%d]: %q is the same as targets[%d], name it once", i, text, first))
			continue
		}
		seen[key] = i
	}
	return errs
}

// isName tells host names from addresses with a typing error, whose last part is
// a number.
func isName(s string) bool {
	inName := func(r rune) bool {
		return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	parts := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, part := range parts {
		if part == "" || strings.TrimFunc(part, inName) != "" || strings.ContainsFunc(part, func(r rune) bool { return !inName(r) }) {
			return false
		}
	}
	return len(s) <= 253 && strings.Trim(parts[len(parts)-1], "0123456789") != ""
}

// spacing is the time between two packets.
func (o *Options) spacing() time.Duration {
	if o.Spacing != 0 {
		return o.Spacing.Std()
	}
	return min(defaultSpacing, o.Interval.Std()/time.Duration(4*max(o.Count, 1)))
}

// timeout is how long an answer may take.
func (o *Options) timeout() time.Duration {
	if o.Timeout != 0 {
		return o.Timeout.Std()
	}
	return min(defaultTimeout, o.Interval.Std()/2)
}

// takes is how long a poll without an answer takes.
func (o *Options) takes() time.Duration {
	return time.Duration(o.Count-1)*o.spacing() + o.timeout()
}

// Kind is the kind of probe that pings. All tasks that one Kind makes share their
// sockets.
func Kind() probes.Kind { return kindOf(newPinger(open, rand.Uint64)) }

func kindOf(shared *pinger) probes.Kind {
	return probes.Kind{
		Name: "ping",
		Options: func() any {
			return &Options{Interval: probes.Duration(time.Minute), Count: defaultCount, Size: defaultSize, Family: "any"}
		},
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *ping.Options", options)
			}
			return newTasks(o, deps, shared), nil
		},
		Metrics: func(any) []probes.Metadata { return slices.Clone(metrics) },
	}
}

func newTasks(o *Options, deps probes.Deps, shared *pinger) []probes.Task {
	var tasks []probes.Task
	all := *o
	all.Targets = nil
	same := sha256.Sum256(fmt.Appendf(nil, "%+v", all))
	for _, target := range o.Targets {
		id := "ping/" + target
		tasks = append(tasks, probes.Task{
			ID: id, Device: target, Lane: id, Label: target + " ping", Interval: o.Interval.Std(),
			Probe: newProbe(target, o, deps, shared),
			Same:  hex.EncodeToString(same[:]),
		})
	}
	return tasks
}
