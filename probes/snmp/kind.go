package snmp

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const minInterval = time.Second

// Options are the options of a `probes:` entry of kind snmp.
type Options struct {
	Devices          []string        `yaml:"devices"`          // host, host:port, IPv6 address or [IPv6]:port
	DevicesFile      string          `yaml:"devices_file"`     // CSV, see ReadDevices
	Credentials      []string        `yaml:"credentials"`      // names, tried in this order
	Profile          string          `yaml:"profile"`          // auto or a name
	FeatureSets      []string        `yaml:"feature_sets"`     // read beside what is always read; all for all
	InterfaceFilter  string          `yaml:"interface_filter"` // on if.name, as in an extension package
	Interval         probes.Duration `yaml:"interval"`
	Timeout          probes.Duration `yaml:"timeout"`            // of one request; 0: the default
	Retries          *int            `yaml:"retries"`            // nil: the default
	PacketsPerSecond int             `yaml:"packets_per_second"` // to one device; 0: no limit
	MaxRepetitions   int             `yaml:"max_repetitions"`    // 0: the profile's, or the default
}

const (
	maxTimeout = time.Minute
	maxRetries = 20
	maxPackets = 10_000
	maxReps    = 400
)

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	var errs []error
	if len(o.Devices) == 0 && o.DevicesFile == "" {
		errs = append(errs, errors.New("devices: empty, expected at least one address such as 192.0.2.10 or switch.example:1161, or a devices_file"))
	}
	if len(o.Credentials) == 0 && o.DevicesFile == "" {
		errs = append(errs, errors.New("credentials: empty, expected at least one name from the top-level `credentials`"))
	}
	if o.Profile == "" {
		errs = append(errs, errors.New("profile: empty, expected auto or the name of a profile"))
	}
	if _, err := plan.ParseFilter(o.InterfaceFilter); err != nil {
		errs = append(errs, fmt.Errorf("interface_filter: %w; write it as in $prefix(Gi) or $or($prefix(Gi),$prefix(Te))", err))
	}
	if o.Interval.Std() < minInterval {
		errs = append(errs, fmt.Errorf("interval: %v is too short, expected %v or more", o.Interval, minInterval))
	}
	return slices.Concat(errs, o.checkNumbers(), o.checkDevices())
}

func (o *Options) checkNumbers() (errs []error) {
	if t := o.Timeout.Std(); t != 0 && (t < 100*time.Millisecond || t > maxTimeout) {
		errs = append(errs, fmt.Errorf("timeout: found %v, expected 100ms to %v, or no timeout for the default", o.Timeout, maxTimeout))
	}
	if o.Retries != nil && (*o.Retries < 0 || *o.Retries > maxRetries) {
		errs = append(errs, fmt.Errorf("retries: found %d, expected 0 to %d", *o.Retries, maxRetries))
	}
	if o.PacketsPerSecond < 0 || o.PacketsPerSecond > maxPackets {
		errs = append(errs, fmt.Errorf("packets_per_second: found %d, expected 1 to %d, or 0 for no limit", o.PacketsPerSecond, maxPackets))
	}
	if o.MaxRepetitions < 0 || o.MaxRepetitions > maxReps {
		errs = append(errs, fmt.Errorf("max_repetitions: found %d, expected 1 to %d, or 0 for the default", o.MaxRepetitions, maxReps))
	}
	return errs
}

func (o *Options) checkDevices() (errs []error) {
	seen := map[string]int{}
	for i, text := range o.Devices {
		d, err := ParseDevice(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("devices[%d]: %w", i, err))
			continue
		}
		key := hostPort(d)
		if first, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("devices[%d]: %q is the same device as devices[%d], name it once", i, text, first))
			continue
		}
		seen[key] = i
	}
	return errs
}

// ResolveFiles makes the path of the devices file absolute.
func (o *Options) ResolveFiles(absolute func(path string) string) {
	if o.DevicesFile != "" {
		o.DevicesFile = absolute(o.DevicesFile)
	}
}

