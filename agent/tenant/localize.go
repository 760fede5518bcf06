package tenant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Missing is a secret that the environment keeps to itself, at one place of a
// configuration.
type Missing struct {
	Path string `json:"path"` // in the file, e.g. [0].value.snmp.devices[2].authentication.community
	// Write is what stands at that place now, {{NAME}} of a credential, or ""
	// where the secret itself has to be written into the file.
	Write string `json:"write,omitempty"`
}

// Credential is an entry that the agent's configuration needs under
// `credentials`, with the secrets that the environment keeps to itself.
type Credential struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // of SNMP: 2c or 3
	Web     string `json:"web,omitempty"`     // of an endpoint: password or token
	User    string `json:"user,omitempty"`
	Auth    string `json:"auth,omitempty"` // protocol, e.g. SHA256
	Priv    string `json:"priv,omitempty"`
	Vault   bool   `json:"vault,omitempty"` // the environment takes it from its credential vault
	Devices int    `json:"devices"`         // that are asked with it
}

// Localizer makes configurations of the environment fit for this agent. It
// names the same secret of several configurations alike.
type Localizer struct {
	prefix string
	names  map[string]int // what the environment shows of a credential -> index into made
	made   []Credential
}

// NewLocalizer names credentials by the extension.
func NewLocalizer(extension string) *Localizer {
	return &Localizer{prefix: strings.ReplaceAll(extension, ":", "-"), names: map[string]int{}, made: []Credential{}}
}

// Credentials are those that the configurations name, in the order in which
// they were first met.
func (l *Localizer) Credentials() []Credential { return l.made }

// hidden is how the environment shows a secret: a mask such as ***0123abcd***,
// or stars alone.
var hidden = regexp.MustCompile(`^(\*{3}.*\*{3}|\*{3,})$`)

// File is the configuration as a file that this agent takes. In the devices of
// SNMP, the sources of traps and the endpoints of Prometheus the secrets that the
// environment hides, or keeps in its vault for SNMP, are written {{NAME}}; the
// others are left as they are and told.
func (l *Localizer) File(c Configuration) (file []byte, missing []Missing, err error) {
	var value map[string]any
	d := json.NewDecoder(bytes.NewReader(c.Value))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, nil, fmt.Errorf("read monitoring configuration: %w", err)
	}
	const at = "[0].value"
	missing = []Missing{}
	for _, list := range lists {
		part, _ := value[list.part].(map[string]any)
		entries, _ := part[list.key].([]any)
		for i, item := range entries {
			entry, _ := item.(map[string]any)
			authentication, ok := entry["authentication"].(map[string]any)
			if ok {
				missing = append(missing, list.fill(l, authentication, fmt.Sprintf("%s.%s.%s[%d].authentication", at, list.part, list.key, i))...)
			}
		}
	}
	missing = append(missing, masks(value, at)...)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode([]any{struct {
		ID    string         `json:"objectId,omitempty"`
		Scope string         `json:"scope"`
		Value map[string]any `json:"value"`
	}{c.ID, c.Scope, value}}); err != nil {
		return nil, nil, fmt.Errorf("write monitoring configuration: %w", err)
	}
	return b.Bytes(), missing, nil
}

// lists are those of what is asked, and how the secrets of an entry are filled in.
var lists = []struct {
	part, key string
	fill      func(l *Localizer, authentication map[string]any, at string) []Missing
}{
	{"snmp", "devices", (*Localizer).authentication},
	{"snmptraps", "sources", (*Localizer).source},
	{"prometheusRemote", "endpoints", (*Localizer).endpoint},
	{"prometheusLocal", "endpoints", (*Localizer).endpoint},
}

// source fills in those of one source of traps, whose type may be left away.
func (l *Localizer) source(a map[string]any, at string) []Missing {
	if _, typed := a["type"]; !typed {
		a["type"] = "SNMPv2c"
		if a["userName"] != nil || a["securityLevel"] != nil {
			a["type"] = "SNMPv3"
		}
		defer delete(a, "type")
	}
	return l.authentication(a, at)
}

