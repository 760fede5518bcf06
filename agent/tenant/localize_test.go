package tenant_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
	"github.com/edgehold/edgehold/probes"
)

const pulledValue = `{
  "enabled": true, "description": "the <hall> & yard", "version": "1.0.0", "featureSets": ["all"], "activationContext": "REMOTE",
  "primaryFields": {"many": 12345678901234567890.50}, "vars": {"limit": "***", "note": "***0123456789abcdef***"},
  "snmp": {"devices": [
    {"ip": "192.0.2.1", "port": 161, "authentication": {"type": "SNMPv2c", "community": "***0123456789abcdef***"}, "advanced": {"timeoutSecs": 5}},
    {"ip": "192.0.2.2", "port": 161, "authentication": {"type": "SNMPv2c", "community": "***0123456789abcdef***"}},
    {"ip": "192.0.2.3", "port": 161, "authentication": {"type": "SNMPv2c", "community": "***ffffffffffffffff***"}},
    {"ip": "192.0.2.4", "port": 161, "authentication": {"type": "SNMPv3", "userName": "edge", "securityLevel": "AUTH_PRIV",
      "authProtocol": "SHA256", "authPassword": "***1***", "privProtocol": "AES", "privPassword": "***2***"}},
    {"ip": "192.0.2.5", "port": 161, "authentication": {"type": "SNMPv3", "userName": "edge", "securityLevel": "AUTH_NO_PRIV",
      "authProtocol": "SHA", "authPassword": "******"}},
    {"ip": "192.0.2.6", "port": 161, "authentication": {"type": "SNMPv3", "userName": "guest", "securityLevel": "NO_AUTH_NO_PRIV"}},
    {"ip": "192.0.2.7", "port": 161, "authentication": {"type": "SNMPv2c", "useCredentialVault": true, "credentialVaultIdToken": "CREDENTIALS_VAULT-1"}},
    {"ip": "192.0.2.8", "port": 161, "authentication": {"type": "SNMPv3", "useCredentialVault": true, "credentialVaultIdSnmpV3": "CREDENTIALS_VAULT-2"}},
    {"ip": "192.0.2.9", "port": 161, "authentication": {"type": "SNMPv2c"}},
    {"ip": "192.0.2.10", "port": 161, "authentication": {"type": "SNMPv2c", "community": "in clear text"}}
  ]}}`

// knownFor makes the credentials that a localizer asks for.
func knownFor(credentials []tenant.Credential) map[string]probes.Credential {
	known := map[string]probes.Credential{}
	for _, c := range credentials {
		made := probes.Credential{Name: c.Name, Version: probes.SNMPv2c, Community: probes.NewSecret("of " + c.Name)}
		if c.Web != "" {
			made = probes.Credential{Name: c.Name, Password: probes.NewSecret("of " + c.Name)}
		}
		if c.Version == "3" {
			made = probes.Credential{
				Name: c.Name, Version: probes.SNMPv3, User: "u", Auth: probes.AuthSHA256, AuthPass: probes.NewSecret("auth of " + c.Name),
				Priv: probes.PrivAES, PrivPass: probes.NewSecret("priv of " + c.Name),
			}
		}
		known[c.Name] = made
	}
	return known
}

