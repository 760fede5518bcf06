package extension

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
)

// Permissions is what follows from the content of a package: what it would
// read, and where.
type Permissions struct {
	DataSources  []string  `json:"dataSources"`  // snmp, prometheus, ...
	OIDs         []Located `json:"oids"`         // the fewest that hold all it reads by SNMP; names where the package has no numbers
	Hosts        []Located `json:"hosts"`        // that the package itself names; those of a configuration are Targets
	LocalDevices []Located `json:"localDevices"` // buses, pins and serial ports of this machine
	Requests     []Located `json:"requests"`     // of http: method and path, such as GET /topology

	asks asks
}

// Located is something that a package asks for, and the lines that do.
type Located struct {
	What  string `json:"what"`
	File  string `json:"file"`
	Lines []int  `json:"lines"`
}

// Limits bound what a package may do. An empty list is no limit.
type Limits struct {
	DataSources  []string       // snmp, prometheus, ...
	Addresses    []netip.Prefix // of the devices that a configuration names
	OIDs         []string       // roots of subtrees
	Hosts        []string       // names of endpoints; a leading *. stands for any sub-domain
	LocalDevices bool           // buses, pins and serial ports of this machine may be used
}

// Target is a device or endpoint that a configuration names.
type Target struct {
	Address      string // an address or a host name, without a port
	File         string
	Line, Column int
}

// Violation is a limit that something breaks, and where that stands.
type Violation struct {
	Limit  string `json:"limit"` // data_sources, addresses, oids, hosts, local_devices
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

// String is "FILE:LINE:COLUMN: TEXT".
func (v Violation) String() string {
	return Warning{File: v.File, Line: v.Line, Column: v.Column, Text: v.Text}.String()
}

// asks are all requests of a package, each with its place.
type asks struct {
	file                                    string
	sources, oids, hosts, devices, requests []ask
}

type ask struct {
	what      string
	line, col int
}

func asked(what string, n *node) ask { return ask{what, n.line, n.col} }

// PermissionsOf tells what a package that runs here asks for.
func PermissionsOf(m *Manifest) Permissions { return m.asks.permissions() }

// Resolve puts numbers in place of the names of objects, as Compile would with
// the same MIBs: what has none stays a name, which is beyond any limit of OIDs.
func (p Permissions) Resolve(mibs *mib.Set) Permissions {
	k := compiler{options: CompileOptions{MIBs: mibs}}
	a := p.asks
	a.oids = slices.Clone(a.oids)
	for i := range a.oids {
		if o, ok := k.object(a.oids[i].what); ok && isName(a.oids[i].what) {
			a.oids[i].what = o.oid
		}
	}
	return a.permissions()
}

// ReadPermissions tells what a package of any data source asks for. Name is the
// package as its user knows it, for messages.
func ReadPermissions(files fs.FS, name string) (Permissions, error) {
	file := path.Join(name, manifestName)
	data, err := readManifest(files)
	if err != nil {
		return Permissions{}, fmt.Errorf("read manifest %s: %w", file, err)
	}
	root, err := parseYAML(data, file)
	if err != nil {
		return Permissions{}, err
	}
	return asksOf(root, file).permissions(), nil
}

// asksOf goes through the data sources. A text of another one than SNMP that
// looks like a URL or like a device file counts as one.
func asksOf(root *node, file string) asks {
	a := asks{file: file}
	for _, f := range root.mapping() {
		if !isDataSource(f) {
			continue
		}
		a.sources = append(a.sources, ask{f.key, f.line, f.col})
		if source, runs := sourceAt(f.key); !runs || source.asks == nil {
			a.places(f.value)
		} else {
			source.asks(&a, root)
		}
	}
	for _, v := range root.field("vars").list() {
		a.places(v.field("defaultValue"))
	}
	return a
}

// snmpAsks lists the OIDs of the groups.
func snmpAsks(a *asks, root *node) {
	for _, p := range partsOf(root) {
		if p.source.name != "snmp" {
			continue
		}
		for _, entry := range slices.Concat(p.dims, p.metrics) {
			for _, oid := range oidsIn(entry.value) {
				a.oids = append(a.oids, asked(oid, entry.valueAt))
			}
		}
	}
}

// places finds hosts and device files in the texts below n.
func (a *asks) places(n *node) {
	if n == nil {
		return
	}
	for _, item := range n.items {
		a.places(item)
	}
	for _, f := range n.fields {
		a.places(f.value)
	}
	if n.kind != kindText {
		return
	}
	for _, word := range strings.FieldsFunc(n.text, func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'(),", r) }) {
		if strings.HasPrefix(word, "/dev/") || strings.HasPrefix(word, "/sys/") {
			a.devices = append(a.devices, asked(word, n))
		}
		if host := hostOf(word); host != "" {
			a.hosts = append(a.hosts, asked(host, n))
		}
	}
}

// hostOf takes the host out of a URL, "" where it is none.
func hostOf(text string) string {
	_, rest, found := strings.Cut(text, "://")
	if !found {
		return ""
	}
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if inner, bracketed := strings.CutPrefix(rest, "["); bracketed {
		rest, _, _ = strings.Cut(inner, "]")
		return rest
	}
	rest, _, _ = strings.Cut(rest, ":")
	return plainHost(rest)
}

func plainHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// oidsIn lists the OIDs that a value reads, those of functions too.
func oidsIn(text string) []string {
	var all []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == '(' || r == ')' || r == ',' }) {
		oid, found := strings.CutPrefix(strings.TrimSpace(word), "oid:")
		if !found {
			continue
		}
		all = append(all, plainOID(oid))
	}
	if s, problem := parseOID(text); problem == "" {
		all = append(all, s.text)
	}
	return all
}