// endpoint fills in that of one endpoint.
func (l *Localizer) endpoint(a map[string]any, at string) []Missing {
	scheme, _ := a["scheme"].(string)
	key := ""
	switch {
	case a["useCredentialVault"] == true: // the user is in the vault too
		return nil
	case strings.EqualFold(scheme, "basic"), scheme == "" && a["password"] != nil:
		key = "password"
	case strings.EqualFold(scheme, "bearer"), scheme == "" && a["token"] != nil:
		key = "token"
	}
	if key == "" || !isHidden(a[key]) {
		return nil
	}
	user, _ := a["username"].(string)
	mask, _ := a[key].(string)
	a[key] = l.name(key+"\x00"+user+"\x00"+mask, Credential{Web: key})
	return []Missing{{at + "." + key, a[key].(string)}}
}

// authentication fills in the secrets of one device.
func (l *Localizer) authentication(a map[string]any, at string) []Missing {
	text := func(key string) string { s, _ := a[key].(string); return s }
	v3 := strings.EqualFold(text("type"), "SNMPv3")
	c := Credential{Version: "2c"}
	keys := []string{"community"}
	if v3 {
		c = Credential{Version: "3", User: text("userName")}
		keys = secretsOf(text("securityLevel"))
		if len(keys) > 0 {
			c.Auth = text("authProtocol")
		}
		if len(keys) > 1 {
			c.Priv = text("privProtocol")
		}
	}
	if vault, _ := a["useCredentialVault"].(bool); vault {
		return []Missing{l.vault(a, c, at)}
	}
	if !v3 && !strings.EqualFold(text("type"), "SNMPv2c") && !strings.EqualFold(text("type"), "SNMPv1") {
		return nil
	}
	if v3 && strings.Contains(c.User, "{{") { // names a credential, secrets and all
		return nil
	}
	if v3 && isHidden(a["userName"]) {
		c.User = ""
		keys = []string{"userName"}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return !isHidden(a[key]) })
	if len(keys) == 0 {
		return nil
	}
	shown := c.Version + "\x00" + c.User + "\x00" + c.Auth + "\x00" + c.Priv
	for _, key := range keys {
		shown += "\x00" + key + "\x00" + text(key)
	}
	write := l.name(shown, c)
	var missing []Missing
	for _, key := range keys {
		a[key] = write
		missing = append(missing, Missing{at + "." + key, write})
	}
	return missing
}

// secretsOf are the secrets of a user at a security level.
func secretsOf(level string) []string {
	switch strings.ToUpper(level) {
	case "NO_AUTH_NO_PRIV":
		return nil
	case "AUTH_NO_PRIV":
		return []string{"authPassword"}
	}
	return []string{"authPassword", "privPassword"}
}

// isHidden tells a secret that is not there: masked, empty or left away.
func isHidden(v any) bool {
	s, isText := v.(string)
	return v == nil || isText && (s == "" || hidden.MatchString(s))
}

// vault takes the credential of the environment's vault out of a device and has
// it asked with one of ours. What else the device said of it is in the vault.
func (l *Localizer) vault(a map[string]any, c Credential, at string) Missing {
	shown, key := "vault", "community"
	for _, id := range []string{"credentialVaultIdToken", "credentialVaultIdSnmpV3"} {
		shown += fmt.Sprint("\x00", a[id])
	}
	if c.Version == "3" {
		key = "userName"
	}
	kind := a["type"]
	clear(a)
	write := l.name(c.Version+shown, Credential{Version: c.Version, Vault: true})
	a["type"], a[key] = kind, write
	return Missing{at + "." + key, write}
}

// name is the placeholder of a credential.
func (l *Localizer) name(shown string, c Credential) string {
	i, known := l.names[shown]
	if !known {
		i = len(l.made)
		c.Name = l.prefix + "-" + strconv.Itoa(i+1)
		l.names[shown] = i
		l.made = append(l.made, c)
	}
	l.made[i].Devices++
	return "{{" + l.made[i].Name + "}}"
}

// masks finds what is hidden at any other place.
func masks(v any, at string) []Missing {
	var found []Missing
	switch t := v.(type) {
	case string:
		if hidden.MatchString(t) {
			found = append(found, Missing{Path: at})
		}
	case []any:
		for i, item := range t {
			found = append(found, masks(item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(t)) {
			found = append(found, masks(t[key], at+"."+key)...)
		}
	}
	return found
}
