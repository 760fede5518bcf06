package extension

import (
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
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
	parts   []string // keys of the parts it has
	secrets bool

	// What the parts say.
	devices    []device // of snmp
	prometheus *prometheusPart
	traps      *trapsPart
	http       *httpPart
}

var (
	configurationKeys = []string{
		"enabled", "description", "version", "featureSets", "activationContext", "activationTags", "vars",
		"primaryFields", "primaryTags",
	}
	wrapperKeys        = []string{"scope", "value", "objectId"}
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
		if len(entries) > maxConfigurations {
			return nil, fmt.Errorf("%s: found %d monitoring configurations, expected at most %d, which is what one package has in the environment; split the file",
				name, len(entries), maxConfigurations)
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
	r.about(o)
	c.Vars = r.vars(o, c.places)
	if v.kind == kindMap {
		r.parts(o, &c)
	}
	return c
}

// about looks at what says nothing to this agent.
func (r *reader) about(o object) {
	if text, at := o.text("description"), o.at.field("description"); utf8.RuneCountInString(text) > maxDescription {
		r.warn(at, join(o.at.path, "description"), fmt.Sprintf("longer than %d characters, which the environment does not take", maxDescription))
	}
	if word, at := o.text("activationContext"), o.at.field("activationContext"); word != "" && word != "REMOTE" && word != "LOCAL" {
		r.warn(at, join(o.at.path, "activationContext"), "found another word, expected REMOTE")
	}
	o.texts("activationTags")
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

// parts reads the parts of the data sources, of which there is at least one.
func (r *reader) parts(o object, c *Configuration) {
	known := append(partKeys(), configurationKeys...)
	for _, f := range o.at.fields {
		if !slices.Contains(known, f.key) {
			r.unknownKey(&node{line: f.line, col: f.col}, join(o.at.path, f.key), f.key, known)
		}
	}
	for _, source := range dataSources() {
		for _, key := range source.keys {
			if part, ok := o.get(key); ok {
				c.parts = append(c.parts, key)
				source.configuration(r, part, c)
			}
		}
	}
	if len(c.parts) > 0 {
		return
	}
	expected := "what to collect from: " + inWords(partKeys(), "or")
	for _, f := range o.at.fields {
		if f.value.kind == kindMap && f.key != "vars" {
			expected += ", found " + f.key
			break
		}
	}
	o.missing(partKeys()[0], expected)
}