func plainOID(oid string) string { return strings.TrimPrefix(strings.TrimSpace(oid), ".") }

func (a asks) permissions() Permissions {
	p := Permissions{
		DataSources: make([]string, 0, len(a.sources)), asks: a,
		OIDs: gather(a.file, a.oids, true), Hosts: gather(a.file, a.hosts, false), LocalDevices: gather(a.file, a.devices, false),
		Requests: gather(a.file, a.requests, false),
	}
	for _, s := range a.sources {
		p.DataSources = append(p.DataSources, s.what)
	}
	sort.Strings(p.DataSources)
	p.DataSources = slices.Compact(p.DataSources)
	return p
}

// gather puts what is the same together, and with tree what lies below an OID.
func gather(file string, list []ask, tree bool) []Located {
	list = slices.Clone(list)
	sort.SliceStable(list, func(i, j int) bool { return beforeOID(list[i].what, list[j].what) })
	all := make([]Located, 0, len(list))
	for _, a := range list {
		last := len(all) - 1
		if last < 0 || all[last].What != a.what && !(tree && below(a.what, all[last].What)) {
			all = append(all, Located{What: a.what, File: file})
			last++
		}
		all[last].Lines = append(all[last].Lines, a.line)
	}
	for i := range all {
		sort.Ints(all[i].Lines)
		all[i].Lines = slices.Compact(all[i].Lines)
	}
	return all
}

// beforeOID orders OIDs by their numbers, and other texts somehow.
func beforeOID(a, b string) bool {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		switch {
		case x != y && len(x) != len(y):
			return len(x) < len(y)
		case x != y:
			return x < y
		case !moreA || !moreB:
			return !moreA && moreB
		}
		a, b = restA, restB
	}
}

// below tells whether oid is root or lies in its subtree.
func below(oid, root string) bool {
	return root != "" && (oid == root || strings.HasPrefix(oid, root) && oid[len(root)] == '.')
}

