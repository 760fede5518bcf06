package extension

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Configuration is one entry of a Dynatrace monitoring configuration.
type Configuration struct {
	Name        string // the file, for messages
	Scope       string // e.g. ag_group-plant; "" in the bare shape
	Enabled     bool   // the caller leaves out what is not
	Description string
	Version     string // of the package it was written for; "" where it does not say
	FeatureSets []string
	Vars        map[string]string
	Warnings    []Warning

	prefix  string // path of the entry, e.g. [0].value
	places  map[string]*node
	devices []device
	secrets bool
}

// device is a device as the configuration writes it.
type device struct {
	at      value
	host    string
	port    uint16
	auth    authentication
	timeout time.Duration
	retries int
	reps    int
	oids    int
}

var (
	configurationKeys = []string{
		"enabled", "description", "version", "featureSets", "activationContext", "activationTags", "vars", "snmp",
		"primaryFields", "primaryTags",
	}
	wrapperKeys        = []string{"scope", "value", "objectId"}
	snmpKeys           = []string{"devices"}
	deviceKeys         = []string{"ip", "port", "authentication", "advanced", "primaryFields", "primaryTags"}
	advancedKeys       = []string{"timeoutSecs", "retries", "maxRepetitions", "maxOidsPerQuery", "enableUnconnectedUdp"}
	authenticationKeys = []string{
		"type", "community", "useCredentialVault", "credentialVaultIdToken", "credentialVaultIdSnmpV3",
		"userName", "securityLevel", "authProtocol", "authPassword", "privProtocol", "privPassword",
	}
)

var (
	placeholder = regexp.MustCompile(`^\{\{\s*([^{}\s]+)\s*\}\}$`)
	masked      = regexp.MustCompile(`^\*{3}.*\*{3}$`)
)

// HoldsSecrets tells whether the file holds a community or pass phrase itself
// and must so not be readable by others.
func (c Configuration) HoldsSecrets() bool { return c.secrets }

// path is the whole path of a field of this entry.
func (c Configuration) path(field string) string { return join(c.prefix, field) }

// place is where a field stands, nil where it is missing.
func (c Configuration) place(field string) *node { return c.places[field] }

// ParseConfiguration reads a monitoring configuration: the API's array of
// {scope, value}, one such object, or the bare value. Name is the file, for
// messages. The errors never show a value that may be secret.
func ParseConfiguration(data []byte, name string) ([]Configuration, error) {
	root, err := parseJSON(data, name)
	if err != nil {
		return nil, err
	}
	entries := []value{{root, ""}}
	if root.kind == kindList {
		entries = entries[:0]
		for i, n := range root.items {
			entries = append(entries, value{n, fmt.Sprintf("[%d]", i)})
		}
		if len(entries) == 0 {
			return nil, fmt.Errorf("%s:%d:%d: the list is empty, expected a monitoring configuration", name, root.line, root.col)
		}
	}
	r := reader{file: name}
	var all []Configuration
	for _, v := range entries {
		r.warnings = nil
		c := r.configuration(v)
		c.Warnings = r.warnings
		all = append(all, c)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return all, nil
}

// configuration reads one entry, in a wrapper or bare.
func (r *reader) configuration(v value) Configuration {
	scope := ""
	if v.kind == kindMap && v.field("value") != nil {
		wrapper := r.object(v, wrapperKeys)
		scope = wrapper.text("scope")
		v, _ = wrapper.get("value")
		if v.node == nil {
			return Configuration{}
		}
	}
	o := r.object(v, nil)
	c := Configuration{
		Name: r.file, Scope: scope, prefix: v.path,
		Enabled:     o.flag("enabled", true),
		Description: o.text("description"),
		Version:     o.text("version"),
		FeatureSets: o.texts("featureSets"),
		places:      make(map[string]*node),
	}
	for _, f := range v.fields {
		c.places[f.key] = f.value
	}
	for i, n := range v.field("featureSets").list() {
		c.places[fmt.Sprintf("featureSets[%d]", i)] = n
	}
	c.Vars = r.vars(o, c.places)
	if v.kind == kindMap {
		r.snmp(o, &c)
	}
	return c
}

func (r *reader) vars(o object, places map[string]*node) map[string]string {
	all := make(map[string]string)
	v, ok := o.get("vars")
	if !ok {
		return all
	}
	vars := r.object(v, nil)
	for _, f := range v.fields {
		all[f.key] = vars.text(f.key)
		places["vars."+f.key] = f.value
	}
	return all
}

// snmp reads the part of the data source. Parts of others make it a
// configuration of another package.
func (r *reader) snmp(o object, c *Configuration) {
	part, ok := o.get("snmp")
	if !ok {
		expected := "the devices of an snmp package"
		for _, f := range o.at.fields {
			if f.value.kind == kindMap && f.key != "vars" {
				expected += ", found " + f.key
				break
			}
		}
		o.missing("snmp", expected)
		return
	}
	for _, f := range o.at.fields {
		if !slices.Contains(configurationKeys, f.key) {
			r.unknownKey(&node{line: f.line, col: f.col}, join(o.at.path, f.key), f.key, configurationKeys)
		}
	}
	so := r.object(part, snmpKeys)
	items := so.list("devices")
	if v, ok := so.get("devices"); !ok || v.kind == kindList && len(items) == 0 {
		so.missing("devices", "a list of devices with at least one")
	}
	seen := make(map[string]bool)
	for _, v := range items {
		d := r.device(v, c)
		key := fmt.Sprint(d.host, " ", d.port)
		if seen[key] {
			r.warn(v.node, v.path, "this device is listed twice")
			continue
		}
		seen[key] = true
		c.devices = append(c.devices, d)
	}
}

func (r *reader) device(v value, c *Configuration) device {
	o := r.object(v, deviceKeys)
	d := device{at: v, host: r.host(o), port: uint16(o.integer("port", 1, 65535, 161)), retries: -1}
	if part, ok := o.get("authentication"); ok {
		d.auth = r.authentication(part, c)
	} else if v.kind == kindMap {
		o.missing("authentication", "a type, and a community or a user")
	}
	if part, ok := o.get("advanced"); ok {
		a := r.object(part, advancedKeys)
		d.timeout = time.Duration(a.integer("timeoutSecs", 1, 1800, 0)) * time.Second
		d.retries = a.integer("retries", 0, 200, -1)
		d.reps = a.integer("maxRepetitions", 1, 400, 0)
		d.oids = a.integer("maxOidsPerQuery", 1, 120, 0)
		if a.flag("enableUnconnectedUdp", false) {
			at, _ := a.get("enableUnconnectedUdp")
			r.warn(at.node, at.path, "not needed, answers from another address are heard anyway")
		}
	}
	return d
}

// host reads a name or an address.
func (r *reader) host(o object) string {
	host := strings.TrimSpace(o.text("ip"))
	v, ok := o.get("ip")
	if host == "" {
		if o.at.kind == kindMap && (!ok || v.kind == kindText) {
			o.missing("ip", "a host name or an address")
		}
		return ""
	}
	_, err := netip.ParseAddr(host)
	if err != nil && (len(host) > 500 || strings.ContainsAny(host, " \t\r\n:/,@[]%")) {
		r.fail(v.node, v.path, "neither a host name nor an address; ranges are written out, and the port has a key of its own")
	}
	return host
}