// What the environment hides becomes names of credentials, and with them the
// agent polls every device.
func TestLocalize(t *testing.T) {
	l := tenant.NewLocalizer("custom:site.switch")
	file, missing, err := l.File(tenant.Configuration{ID: "id-1", Scope: "ag_group-plant", Value: json.RawMessage(pulledValue)})
	if err != nil {
		t.Fatal(err)
	}
	const at = "[0].value.snmp.devices"
	name := func(n int) string { return fmt.Sprintf("{{custom-site.switch-%d}}", n) }
	want := []tenant.Missing{
		{Path: at + "[0].authentication.community", Write: name(1)},
		{Path: at + "[1].authentication.community", Write: name(1)},
		{Path: at + "[2].authentication.community", Write: name(2)},
		{Path: at + "[3].authentication.authPassword", Write: name(3)},
		{Path: at + "[3].authentication.privPassword", Write: name(3)},
		{Path: at + "[4].authentication.authPassword", Write: name(4)},
		{Path: at + "[6].authentication.community", Write: name(5)},
		{Path: at + "[7].authentication.userName", Write: name(6)},
		{Path: at + "[8].authentication.community", Write: name(7)},
		{Path: "[0].value.vars.limit"},
		{Path: "[0].value.vars.note"},
	}
	if !reflect.DeepEqual(missing, want) {
		t.Errorf("missing:\n%v\nwant:\n%v", missing, want)
	}
	wantMade := []tenant.Credential{
		{Name: "custom-site.switch-1", Version: "2c", Devices: 2},
		{Name: "custom-site.switch-2", Version: "2c", Devices: 1},
		{Name: "custom-site.switch-3", Version: "3", User: "edge", Auth: "SHA256", Priv: "AES", Devices: 1},
		{Name: "custom-site.switch-4", Version: "3", User: "edge", Auth: "SHA", Devices: 1},
		{Name: "custom-site.switch-5", Version: "2c", Vault: true, Devices: 1},
		{Name: "custom-site.switch-6", Version: "3", Vault: true, Devices: 1},
		{Name: "custom-site.switch-7", Version: "2c", Devices: 1},
	}
	if made := l.Credentials(); !reflect.DeepEqual(made, wantMade) {
		t.Errorf("credentials:\n%+v\nwant:\n%+v", made, wantMade)
	}
	if !strings.Contains(string(file), `"the <hall> & yard"`) || !strings.Contains(string(file), `"objectId": "id-1"`) ||
		!strings.Contains(string(file), "12345678901234567890.50") {
		t.Errorf("file:\n%s", file)
	}
	all, err := extension.ParseConfiguration(file, "c.json")
	if err != nil || len(all) != 1 || all[0].Scope != "ag_group-plant" || !all[0].HoldsSecrets() {
		t.Fatalf("read: %+v, %v", all, err)
	}
	devices, err := all[0].Devices(knownFor(l.Credentials()))
	if err != nil || len(devices) != 10 {
		t.Fatalf("%d devices, %v", len(devices), err)
	}
	for i, secret := range map[int]string{
		0: "of custom-site.switch-1", 1: "of custom-site.switch-1", 2: "of custom-site.switch-2",
		6: "of custom-site.switch-5", 8: "of custom-site.switch-7", 9: "in clear text",
	} {
		if got := devices[i].Credentials[0].Community.Reveal(); got != secret {
			t.Errorf("device %d is asked with %q, want %q", i, got, secret)
		}
	}
	v3 := devices[3].Credentials[0]
	if v3.User != "edge" || v3.AuthPass.Reveal() != "auth of custom-site.switch-3" || v3.PrivPass.Reveal() != "priv of custom-site.switch-3" {
		t.Errorf("user of device 3: %+v", v3)
	}
	if whole := devices[7].Credentials[0]; whole.User != "u" || whole.PrivPass.Reveal() != "priv of custom-site.switch-6" {
		t.Errorf("user of device 7: %+v", whole)
	}
	// The next configuration of the extension names the same secret alike.
	_, missing, err = l.File(tenant.Configuration{Value: json.RawMessage(
		`{"snmp":{"devices":[{"authentication":{"type":"SNMPv2c","community":"***ffffffffffffffff***"}}]}}`)})
	if err != nil || len(missing) != 1 || missing[0].Write != name(2) || l.Credentials()[1].Devices != 2 {
		t.Errorf("second configuration: %v, %v", missing, err)
	}
}

const pulledEndpoints = `{
  "enabled": true, "description": "exporters", "version": "1.0.0", "featureSets": ["all"],
  "prometheusRemote": {"endpoints": [
    {"url": "https://a.example/metrics", "authentication": {"scheme": "basic", "username": "ann", "password": "***1***"}},
    {"url": "https://b.example/metrics", "authentication": {"scheme": "basic", "username": "ann", "password": "***1***"}},
    {"url": "https://c.example/metrics", "authentication": {"scheme": "basic", "username": "bob"}},
    {"url": "https://d.example/metrics", "authentication": {"scheme": "bearer", "token": "***2***"}},
    {"url": "https://e.example/metrics", "authentication": {"scheme": "none"}},
    {"url": "https://f.example/metrics", "authentication": {"scheme": "basic", "username": "eve", "password": "in clear text"}}]},
  "snmptraps": {"sources": [
    {"ip": "192.0.2.0/24", "port": 1162, "authentication": {"community": "***3***"}},
    {"ip": "198.51.100.0/24", "port": 1162, "authentication": {"userName": "edge", "securityLevel": "AUTH_PRIV",
      "authProtocol": "SHA256", "authPassword": "***4***", "privProtocol": "AES", "privPassword": "***5***"}}]}}`