// ParseDevice reads `host`, `host:port`, an IPv6 address or `[IPv6]:port`.
// The port is 161 where none is given; timeouts and bounds are the defaults.
func ParseDevice(text string) (plan.Device, error) {
	d := plan.Device{Port: defaultPort, Retries: -1}
	wrong := fmt.Errorf("%.80q is not a device address, expected a host name or IP address, with :port if it is not 161, as in 192.0.2.10, switch.example:1161 or [2001:db8::1]:161", text)
	host, port := text, ""
	if _, err := netip.ParseAddr(text); err != nil {
		host, port = splitPort(text)
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		switch {
		case errors.Is(err, strconv.ErrSyntax): // a URL, say
			return d, wrong
		case err != nil || n == 0:
			return d, fmt.Errorf("%.80q has port %.20q, expected a number from 1 to 65535", text, port)
		}
		d.Port = uint16(n)
	}
	if !isAddress(host) && !isHostName(host) {
		return d, wrong
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
		return d, fmt.Errorf("%q is a link-local address, expected one with its interface, name the interface: %s%%eth0", text, host)
	}
	d.Host = host
	return d, nil
}

// splitPort takes brackets and port off; what is no address stays whole.
func splitPort(text string) (host, port string) {
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && text[0] == '[' {
		if addr, err := netip.ParseAddr(inner); err != nil || !addr.Is6() || rest != "" && rest[0] != ':' || rest == ":" {
			return text, ""
		}
		return inner, strings.TrimPrefix(rest, ":")
	}
	if host, port, ok := strings.Cut(text, ":"); ok && port != "" && !strings.Contains(port, ":") {
		return host, port
	}
	return text, ""
}

func isAddress(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && !strings.ContainsFunc(addr.Zone(), notInName)
}

func isHostName(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, notInName) && !looksLikeIPv4(s) &&
		!slices.Contains(strings.Split(strings.TrimSuffix(s, "."), "."), "")
}

func notInName(r rune) bool {
	return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// looksLikeIPv4 finds addresses with a typing error: no top-level domain is a
// number.
func looksLikeIPv4(s string) bool {
	s = strings.TrimSuffix(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	_, err := strconv.Atoi(last)
	return err == nil
}

// Kind is the kind of probe that polls devices with profiles. Open reads the
// profiles, with those of a site's folder where it is not "".
func Kind(open func(folder string) (plan.Profiles, error)) probes.Kind {
	return probes.Kind{
		Name: "snmp",
		Options: func() any {
			return &Options{Profile: auto, Interval: probes.Duration(time.Minute)}
		},
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *snmp.Options", options)
			}
			profiles, err := open(deps.Profiles)
			if err != nil {
				return nil, err
			}
			return newTasks(o, profiles, deps)
		},
	}
}

// newTasks makes a task for every device that is described well; the error says
// what is wrong with the others.
func newTasks(o *Options, profiles plan.Profiles, deps probes.Deps) ([]probes.Task, error) {
	targets, err := o.targets()
	errs := &faults{all: []error{checkFeatureSets(o.FeatureSets, profiles), err}}
	sum := profileSum(o, profiles)
	common := newKit(deps)
	tasks := make([]probes.Task, 0, len(targets))
	for _, t := range targets {
		t.device.Credentials, err = pick(t, deps.Credentials)
		if unknown := checkProfile(t, profiles); err != nil || unknown != nil {
			errs.add(err)
			errs.add(unknown)
			continue
		}
		a := &autoProbe{
			device: newDevice(t.device, common), profiles: profiles, profile: t.profile, deps: deps, maxReps: o.MaxRepetitions,
			options: plan.ProfileOptions{FeatureSets: o.FeatureSets, InterfaceFilter: o.InterfaceFilter, Interval: t.interval},
		}
		tasks = append(tasks, autoTask(a, sum))
	}
	if err := errs.join(); err != nil {
		return nil, err
	}
	return tasks, nil
}

// faults are those of an entry and of its devices, which have many in common.
type faults struct {
	all       []error // of the entry
	ofDevices []error
	seen      map[string]bool
}

