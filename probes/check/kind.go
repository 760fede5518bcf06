package check

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	minInterval    = time.Second
	maxInterval    = 7 * day
	minTimeout     = 10 * time.Millisecond
	defaultTimeout = 10 * time.Second
	maxName        = 200 // bytes
)

// Kinds are the kinds of probe that check services.
func Kinds() []probes.Kind {
	return []probes.Kind{tcpKind(), httpKind(), tlsKind(), dnsKind(), ntpKind()}
}

// common is what the options of all kinds have, read off them.
type common struct {
	kind       string
	name       string // "": the target
	target     string // for people, without secrets
	unique     string // "", or what tells targets apart that are shown alike
	device     string // host
	interval   time.Duration
	timeout    time.Duration // 0: the default
	event      bool
	dimensions map[string]string
}

func (c *common) check() (errs []error) {
	if c.interval < minInterval || c.interval > maxInterval {
		errs = append(errs, fmt.Errorf("interval: found %v, expected %v to 7d", c.interval, minInterval))
	}
	if c.timeout != 0 && (c.timeout < minTimeout || c.timeout > c.interval) {
		errs = append(errs, fmt.Errorf("timeout: found %v, expected %v to the interval of %v, or no timeout for the default", c.timeout, minTimeout, c.interval))
	}
	if len(c.name) > maxName {
		errs = append(errs, fmt.Errorf("name: it has %d bytes, expected %d at most", len(c.name), maxName))
	}
	for key, value := range c.dimensions {
		if key == "" || probes.DimensionKey(key) != key || key == keyKind || key == keyName || key == keyDevice || value == "" {
			errs = append(errs, fmt.Errorf("dimensions: %.60q is no key and value that can be added, expected a key in lower case other than %s, %s and %s, and a value", key, keyKind, keyName, keyDevice))
		}
	}
	return errs
}

// limit is how long one check may take.
func (c *common) limit() time.Duration {
	if c.timeout != 0 {
		return c.timeout
	}
	return min(defaultTimeout, c.interval*8/10)
}

// task makes the one task of an entry. All settings go into the fingerprint, with
// secret beside them.
func (c *common) task(settings any, secret probes.Secret, deps probes.Deps, ask asker) []probes.Task {
	name := c.target
	if c.name != "" {
		name = c.name
	}
	c.name = name
	id := c.kind + "/" + name + c.unique
	same := sha256.Sum256(fmt.Appendf(nil, "%+v %q", settings, secret.Reveal()))
	return []probes.Task{{
		ID: id, Device: c.device, Lane: id, Label: name + " " + c.kind, Interval: c.interval,
		Probe: &Probe{common: *c, ask: ask, deps: deps}, Same: hex.EncodeToString(same[:]),
	}}
}

// splitTarget reads host:port, or a host alone where there is a port to assume.
func splitTarget(text, port string) (host, at string, err error) {
	host = text
	if h, p, failed := net.SplitHostPort(text); failed == nil {
		host, port = h, p
	} else if addr, failed := netip.ParseAddr(strings.Trim(text, "[]")); failed == nil {
		host = addr.String()
	}
	if n, failed := strconv.ParseUint(port, 10, 16); failed != nil || n == 0 {
		return "", "", errors.New("there is no port from 1 to 65535 in it")
	}
	if !isHost(host) {
		return "", "", errors.New("there is no host name or IP address in it")
	}
	return host, net.JoinHostPort(host, port), nil
}

// isHost takes names and addresses, and no address with a typing error, whose
// last part is a number.
func isHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() != "" || !addr.Is6() || !addr.IsLinkLocalUnicast()
	}
	last := s
	for part := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if part == "" || strings.ContainsFunc(part, notInName) {
			return false
		}
		last = part
	}
	return len(s) <= 253 && strings.Trim(last, "0123456789") != ""
}

func notInName(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