// The same for endpoints, and for those who send traps.
func TestLocalizeEndpoints(t *testing.T) {
	l := tenant.NewLocalizer("custom:x")
	file, missing, err := l.File(tenant.Configuration{Scope: "ag_group-plant", Value: json.RawMessage(pulledEndpoints)})
	if err != nil {
		t.Fatal(err)
	}
	const traps, prometheus = "[0].value.snmptraps.sources", "[0].value.prometheusRemote.endpoints"
	want := []tenant.Missing{
		{Path: traps + "[0].authentication.community", Write: "{{custom-x-1}}"},
		{Path: traps + "[1].authentication.authPassword", Write: "{{custom-x-2}}"},
		{Path: traps + "[1].authentication.privPassword", Write: "{{custom-x-2}}"},
		{Path: prometheus + "[0].authentication.password", Write: "{{custom-x-3}}"},
		{Path: prometheus + "[1].authentication.password", Write: "{{custom-x-3}}"},
		{Path: prometheus + "[2].authentication.password", Write: "{{custom-x-4}}"},
		{Path: prometheus + "[3].authentication.token", Write: "{{custom-x-5}}"},
	}
	if !reflect.DeepEqual(missing, want) {
		t.Errorf("missing:\n%v\nwant:\n%v", missing, want)
	}
	wantMade := []tenant.Credential{
		{Name: "custom-x-1", Version: "2c", Devices: 1},
		{Name: "custom-x-2", Version: "3", User: "edge", Auth: "SHA256", Priv: "AES", Devices: 1},
		{Name: "custom-x-3", Web: "password", Devices: 2},
		{Name: "custom-x-4", Web: "password", Devices: 1},
		{Name: "custom-x-5", Web: "token", Devices: 1},
	}
	if made := l.Credentials(); !reflect.DeepEqual(made, wantMade) {
		t.Errorf("credentials:\n%+v\nwant:\n%+v", made, wantMade)
	}
	all, err := extension.ParseConfiguration(file, "c.json")
	if err != nil || len(all) != 1 {
		t.Fatalf("read: %+v, %v", all, err)
	}
	endpoints, err := all[0].ScrapeEndpoints(knownFor(l.Credentials()))
	if err != nil || len(endpoints) != 6 {
		t.Fatalf("%d endpoints, %v", len(endpoints), err)
	}
	for i, secret := range []string{"of custom-x-3", "of custom-x-3", "of custom-x-4", "of custom-x-5", "", "in clear text"} {
		if got := endpoints[i].Secret.Reveal(); got != secret {
			t.Errorf("endpoint %d is asked with %q, want %q", i, got, secret)
		}
	}
	sources, err := all[0].TrapSources(knownFor(l.Credentials()))
	if err != nil || len(sources) != 2 {
		t.Errorf("%d sources, %v", len(sources), err)
	}
}

// leaves lists all texts, numbers and the like of a document with their paths.
func leaves(v any, at string, all map[string]string) {
	switch t := v.(type) {
	case map[string]any:
		for key, item := range t {
			leaves(item, at+"/"+key, all)
		}
	case []any:
		for i, item := range t {
			leaves(item, fmt.Sprint(at, "/", i), all)
		}
	default:
		all[at] = fmt.Sprintf("%T %v", t, t)
	}
}

// Whatever the environment sends: what is not inside of an authentication
// stays as it is, no mask is left there, and writing the result again changes
// nothing.
func FuzzLocalize(f *testing.F) {
	f.Add([]byte(pulledValue))
	f.Add([]byte(`{"snmp":{"devices":[{"authentication":{"type":"snmpv1","community":null}},7,null,{"authentication":"x"}]}}`))
	f.Add([]byte(`{"snmp":{"devices":[{"authentication":{"type":"SNMPv3","useCredentialVault":true}}]},"n":1e999}`))
	f.Add([]byte(pulledEndpoints))
	f.Add([]byte(`{"prometheusRemote":{"endpoints":[{"authentication":{"password":"***ab***"}}]}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		l := tenant.NewLocalizer("custom:x")
		file, missing, err := l.File(tenant.Configuration{Scope: "s", Value: value})
		if err != nil {
			return
		}
		var before any
		var after []struct {
			Value any `json:"value"`
		}
		if json.Unmarshal(file, &after) != nil || len(after) != 1 {
			t.Skip("a number that is none of this machine")
		}
		d := json.NewDecoder(strings.NewReader(string(value)))
		if err := d.Decode(&before); err != nil {
			t.Skip("as above")
		}
		was, is := map[string]string{}, map[string]string{}
		leaves(before, "", was)
		leaves(after[0].Value, "", is)
		for at, text := range was {
			if got, there := is[at]; !strings.Contains(at, "/authentication/") && (!there || got != text) {
				t.Errorf("%s was %s, is %s", at, text, got)
			}
		}
		for at, text := range is {
			if was[at] != text && !strings.Contains(at, "/authentication/") {
				t.Errorf("%s is %s, was %s", at, text, was[at])
			}
		}
		for _, m := range missing {
			at := strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(strings.TrimPrefix(m.Path, "[0].value"))
			if m.Write == "" {
				continue
			} else if got := is[at]; got != "string "+m.Write {
				t.Errorf("%s is said to hold %s and holds %s", m.Path, m.Write, got)
			}
		}
		again, more, err := tenant.NewLocalizer("custom:x").File(tenant.Configuration{Scope: "s", Value: valueOf(t, file)})
		if err != nil || string(again) != string(file) {
			t.Errorf("written again: %v\n%s\nat first:\n%s", err, again, file)
		}
		for _, m := range more {
			if m.Write != "" {
				t.Errorf("%s was still hidden", m.Path)
			}
		}
	})
}

func valueOf(t *testing.T, file []byte) json.RawMessage {
	t.Helper()
	var all []tenant.Configuration
	if err := json.Unmarshal(file, &all); err != nil || len(all) != 1 {
		t.Fatal(err)
	}
	return all[0].Value
}
