package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp"
)

// entryOf is a configuration with one SNMP entry.
func entryOf(change func(cfg *config.Config, o *snmp.Options)) *config.Config {
	cfg := config.Default()
	cfg.Credentials = map[string]probes.Credential{"c": {Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("public")}}
	o := catalog.Kinds(OpenProfiles)[0].Options().(*snmp.Options)
	o.Devices, o.Credentials = []string{"192.0.2.1", "192.0.2.2"}, []string{"c"}
	change(cfg, o)
	cfg.Probes = []config.Probe{{Kind: "snmp", Options: o, Where: "edgehold.yaml:9:3"}}
	return cfg
}

// The points of a day follow interval and feature sets.
func TestCheckTellsPointsPerDay(t *testing.T) {
	perDay := func(change func(o *snmp.Options)) int {
		entries := Check(entryOf(func(_ *config.Config, o *snmp.Options) { o.Profile = "interfaces"; change(o) }), catalog.Kinds(OpenProfiles))
		if len(entries) != 1 || entries[0].Err != nil || entries[0].Devices != 2 {
			t.Fatalf("%+v", entries)
		}
		return entries[0].PerDay
	}
	const lean = 2 * 7 * 24 * 1440 // devices, metrics, interfaces, polls
	for i, tt := range []struct {
		change func(o *snmp.Options)
		want   int
	}{
		{func(*snmp.Options) {}, lean},
		{func(o *snmp.Options) { o.Interval = probes.Duration(5 * time.Minute) }, lean / 5},
		{func(o *snmp.Options) { o.FeatureSets = []string{"packets"} }, 2 * lean},
	} {
		if got := perDay(tt.change); got != tt.want {
			t.Errorf("%d: %d points a day, want %d", i, got, tt.want)
		}
	}
}

func TestSiteProfiles(t *testing.T) {
	folder := t.TempDir()
	check := func() string {
		entries := Check(entryOf(func(cfg *config.Config, o *snmp.Options) { cfg.Profiles, o.Profile = folder, "plant.press" }), catalog.Kinds(OpenProfiles))
		if err := entries[0].Err; err != nil {
			return err.Error()
		}
		return "good"
	}
	for _, tt := range []struct{ text, want string }{
		{"", `edgehold.yaml:9:3: profile: unknown profile "plant.press"`},
		{"name: plant.press\nversion: 1.0.0\nprofile: {extends: [edgehold.base]}\nsnmp: [{grup: g}]\n", "press.yaml:4:9: snmp[0].grup: unknown key"},
		{"name: plant.press\nversion: 1.0.0\nprofile: {extends: [edgehold.base]}\n", "good"},
	} {
		if tt.text != "" {
			if err := os.WriteFile(filepath.Join(folder, "press.yaml"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := check(); !strings.Contains(got, tt.want) {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	folder = filepath.Join(folder, "none")
	if got := check(); !strings.Contains(got, "make the folder or remove the key") {
		t.Errorf("a folder that is not there: %s", got)
	}
}

// The reference's probe is one that the real kind takes.
func TestReferenceProbe(t *testing.T) {
	text := strings.ReplaceAll(string(config.Reference), "/etc/edgehold", t.TempDir())
	file := filepath.Join(t.TempDir(), "edgehold.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Examine(file, catalog.Kinds(OpenProfiles))
	if err != nil && strings.Contains(err.Error(), "probes") {
		t.Fatalf("%v", err)
	}
	if cfg != nil && len(cfg.Probes) != 1 {
		t.Errorf("%d probes", len(cfg.Probes))
	}
}
