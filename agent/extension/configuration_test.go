package extension

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const fullConfiguration = `[
  {
    "scope": "ag_group-plant",
    "value": {
      "enabled": true,
      "description": "the hall",
      "version": "1.0.0",
      "featureSets": ["Interfaces", "Interfaces 64-bit"],
      "activationContext": "REMOTE",
      "activationTags": [],
      "primaryFields": {"any": ["thing"]},
      "vars": {"if_name": "$contains(1/1/1)", "empty": null},
      "snmp": {
        "devices": [
          {"ip": "192.0.2.10", "port": 1161,
           "authentication": {"type": "SNMPv2c", "community": "top-secret"},
           "advanced": {"timeoutSecs": 5, "retries": 0, "maxRepetitions": 50, "maxOidsPerQuery": null, "enableUnconnectedUdp": false}},
          {"ip": "fe80::1%eth0", "port": null,
           "authentication": {"type": "SNMPv1", "community": "{{ plant }}"}}
        ]
      }
    }
  },
  {
    "scope": "ag_group-other",
    "value": {"enabled": false, "snmp": {"devices": [{"ip": "ups.example.com", "authentication": {"type": "SNMPv2c", "community": "{{plant}}"}}]}}
  }
]`

var plant = map[string]probes.Credential{
	"plant": {Name: "plant", Version: probes.SNMPv2c, Community: probes.NewSecret("hidden")},
	"v3": {
		Name: "v3", Version: probes.SNMPv3, User: "edge", Context: "vlan-1",
		Auth: probes.AuthSHA512, AuthPass: probes.NewSecret("hidden-auth"), Priv: probes.PrivAES256C, PrivPass: probes.NewSecret("hidden-priv"),
	},
}

func parseOne(t *testing.T, text string) Configuration {
	t.Helper()
	all, err := ParseConfiguration([]byte(text), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d configurations, want 1", len(all))
	}
	return all[0]
}

