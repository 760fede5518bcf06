package extension

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// trapsPart is the snmptraps part of a monitoring configuration.
type trapsPart struct {
	listen               netip.Addr
	entries              []trapEntry
	trims                []trapTrim
	repeats              time.Duration
	perMinute, perSender int
}

// trapEntry is a source as the configuration writes it.
type trapEntry struct {
	from netip.Prefix
	port uint16 // 0: not said
	auth authentication
}

type trapTrim struct {
	at   value
	root string // OID or name
	arcs int
}

const (
	maxTrapSources = 100
	maxTrapTrims   = 100
)

var (
	trapsKeys      = []string{"sources", "advanced", "listen"}
	trapSourceKeys = []string{"ip", "port", "authentication", "advanced", "primaryFields", "primaryTags"}
	// Those of the vendor; the others are ours.
	trapAdvancedKeys = []string{"varbindings", "deduplicateSecs", "maxTrapsPerMinute", "maxTrapsPerSender"}
	trapTrimKeys     = []string{"root", "suffixLen"}
)

// trapsConfiguration reads the sources of traps.
func trapsConfiguration(r *reader, part value, c *Configuration) {
	o := r.object(part, trapsKeys)
	c.traps = &trapsPart{}
	r.trapAdvanced(o, c.traps)
	if text := strings.TrimSpace(o.text("listen")); text != "" {
		var err error
		if c.traps.listen, err = netip.ParseAddr(text); err != nil {
			at, _ := o.get("listen")
			r.fail(at.node, at.path, "found another text, expected an address of this machine; leave it out to listen on all")
		}
	}
	items := o.list("sources")
	if v, ok := o.get("sources"); !ok || v.kind == kindList && len(items) == 0 {
		o.missing("sources", "a list of sources, each with ip and authentication")
	}
	if len(items) > maxTrapSources {
		at, _ := o.get("sources")
		r.fail(at.node, at.path, fmt.Sprintf("found %d sources, expected at most %d; take larger networks, or split the configuration", len(items), maxTrapSources))
		return
	}
	for _, v := range items {
		entry := r.object(v, trapSourceKeys)
		e := trapEntry{from: r.network(entry), port: uint16(entry.integer("port", 1, 65535, 0))}
		e.auth = r.trapAuthentication(entry, c)
		r.trapAdvanced(entry, c.traps)
		c.traps.entries = append(c.traps.entries, e)
	}
}

// network reads a network or an address.
func (r *reader) network(o object) netip.Prefix {
	text := strings.TrimSpace(o.text("ip"))
	at, ok := o.get("ip")
	if text == "" {
		if o.at.kind == kindMap && (!ok || at.kind == kindText) {
			o.missing("ip", "the network that sends the traps, such as 192.0.2.0/24, or 0.0.0.0/0 for all")
		}
		return netip.Prefix{}
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	made, err := netip.ParsePrefix(text)
	if err != nil {
		r.fail(at.node, at.path, "found another text, expected a network such as 192.0.2.0/24, or one address")
	}
	return made.Masked()
}

// trapAuthentication reads an authentication, whose type may be left out where
// it has a community.
func (r *reader) trapAuthentication(o object, c *Configuration) authentication {
	part, ok := o.get("authentication")
	if !ok {
		if o.at.kind == kindMap {
			o.missing("authentication", "a community, or the type SNMPv3 and a user")
		}
		return authentication{}
	}
	a := r.authentication(part, c)
	if a.typ.node == nil {
		word := "SNMPv2c"
		if a.user.node != nil || a.level.node != nil {
			word = "SNMPv3"
		}
		a.typ = value{&node{kind: kindText, text: word, line: part.line, col: part.col}, join(part.path, "type")}
	}
	return a
}

// trapAdvanced reads what holds for all sources, wherever it stands.
func (r *reader) trapAdvanced(o object, t *trapsPart) {
	part, ok := o.get("advanced")
	if !ok {
		return
	}
	a := r.object(part, trapAdvancedKeys)
	t.repeats = max(t.repeats, time.Duration(a.integer("deduplicateSecs", 0, 3600, 0))*time.Second)
	t.perMinute = max(t.perMinute, a.integer("maxTrapsPerMinute", 1, 1_000_000, 0))
	t.perSender = max(t.perSender, a.integer("maxTrapsPerSender", 1, 1_000_000, 0))
	items := a.list("varbindings")
	if len(items)+len(t.trims) > maxTrapTrims {
		at, _ := a.get("varbindings")
		r.fail(at.node, at.path, fmt.Sprintf("found more than %d entries; name the roots that several of them share", maxTrapTrims))
		return
	}
	for _, v := range items {
		entry := r.object(v, trapTrimKeys)
		trim := trapTrim{at: v, root: strings.TrimPrefix(strings.TrimSpace(entry.label("root")), "."), arcs: entry.integer("suffixLen", 0, 128, 0)}
		if trim.root == "" {
			entry.missing("root", "an OID, or a name from a MIB file")
		}
		t.trims = append(t.trims, trim)
	}
}

// TrapSources gives the sources of traps of the configuration; the error joins
// one for each whose authentication is wrong, and the others are given all the
// same. Communities, users and pass phrases may be named as for Devices.
func (c Configuration) TrapSources(credentials map[string]probes.Credential) ([]plan.TrapSource, error) {
	if c.traps == nil {
		return nil, nil
	}
	var sources []plan.TrapSource
	var errs []error
	for i := range c.traps.entries {
		e := &c.traps.entries[i]
		r := reader{file: c.Name}
		credential := r.credential(&e.auth, credentials)
		if err := r.err(); err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, plan.TrapSource{From: e.from, Port: e.port, Credential: credential})
	}
	return sources, errors.Join(errs...)
}
