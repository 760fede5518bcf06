package extension

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Topology is which entities the environment makes of the lines.
type Topology struct {
	Types     []EntityType
	Relations []Relation
}

// EntityType is one kind of entity.
type EntityType struct {
	Name, DisplayName string
	Enabled           bool
	Rules             []EntityRule
}

// EntityRule tells which lines make an entity, and what names it.
type EntityRule struct {
	ID, InstanceName, Icon, Role string // patterns with {dimension}
	Sources                      []EntitySource
	Required                     []RequiredDimension
	Attributes                   []Attribute
}

// EntitySource chooses lines: Metrics, Logs, ... and a condition such as
// $prefix(com.example.).
type EntitySource struct{ Type, Condition string }

// RequiredDimension is a dimension that a line has to have.
type RequiredDimension struct{ Key, Pattern string }

// Attribute is what an entity is shown with.
type Attribute struct{ Key, DisplayName, Pattern string }

// Relation joins two entity types.
type Relation struct {
	Type, From, To, FromRole, ToRole string
	Enabled                          bool
	Sources                          []EntitySource
}

var (
	topologyKeys     = []string{"types", "relationships"}
	entityKeys       = []string{"name", "displayName", "enabled", "rules"}
	ruleKeys         = []string{"idPattern", "instanceNamePattern", "iconPattern", "role", "sources", "requiredDimensions", "attributes"}
	entitySourceKeys = []string{"sourceType", "condition", "mappingRules"}
	requiredKeys     = []string{"key", "valuePattern"}
	attributeKeys    = []string{"key", "displayName", "pattern"}
	relationKeys     = []string{"typeOfRelation", "fromType", "toType", "fromRole", "toRole", "enabled", "sources"}
)

func (p *manifestParser) topology(o object) Topology {
	var t Topology
	for _, v := range p.items(o, "types") {
		t.Types = append(t.Types, p.entityType(p.object(v, entityKeys)))
	}
	for _, v := range p.items(o, "relationships") {
		r := p.object(v, relationKeys)
		t.Relations = append(t.Relations, Relation{
			Type: r.text("typeOfRelation"), From: r.text("fromType"), To: r.text("toType"),
			FromRole: r.text("fromRole"), ToRole: r.text("toRole"), Enabled: r.flag("enabled", true),
			Sources: p.entitySources(r),
		})
	}
	return t
}

func (p *manifestParser) entityType(o object) EntityType {
	made := EntityType{Name: o.text("name"), DisplayName: o.text("displayName"), Enabled: o.flag("enabled", true)}
	if made.Name == "" {
		o.missing("name", "the name of an entity type")
	}
	for _, v := range p.items(o, "rules") {
		made.Rules = append(made.Rules, p.entityRule(p.object(v, ruleKeys)))
	}
	return made
}

func (p *manifestParser) entityRule(o object) EntityRule {
	rule := EntityRule{
		ID: o.text("idPattern"), InstanceName: o.text("instanceNamePattern"), Icon: o.text("iconPattern"), Role: o.text("role"),
		Sources: p.entitySources(o),
	}
	for _, d := range p.items(o, "requiredDimensions") {
		one := p.object(d, requiredKeys)
		rule.Required = append(rule.Required, RequiredDimension{p.key(one), one.text("valuePattern")})
	}
	for _, a := range p.items(o, "attributes") {
		one := p.object(a, attributeKeys)
		rule.Attributes = append(rule.Attributes, Attribute{p.key(one), one.text("displayName"), one.text("pattern")})
	}
	return rule
}

func (p *manifestParser) entitySources(o object) []EntitySource {
	var all []EntitySource
	for _, v := range p.items(o, "sources") {
		s := p.object(v, entitySourceKeys)
		all = append(all, EntitySource{s.text("sourceType"), s.text("condition")})
	}
	return all
}

// inPattern finds {dimension} and {dimension:modifier} in a pattern.
var inPattern = regexp.MustCompile(`\{([^{}:]+)(:[^{}]*)?\}`)

// KeyedByAddress lists the entity types that the address of the device names,
// with nothing beside it that tells one site from another: the same address at
// two sites is one entity there.
func (m *Manifest) KeyedByAddress() []string {
	addresses := m.addressKeys()
	var names []string
	for _, t := range m.Topology.Types {
		if slices.ContainsFunc(t.Rules, func(r EntityRule) bool { return keyedBy(r.ID, addresses) }) {
			names = append(names, t.Name)
		}
	}
	return names
}

func keyedBy(pattern string, addresses map[string]bool) bool {
	keyed := false
	for _, found := range inPattern.FindAllStringSubmatch(pattern, -1) {
		if found[1] == "site" {
			return false
		}
		keyed = keyed || addresses[found[1]]
	}
	return keyed
}

// addressKeys are the dimensions that hold the address of the device.
func (m *Manifest) addressKeys() map[string]bool {
	keys := map[string]bool{deviceAddress: true}
	add := func(dims []dimension) {
		for i := range dims {
			if dims[i].source.kind == plan.FromDeviceAddress {
				keys[dims[i].key] = true
			}
		}
	}
	for i := range m.groups {
		add(m.groups[i].dims)
		for j := range m.groups[i].subgroups {
			add(m.groups[i].subgroups[j].dims)
		}
	}
	if m.Traps != nil {
		for _, g := range m.Traps.groups {
			for _, d := range g.dims {
				keys[d.key] = keys[d.key] || d.field == plan.TrapSender
			}
		}
	}
	return keys
}

// MayMerge warns, in a sentence, of devices that the environment could take for
// those of another site: the package names entities by an address or a name that
// other sites may have too. "" where there is nothing to warn of, or identity is
// site.
func (m *Manifest) MayMerge(c Configuration, identity string) string {
	types := m.KeyedByAddress()
	if identity == IdentitySite || len(types) == 0 {
		return ""
	}
	same := c.sharedAddress()
	if same == "" {
		return ""
	}
	return "the environment names " + inWords(types, "and") + " by device.address alone, so a device of another site with the same " + same +
		" becomes the same entity; write identity: site in this entry"
}

// sharedAddress is what the configuration reads and other sites may have too, as
// MayMerge says it.
func (c Configuration) sharedAddress() string {
	for i := range c.devices {
		host := c.devices[i].host
		addr, err := netip.ParseAddr(host)
		switch {
		case err == nil && sharedNetwork(netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen())):
			return "private address (" + host + " is one)"
		case err != nil && sharedName(host):
			return "name (" + host + " is one that is not unique)"
		}
	}
	if c.traps == nil {
		return ""
	}
	for _, e := range c.traps.entries {
		if sharedNetwork(e.from) {
			return "private address (senders of traps in " + e.from.String() + " have one)"
		}
	}
	return ""
}

// sharedNetworks are the addresses that any site may use.
var sharedNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

func sharedNetwork(p netip.Prefix) bool {
	return slices.ContainsFunc(sharedNetworks, func(s netip.Prefix) bool { return p.IsValid() && p.Overlaps(s) })
}

// sharedDomains are those that no site owns (RFC 6762, RFC 8375, and habit).
var sharedDomains = []string{"local", "localhost", "localdomain", "lan", "home", "internal", "intranet", "corp", "private", "home.arpa"}

// sharedName tells a host name that is whole within its site only.
func sharedName(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name != "" && (!strings.Contains(name, ".") ||
		slices.ContainsFunc(sharedDomains, func(d string) bool { return strings.HasSuffix(name, "."+d) }))
}