func TestConfiguration(t *testing.T) {
	all, err := ParseConfiguration([]byte(fullConfiguration), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	c := all[0]
	if c.Scope != "ag_group-plant" || !c.Enabled || c.Description != "the hall" || c.Version != "1.0.0" || len(c.Warnings) != 0 {
		t.Errorf("%q %v %q %q %s", c.Scope, c.Enabled, c.Description, c.Version, lines(c.Warnings))
	}
	if fmt.Sprint(c.FeatureSets) != "[Interfaces Interfaces 64-bit]" || fmt.Sprint(c.Vars) != "map[empty: if_name:$contains(1/1/1)]" {
		t.Errorf("%v %v", c.FeatureSets, c.Vars)
	}
	devices, err := c.Devices(plant)
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Device{
		{
			Host: "192.0.2.10", Port: 1161, Timeout: 5 * time.Second, Retries: 0, MaxReps: 50,
			Credentials: []probes.Credential{{Name: "configuration", Version: probes.SNMPv2c, Community: probes.NewSecret("top-secret")}},
		},
		{
			Host: "fe80::1%eth0", Port: 161, Retries: -1,
			Credentials: []probes.Credential{{Name: "plant", Version: probes.SNMPv1, Community: probes.NewSecret("hidden")}},
		},
	}
	if !reflect.DeepEqual(devices, want) {
		t.Errorf("got %+v want %+v", devices, want)
	}
	if !c.HoldsSecrets() || all[1].HoldsSecrets() {
		t.Errorf("secrets: %v, %v; want true, false", c.HoldsSecrets(), all[1].HoldsSecrets())
	}
	if all[1].Enabled {
		t.Error("the second entry is enabled")
	}
}

func TestConfigurationShapes(t *testing.T) {
	const inner = `{"version": "1.0.0", "snmp": {"devices": [{"ip": "192.0.2.10", "authentication": {"type": "SNMPv2c", "community": "c"}}]}}`
	for _, text := range []string{
		inner, "\xef\xbb\xbf" + inner, `{"scope": "s", "value": ` + inner + `}`, `[{"objectId": "o", "scope": "s", "value": ` + inner + `}]`,
		`[` + inner + `]`,
	} {
		c := parseOne(t, text)
		devices, err := c.Devices(nil)
		if err != nil || len(devices) != 1 || devices[0].Host != "192.0.2.10" || len(c.Warnings) != 0 {
			t.Errorf("%s: %v %v %s", text, devices, err, lines(c.Warnings))
		}
	}
}

func TestConfigurationWarnings(t *testing.T) {
	c := parseOne(t, `{"featureSet": [], "snmp": {"devices": [
 {"ip": "h", "authentication": {"type": "SNMPv2c", "community": "c", "comunity": 1}, "label": "x",
  "advanced": {"timeoutSec": 1, "enableUnconnectedUdp": true}},
 {"ip": "h", "authentication": {"type": "SNMPv2c", "community": "c"}}]}}`)
	want := `warning c.json:1:2: featureSet: unknown key, left alone, did you mean featureSets?
warning c.json:2:86: snmp.devices[0].label: unknown key, left alone
warning c.json:2:70: snmp.devices[0].authentication.comunity: unknown key, left alone, did you mean community?
warning c.json:3:16: snmp.devices[0].advanced.timeoutSec: unknown key, left alone, did you mean timeoutSecs?
warning c.json:3:57: snmp.devices[0].advanced.enableUnconnectedUdp: not needed, answers from another address are heard anyway
warning c.json:4:2: snmp.devices[1]: this device is listed twice
`
	if got := lines(c.Warnings); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestConfigurationErrors(t *testing.T) {
	device := func(fields string) string {
		return `{"snmp": {"devices": [{` + fields + `}]}}`
	}
	const auth = `, "authentication": {"type": "SNMPv2c", "community": "c"}`
	tests := []struct{ name, text, want string }{
		{"empty", "", "c.json:1:1: not valid JSON: unexpected end of JSON input"},
		{"cut", "{\n  \"snmp\": {", "c.json:2:12: not valid JSON: unexpected end of JSON input"},
		{"comma", "{\"snmp\": {},\n}", "c.json:2:1: not valid JSON: invalid character '}' looking for beginning of object key string"},
		{"trailing", "{} x", "c.json:1:4: not valid JSON: invalid character 'x' after top-level value"},
		{"empty list", "[]", "c.json:1:1: the list is empty, expected a monitoring configuration"},
		{"a text", `"x"`, "c.json:1:1: found a text, expected an object"},
		{"list of texts", `["x"]`, "c.json:1:2: [0]: found a text, expected an object"},
		{"other package", `{"version": "1", "pythonRemote": {"endpoints": []}}`, "c.json:1:1: snmp: missing, expected what to collect from: " + inWords(partKeys(), "or") + ", found pythonRemote"},
		{"no snmp", `[{"scope": "s", "value": {}}]`, "c.json:1:26: [0].value.snmp: missing, expected what to collect from: " + inWords(partKeys(), "or") + ""},
		{"value is no object", `{"value": 3}`, "c.json:1:11: value: found a number, expected an object"},
		{"no devices", `{"snmp": {}}`, "c.json:1:10: snmp.devices: missing, expected a list of devices with at least one"},
		{"zero devices", `{"snmp": {"devices": []}}`, "c.json:1:10: snmp.devices: missing, expected a list of devices with at least one"},
		{"device is a text", `{"snmp": {"devices": ["h"]}}`, "c.json:1:23: snmp.devices[0]: found a text, expected an object"},
		{"no ip", device(`"port": 161` + auth), "c.json:1:23: snmp.devices[0].ip: missing, expected a host name or an address"},
		{"ip is a number", device(`"ip": 10` + auth), "c.json:1:30: snmp.devices[0].ip: found a number, expected a text"},
		{"ip with port", device(`"ip": "192.0.2.1:161"` + auth), "c.json:1:30: snmp.devices[0].ip: neither a host name nor an address; ranges are written out, and the port has a key of its own"},
		{"ip range", device(`"ip": "192.0.2.0/24"` + auth), "c.json:1:30: snmp.devices[0].ip: neither a host name nor an address; ranges are written out, and the port has a key of its own"},
		{"port zero", device(`"ip": "h", "port": 0` + auth), "c.json:1:43: snmp.devices[0].port: found 0, expected a whole number from 1 to 65535"},
		{"port text", device(`"ip": "h", "port": "161"` + auth), "c.json:1:43: snmp.devices[0].port: found a text, expected a whole number from 1 to 65535"},
		{"port broken", device(`"ip": "h", "port": 161.5` + auth), "c.json:1:43: snmp.devices[0].port: found 161.5, expected a whole number from 1 to 65535"},
		{"no authentication", device(`"ip": "h"`), "c.json:1:23: snmp.devices[0].authentication: missing, expected a type, and a community or a user"},
		{
			"advanced out of range", device(`"ip": "h", "advanced": {"timeoutSecs": 0, "retries": 201, "maxRepetitions": 401, "maxOidsPerQuery": 121}` + auth),
			"c.json:1:63: snmp.devices[0].advanced.timeoutSecs: found 0, expected a whole number from 1 to 1800\n" +
				"c.json:1:77: snmp.devices[0].advanced.retries: found 201, expected a whole number from 0 to 200\n" +
				"c.json:1:100: snmp.devices[0].advanced.maxRepetitions: found 401, expected a whole number from 1 to 400\n" +
				"c.json:1:124: snmp.devices[0].advanced.maxOidsPerQuery: found 121, expected a whole number from 1 to 120",
		},
		{"types", `{"enabled": "yes", "featureSets": "all", "vars": {"a": 1}, "snmp": []}`, "c.json:1:13: enabled: found a text, expected true or false\n" +
			"c.json:1:35: featureSets: found a text, expected a list\n" +
			"c.json:1:56: vars.a: found a number, expected a text\n" +
			"c.json:1:68: snmp: found a list, expected an object\n" +
			"c.json:1:68: snmp.devices: missing, expected a list of devices with at least one"},
		{"key twice", `{"version": "1", "version": "2", "snmp": {"devices": [{"ip": "h"` + auth + `}]}}`, "c.json:1:18: version: this key is given twice"},
		{"community is a number", device(`"ip": "h", "authentication": {"type": "SNMPv2c", "community": 4711}`), "c.json:1:86: snmp.devices[0].authentication.community: found a number, expected a text"},
		{"umlauts count once", `{"ä": 1, "snmp": 2}`, "c.json:1:18: snmp: found a number, expected an object\nc.json:1:18: snmp.devices: missing, expected a list of devices with at least one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfiguration([]byte(tt.text), "c.json")
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestDeviceErrors(t *testing.T) {
	const mend = `; write the community itself, or "{{name}}" and a credential of that name in the agent's configuration`
	const at = "c.json:1:58: snmp.devices[0].authentication."
	tests := []struct{ name, auth, want string }{
		{"v3 without a user", `"type": "SNMPv3", "authPassword": "p"`, at + `userName: missing, expected the name of a user, or "{{name}}" and a credential of that name in the agent's configuration`},
		{"v3 without a level", `"type": "SNMPv3", "userName": "u"`, at + "securityLevel: missing, expected NO_AUTH_NO_PRIV, AUTH_NO_PRIV or AUTH_PRIV"},
		{"v3 level", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTHPRIV"`, "c.json:1:111: snmp.devices[0].authentication.securityLevel: found another text, expected NO_AUTH_NO_PRIV, AUTH_NO_PRIV or AUTH_PRIV, did you mean AUTH_PRIV?"},
		{"v3 too much", `"type": "SNMPv3", "userName": "u", "securityLevel": "NO_AUTH_NO_PRIV", "privPassword": "secret-x"`, "c.json:1:146: snmp.devices[0].authentication.privPassword: not allowed at NO_AUTH_NO_PRIV; remove it, or choose a higher securityLevel"},
		{"v3 protocol", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_NO_PRIV", "authProtocol": "SHA25", "authPassword": "12345678"`, "c.json:1:143: snmp.devices[0].authentication.authProtocol: found another text, expected SHA256, SHA512, SHA384, SHA224, SHA or MD5, did you mean SHA256?"},
		{"v3 phrase", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_NO_PRIV", "authProtocol": "SHA", "authPassword": "1234567"`, at + "authPassword: fewer than 8 characters, which SNMP v3 does not allow; give the user of the device a longer pass phrase"},
		{"v3 no phrase", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_PRIV", "authProtocol": "SHA", "authPassword": "12345678", "privProtocol": "AES"`, at + `privPassword: missing; write the pass phrase itself, or "{{name}}" and a credential of that name in the agent's configuration`},
		{"v3 masked", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_NO_PRIV", "authProtocol": "SHA", "authPassword": "***028***"`, at + `authPassword: found a masked secret, the environment does not give secrets out; write the pass phrase for this itself, or "{{name}}" and a credential of that name in the agent's configuration`},
		{"v3 credential without a phrase", `"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_NO_PRIV", "authProtocol": "SHA", "authPassword": "{{plant}}"`, at + `authPassword: the credential "plant" has no pass phrase for this`},
		{"v3 credential without a user", `"type": "SNMPv3", "userName": "{{plant}}"`, at + `userName: the credential "plant" has no SNMP v3 user`},
		{"v3 half a placeholder", `"type": "SNMPv3", "userName": "{{v3}}x"`, at + "userName: found {{ in another text, expected {{name}} alone or the name of a user"},
		{"unknown type", `"type": "oops-a-secret", "community": "c"`, "c.json:1:67: snmp.devices[0].authentication.type: found another text, expected SNMPv2c, SNMPv3 or SNMPv1"},
		{"no type", `"community": "c"`, at + "type: missing, expected SNMPv2c, SNMPv3 or SNMPv1"},
		{"vault", `"type": "SNMPv2c", "useCredentialVault": true, "credentialVaultIdToken": "CREDENTIALS_VAULT-1"`, at + "useCredentialVault: the credential vault is in the environment and cannot be read from here; write the secrets themselves, or \"{{name}}\" and a credential of that name in the agent's configuration"},
		{"no community", `"type": "SNMPv2c"`, at + "community: missing" + mend},
		{"empty community", `"type": "SNMPv2c", "community": ""`, at + "community: missing" + mend},
		{"masked", `"type": "SNMPv2c", "community": "***028***"`, at + "community: found a masked secret, the environment does not give secrets out" + mend},
		{"stars", `"type": "SNMPv2c", "community": "********"`, at + "community: found a masked secret, the environment does not give secrets out" + mend},
		{"unknown placeholder", `"type": "SNMPv2c", "community": "{{plnat}}"`, at + `community: no credential is named "plnat", expected one of plant, v3`},
		{"credential without community", `"type": "SNMPv2c", "community": "{{v3}}"`, at + `community: the credential "v3" has no community`},
		{"half a placeholder", `"type": "SNMPv2c", "community": "x{{plant}}"`, at + "community: found {{ in another text, expected {{name}} alone or a community"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parseOne(t, `{"snmp": {"devices": [{"ip": "bad", "authentication":    {`+tt.auth+`}},
 {"ip": "good", "authentication": {"type": "SNMPv2c", "community": "c"}}]}}`)
			devices, err := c.Devices(plant)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
			if len(devices) != 1 || devices[0].Host != "good" {
				t.Errorf("the sound device is missing: %v", devices)
			}
		})
	}
	c := parseOne(t, `{"snmp": {"devices": [{"ip": "h", "authentication": {"type": "SNMPv2c", "community": "{{x}}"}}]}}`)
	want := `c.json:1:53: snmp.devices[0].authentication.community: no credential is named "x"; add it under credentials in the agent's configuration`
	if _, err := c.Devices(nil); err == nil || err.Error() != want {
		t.Errorf("got %v want %s", err, want)
	}
}

func TestSNMPv3Devices(t *testing.T) {
	for auth, want := range map[string]string{
		`"userName": "u", "securityLevel": "NO_AUTH_NO_PRIV"`:                                                                                                                     "configuration u     ",
		`"userName": "u", "securityLevel": "auth_no_priv", "authProtocol": "MD5", "authPassword": "12345678"`:                                                                     "configuration u MD5 12345678   ",
		`"userName": "u", "securityLevel": "AUTH_PRIV", "authProtocol": "SHA224", "authPassword": "{{v3}}", "privProtocol": "AES192C", "privPassword": "{{ v3 }}", "extra": null`: "configuration u SHA224 hidden-auth AES192C hidden-priv ",
		`"userName": "{{v3}}"`: "v3 edge SHA512 hidden-auth AES256C hidden-priv vlan-1",
	} {
		c := parseOne(t, `{"snmp": {"devices": [{"ip": "h", "authentication": {"type": "SNMPv3", `+auth+`}}]}}`)
		devices, err := c.Devices(plant)
		if err != nil || len(devices) != 1 {
			t.Errorf("%s: %v, %d devices", auth, err, len(devices))
			continue
		}
		d := devices[0].Credentials[0]
		if got := fmt.Sprintf("%s %s %s %s %s %s %s", d.Name, d.User, d.Auth, d.AuthPass.Reveal(), d.Priv, d.PrivPass.Reveal(), d.Context); got != want || d.Version != probes.SNMPv3 {
			t.Errorf("%s: got %q of version %d, want %q", auth, got, d.Version, want)
		}
		if c.HoldsSecrets() != strings.Contains(auth, "12345678") {
			t.Errorf("%s: holds secrets: %v", auth, c.HoldsSecrets())
		}
	}
}

// No message and no print of a configuration shows a secret, wherever the
// mistake beside it is.
func TestSecretsStayHidden(t *testing.T) {
	const canary = "canary-4711"
	fields := []string{
		`"type": "SNMPv2c", "community": "canary-4711"`, `"type": "SNMPv2c", "community": ["canary-4711"]`,
		`"type": "canary-4711", "community": "canary-4711"`, `"type": "SNMPv3", "authPassword": "canary-4711", "privPassword": {"canary-4711": 1}`,
		`"type": "SNMPv3", "userName": "u", "securityLevel": "AUTH_PRIV", "authProtocol": "SHA", "authPassword": "canary-4711", "privProtocol": "AES", "privPassword": "canary-4711"`,
		`"type": ["SNMPv2c"], "community": "canary-4711"`, `"type": "SNMPv2c", "community": "canary-4711"x`,
		`"type": "SNMPv2c", "community": "canary-4711", "community": "canary-4711"`, `"type": "SNMPv2c", "community": "canary-4711`,
		`"type": "SNMPv2c", "community": "{{canary}} canary-4711"`, `"type": "SNMPv2c", "community": {"value": "canary-4711"}`,
	}
	for _, f := range fields {
		all, err := ParseConfiguration([]byte(`{"snmp": {"devices": [{"ip": "h", "port": "x", "authentication": {`+f+`}}]}}`), "c.json")
		said := fmt.Sprint(err)
		more, err := ParseConfiguration([]byte(`{"snmp": {"devices": [{"ip": "h", "authentication": {`+f+`}}]}}`), "c.json")
		said += fmt.Sprint(err)
		for _, c := range append(all, more...) {
			devices, err := c.Devices(plant)
			said += fmt.Sprintf("%v %s %+v %+v %#v", err, lines(c.Warnings), devices, c, c.devices)
			if !strings.Contains(f, `"type": "canary`) {
				said += words(c.places["snmp"])
			}
		}
		if strings.Contains(said, canary) {
			t.Errorf("%s: the secret is in %s", f, said)
		}
	}
}

// words are all texts of a tree.
func words(n *node) string {
	all := n.text + " "
	for _, item := range n.items {
		all += words(item)
	}
	for _, f := range n.fields {
		all += words(f.value)
	}
	return all
}

// FuzzParseConfiguration checks that what parses keeps to the ranges that a
// probe relies on.
func FuzzParseConfiguration(f *testing.F) {
	f.Add([]byte(fullConfiguration))
	f.Add([]byte(`{"snmp": {"devices": [{"ip": "::1", "authentication": {"type": "SNMPv2c", "community": "{{plant}}"}}]}}`))
	f.Add([]byte(`{"value": null}`))
	f.Add([]byte(`[[]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParseConfiguration(data, "c.json")
		if (err == nil) != (len(all) > 0) {
			t.Fatalf("%d configurations and %v", len(all), err)
		}
		for _, c := range all {
			devices, _ := c.Devices(plant)
			for _, d := range devices {
				checkDevice(t, d)
			}
		}
	})
}

func checkDevice(t *testing.T, d plan.Device) {
	if _, err := netip.ParseAddr(d.Host); err != nil && (d.Host == "" || strings.ContainsAny(d.Host, ":/ ")) {
		t.Fatalf("host %q", d.Host)
	}
	if d.Port < 1 || d.Retries < -1 || d.Retries > 200 || d.MaxReps < 0 || d.MaxReps > 400 || d.MaxOIDs < 0 || d.MaxOIDs > 120 {
		t.Fatalf("device %+v", d)
	}
	if d.Timeout != 0 && (d.Timeout < time.Second || d.Timeout > 1800*time.Second) {
		t.Fatalf("timeout %s", d.Timeout)
	}
	for _, c := range d.Credentials {
		if c.Community.IsZero() || c.Version != probes.SNMPv1 && c.Version != probes.SNMPv2c {
			t.Fatalf("credential %+v", c)
		}
	}
}
