package snmp

import (
	"errors"
	"fmt"
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
	Devices     []string        `yaml:"devices"`     // host, host:port, IPv6 address or [IPv6]:port
	Credentials []string        `yaml:"credentials"` // names, tried in this order
	Profile     string          `yaml:"profile"`     // auto
	Interval    probes.Duration `yaml:"interval"`
}

// Check finds what is wrong with the options themselves.
func (o *Options) Check() []error {
	var errs []error
	if len(o.Devices) == 0 {
		errs = append(errs, errors.New("devices: empty, expected at least one address such as 192.0.2.10 or switch.example:1161"))
	}
	if len(o.Credentials) == 0 {
		errs = append(errs, errors.New("credentials: empty, expected at least one name from the top-level `credentials`"))
	}
	if o.Profile != "auto" {
		errs = append(errs, fmt.Errorf("profile: unknown profile %q, expected auto; other devices are described by an extension package under `extensions`", o.Profile))
	}
	if o.Interval.Std() < minInterval {
		errs = append(errs, fmt.Errorf("interval: %v is too short, expected %v or more", o.Interval, minInterval))
	}
	return append(errs, o.checkDevices()...)
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

// ParseDevice reads `host`, `host:port`, an IPv6 address or `[IPv6]:port`.
// The port is 161 where none is given; timeouts and bounds are the defaults.
func ParseDevice(text string) (plan.Device, error) {
	d := plan.Device{Port: defaultPort, Retries: -1}
	wrong := fmt.Errorf("%q is not a device address, expected a host name or IP address, with :port if it is not 161, as in 192.0.2.10, switch.example:1161 or [2001:db8::1]:161", text)
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
			return d, fmt.Errorf("%q has port %q, expected a number from 1 to 65535", text, port)
		}
		d.Port = uint16(n)
	}
	if !isAddress(host) && !isHostName(host) {
		return d, wrong
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

// Kind is the kind of probe that polls devices with the built-in plan.
func Kind(builtin func() (*plan.Plan, error)) probes.Kind {
	return probes.Kind{
		Name: "snmp",
		Options: func() any {
			return &Options{Profile: "auto", Interval: probes.Duration(time.Minute)}
		},
		New: func(options any, deps probes.Deps) ([]probes.Task, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, expected *snmp.Options", options)
			}
			return newTasks(o, builtin, deps)
		},
	}
}

func newTasks(o *Options, builtin func() (*plan.Plan, error), deps probes.Deps) ([]probes.Task, error) {
	credentials, err := pick(o.Credentials, deps.Credentials)
	if err != nil {
		return nil, err
	}
	p, err := builtin()
	if err != nil {
		return nil, fmt.Errorf("read built-in plan: %w", err)
	}
	devices := make([]plan.Device, 0, len(o.Devices))
	for i, text := range o.Devices {
		d, err := ParseDevice(text)
		if err != nil {
			return nil, fmt.Errorf("devices[%d]: %w", i, err)
		}
		d.Credentials = credentials
		devices = append(devices, d)
	}
	return Tasks(p.WithInterval(o.Interval.Std()), devices, TaskOptions{Config: "snmp"}, deps), nil
}

func pick(names []string, known map[string]probes.Credential) ([]probes.Credential, error) {
	picked := make([]probes.Credential, 0, len(names))
	for i, name := range names {
		c, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("credentials[%d]: there is no credential %q, add it under the top-level `credentials` or correct the name", i, name)
		}
		picked = append(picked, c)
	}
	return picked, nil
}