func (f *faults) add(err error) {
	if err == nil || f.seen[err.Error()] {
		return
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[err.Error()] = true
	f.ofDevices = append(f.ofDevices, err)
}

func (f *faults) join() error { return errors.Join(append(f.all, bounded(f.ofDevices))...) }

// Targets lists the devices of the entry with their settings and credentials,
// for what asks them by hand. The errors are those of a start.
func (o *Options) Targets(known map[string]probes.Credential) ([]plan.Device, error) {
	targets, err := o.targets()
	if err != nil {
		return nil, err
	}
	devices := make([]plan.Device, len(targets))
	for i, t := range targets {
		if t.device.Credentials, err = pick(t, known); err != nil {
			return nil, err
		}
		devices[i] = t.device
	}
	return devices, nil
}

// Warnings tells what works in the tasks that were made of the options, but was
// hardly meant.
func (o *Options) Warnings(tasks []probes.Task) (all []string) {
	timeout, tries := cmp.Or(o.Timeout.Std(), defaultTimeout), 1+defaultRetries
	if o.Retries != nil {
		tries = 1 + *o.Retries
	}
	shortest, doubles := time.Duration(math.MaxInt64), map[string][]string{}
	for _, t := range tasks {
		shortest = min(shortest, t.Interval)
		if a, ok := t.Probe.(*autoProbe); ok {
			for _, name := range a.device.doubles() {
				doubles[name] = append(doubles[name], a.device.label())
			}
		}
	}
	if timeout*time.Duration(tries) > shortest {
		all = append(all, fmt.Sprintf("timeout: %v, tried %d times, is longer than the interval of %v: a device that does not answer is asked less often; "+
			"shorten one or lengthen the interval", timeout, tries, shortest))
	}
	for _, name := range slices.Sorted(maps.Keys(doubles)) {
		of := doubles[name]
		more := ""
		if len(of) > 1 {
			more = fmt.Sprintf(" and %d more", len(of)-1)
		}
		all = append(all, fmt.Sprintf("credentials: %q is named twice, once is enough (%s%s)", name, of[0], more))
	}
	return all
}

// doubles lists the credentials that are there more than once.
func (d *device) doubles() (names []string) {
	for i, c := range d.Credentials {
		same := func(other probes.Credential) bool { return other.Name == c.Name }
		if slices.ContainsFunc(d.Credentials[:i], same) && !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// profileSum changes with every choice that decides what is read.
func profileSum(o *Options, profiles plan.Profiles) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q", profiles.Sum(), o.FeatureSets, o.InterfaceFilter))
	return sum[:]
}

func checkFeatureSets(chosen []string, profiles plan.Profiles) error {
	if len(chosen) == 0 {
		return nil
	}
	known, err := profiles.FeatureSets()
	if err != nil {
		return err
	}
	for i, set := range chosen {
		if set != "all" && !slices.Contains(known, set) {
			return fmt.Errorf("feature_sets[%d]: no profile has a feature set %q, expected all or some of %s", i, set, strings.Join(known, ", "))
		}
	}
	return nil
}

// checkProfile finds out that a profile does not exist before a poll does.
func checkProfile(t target, profiles plan.Profiles) error {
	if t.profile == auto {
		return nil
	}
	_, err := profiles.Named(t.profile, plan.ProfileOptions{Interval: t.interval})
	if err != nil {
		return fmt.Errorf("%sprofile: %w", t.ownProfile, err)
	}
	return nil
}

// pick takes the credentials of a device.
func pick(t target, known map[string]probes.Credential) ([]probes.Credential, error) {
	picked := make([]probes.Credential, 0, len(t.credentials))
	for i, name := range t.credentials {
		c, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("%scredentials[%d]: %w", t.ownCredentials, i, unknownCredential(name, known))
		}
		if !c.Password.IsZero() {
			return nil, fmt.Errorf("%scredentials[%d]: %s is a password of an endpoint and not for SNMP, expected a community or a user", t.ownCredentials, i, name)
		}
		picked = append(picked, c)
	}
	return picked, nil
}

// unknownCredential tells the text only where it is almost a name: it may be a
// community that was written in its place.
func unknownCredential(text string, known map[string]probes.Credential) error {
	names := slices.Sorted(maps.Keys(known))
	if meant := near(text, names); meant != "" {
		return fmt.Errorf("there is no credential %q, add it under the top-level `credentials` or correct the name to %s", text, meant)
	}
	const most = 10
	expected := "expected " + strings.Join(names[:min(len(names), most)], ", ")
	switch {
	case len(names) == 0:
		expected = "the top-level `credentials` has none"
	case len(names) > most:
		expected += fmt.Sprintf(" or another of the %d", len(names))
	}
	return fmt.Errorf("no name of a credential, %s; a name goes here, add it under the top-level `credentials`, its community into a file", expected)
}
