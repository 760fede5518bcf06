package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

func TestSNMPv3Credentials(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + `credentials:
  alone: {user: "u", context: vlan-7}
  signed: {user: u, auth: sha-1, auth_file: long}
  whole: {version: 3, user: u, auth: SHA_256, auth_file: long, priv: aes-256-c, priv_env: EH_PRIV}
  short: {user: u, auth: MD5, auth_file: long, priv: AES128, priv_file: long}
`,
		"long": "canary-a1\n",
	})
	t.Setenv("EH_PRIV", "canary-p2")
	cfg, warnings := mustLoad(t, "edgehold.yaml")
	for name, want := range map[string]string{
		"alone":  "u vlan-7    ",
		"signed": "u  SHA canary-a1  ",
		"whole":  "u  SHA256 canary-a1 AES256C canary-p2",
		"short":  "u  MD5 canary-a1 AES canary-a1",
	} {
		c := cfg.Credentials[name]
		got := fmt.Sprintf("%s %s %s %s %s %s", c.User, c.Context, c.Auth, c.AuthPass.Reveal(), c.Priv, c.PrivPass.Reveal())
		if got != want || c.Version != probes.SNMPv3 || c.Name != name {
			t.Errorf("%s: %q, version %d, want %q", name, got, c.Version, want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %v", cfg, *cfg, cfg.Credentials, warnings); strings.Contains(text, "canary") {
		t.Errorf("a pass phrase shows in %s", text)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0].String(), "credentials.alone.user: neither signed nor encrypted") {
		t.Errorf("warnings %v, want one of a user without authentication and one of an environment", warnings)
	}
}

func TestSNMPv3Bounds(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials:\n  a: {user: " + strings.Repeat("u", 33) + ", auth: SHA, auth_file: short}\n",
		"short":         "hunter2",
	})
	want := []string{
		"edgehold.yaml:5:13: credentials.a.user: is longer than 32 bytes, which no SNMP v3 user is",
		"edgehold.yaml:5:70: credentials.a.auth_file: the pass phrase there has fewer than 8 characters, which SNMP v3 does not allow; " +
			"give the user of the device a longer one and write it there",
	}
	if got := errorsOf(t, "edgehold.yaml").Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestEndpointCredentials(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials:\n  web: {password_file: secret}\n  api: {token_env: EH_API}\n  plant: {community_file: secret}\n",
		"secret":        "canary-w1\n",
	})
	t.Setenv("EH_API", "canary-t2")
	cfg, warnings := mustLoad(t, "edgehold.yaml")
	for name, want := range map[string]probes.Credential{
		"web":   {Name: "web", Password: probes.NewSecret("canary-w1")},
		"api":   {Name: "api", Password: probes.NewSecret("canary-t2")},
		"plant": {Name: "plant", Community: probes.NewSecret("canary-w1"), Version: probes.SNMPv2c},
	} {
		got := cfg.Credentials[name]
		if got.Password.Reveal() != want.Password.Reveal() || got.Community.Reveal() != want.Community.Reveal() || got.Version != want.Version || got.Name != name {
			t.Errorf("%s: version %d", name, got.Version)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %v", cfg, *cfg, cfg.Credentials, warnings); strings.Contains(text, "canary") {
		t.Errorf("a secret shows in %s", text)
	}
	if names := forSNMP(cfg.Credentials); len(names) != 1 || names[0] != "plant" {
		t.Errorf("for SNMP: %v", names)
	}
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials:\n  a: {password_file: s, community_file: s}\n  b: {token_file: s, user: u}\n  c: {password_file: s, token_file: s}\n",
		"s":             "x\n",
	})
	got := errorsOf(t, "edgehold.yaml").Error()
	for _, want := range []string{
		"credentials.a.community_file: password_file and community_file are given, expected a password or a token alone",
		"credentials.b.user: token_file and user are given", "credentials.c.token_file: password_file and token_file are given",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
}

// A password is never sent to a device as a community.
func TestDiscoveryTakesNoPassword(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials: {web: {password_file: s}}\ndiscovery: {networks: [192.0.2.0/24], credentials: [web]}\n",
		"s":             "x\n",
	})
	if got := errorsOf(t, "edgehold.yaml").Error(); !strings.Contains(got, "discovery.credentials[0]: there is no credential of this name") {
		t.Error(got)
	}
}
