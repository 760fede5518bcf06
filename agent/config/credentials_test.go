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