// Beyond lists what the limits do not allow: of the package, and of the targets
// that configurations give it. What cannot be held against a limit is beyond
// it: an OID that is a name, a host name where addresses are limited and no
// list of hosts has it.
func (p Permissions) Beyond(l Limits, targets []Target) []Violation {
	c := limitCheck{limits: l, file: p.asks.file}
	for _, a := range p.asks.sources {
		if len(l.DataSources) > 0 && !slices.Contains(l.DataSources, a.what) {
			c.say("data_sources", a, fmt.Sprintf("the data source %s is beyond the limit, which is %s", a.what, strings.Join(l.DataSources, ", ")))
		}
	}
	for _, a := range p.asks.oids {
		if len(l.OIDs) > 0 && !c.oid(a.what) {
			c.say("oids", a, fmt.Sprintf("reads %s, beyond the limit, which is %s", a.what, strings.Join(l.OIDs, ", ")))
		}
	}
	for _, a := range p.asks.hosts {
		c.host(a)
	}
	for _, a := range p.asks.devices {
		if !l.LocalDevices {
			c.say("local_devices", a, "uses "+a.what+", and devices of this machine are not allowed")
		}
	}
	for _, t := range targets {
		c.target(t)
	}
	return c.found
}

type limitCheck struct {
	limits Limits
	file   string
	found  []Violation
}

func (c *limitCheck) say(limit string, a ask, text string) {
	c.found = append(c.found, Violation{Limit: limit, File: c.file, Line: a.line, Column: a.col, Text: text})
}

func (c *limitCheck) oid(oid string) bool {
	if _, problem := parseOID(oid); problem != "" {
		return false
	}
	return slices.ContainsFunc(c.limits.OIDs, func(root string) bool {
		return below(oid, strings.TrimSuffix(plainOID(strings.TrimPrefix(root, "oid:")), ".*"))
	})
}

// host checks one that the package itself names. An address counts as a host
// too, so that a limit of hosts cannot be got around.
func (c *limitCheck) host(a ask) {
	addr, isAddress := address(a.what)
	switch l := c.limits; {
	case c.listed(a.what):
	case isAddress && len(l.Addresses) > 0:
		if !within(addr, l.Addresses) {
			c.say("addresses", a, "names the address "+a.what+", beyond the limit")
		}
	case len(l.Hosts) > 0:
		c.say("hosts", a, fmt.Sprintf("names the host %s, beyond the limit, which is %s", a.what, strings.Join(l.Hosts, ", ")))
	case len(l.Addresses) > 0:
		c.say("addresses", a, "names the host "+a.what+", whose address is not known; list it in hosts")
	}
}

// target checks one that a configuration names.
func (c *limitCheck) target(t Target) {
	a := ask{t.Address, t.Line, t.Column}
	own := *c
	own.file, own.found = t.File, nil
	if _, isAddress := address(t.Address); isAddress {
		own.limits.Hosts = nil
	}
	if !c.listed(t.Address) {
		own.host(a)
	}
	c.found = append(c.found, own.found...)
}

func (c *limitCheck) listed(host string) bool {
	host = plainHost(host)
	return slices.ContainsFunc(c.limits.Hosts, func(pattern string) bool {
		pattern = plainHost(pattern)
		if domain, wild := strings.CutPrefix(pattern, "*."); wild {
			return strings.HasSuffix(host, "."+domain) && len(host) > len(domain)+1
		}
		return host == pattern
	})
}

func address(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}

func within(addr netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Targets lists what the configuration names, with its places.
func (c Configuration) Targets() []Target {
	var all []Target
	for _, source := range dataSources() {
		if source.targets != nil {
			all = append(all, source.targets(c)...)
		}
	}
	return all
}

func snmpTargets(c Configuration) []Target {
	all := make([]Target, 0, len(c.devices))
	for _, d := range c.devices {
		all = append(all, targetAt(c, d.host, d.at.node, "ip"))
	}
	return all
}

// targetAt is a target with the place of the field that names it, else that of
// the object n.
func targetAt(c Configuration, address string, n *node, key string) Target {
	t := Target{Address: address, File: c.Name}
	if named := n.field(key); named != nil {
		n = named
	}
	if n != nil {
		t.Line, t.Column = n.line, n.col
	}
	return t
}
