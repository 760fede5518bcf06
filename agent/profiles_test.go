package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
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
	o := catalog.Kinds(OpenProfiles, OpenModbusProfiles)[0].Options().(*snmp.Options)
	o.Devices, o.Credentials = []string{"192.0.2.1", "192.0.2.2"}, []string{"c"}
	change(cfg, o)
	cfg.Probes = []config.Probe{{Kind: "snmp", Options: o, Where: "edgehold.yaml:9:3", Path: "probes[0]"}}
	return cfg
}

// The points of a day follow interval and feature sets.
func TestCheckTellsPointsPerDay(t *testing.T) {
	perDay := func(change func(o *snmp.Options)) int {
		entries := Check(entryOf(func(cfg *config.Config, o *snmp.Options) {
			cfg.Uplink.Resolution, o.Profile = "1m", "interfaces"
			change(o)
		}), catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries
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
		{func(o *snmp.Options) { o.Interval = probes.Duration(10 * time.Second) }, lean}, // one a minute is sent
		{func(*snmp.Options) {}, lean},
		{func(o *snmp.Options) { o.Interval = probes.Duration(5 * time.Minute) }, lean / 5},
		{func(o *snmp.Options) { o.FeatureSets = []string{"packets"} }, 2 * lean},
	} {
		if got := perDay(tt.change); got != tt.want {
			t.Errorf("%d: %d points a day, want %d", i, got, tt.want)
		}
	}
}

// What the devices of an entry share is said once, with its place.
func TestEntryFaultsOnce(t *testing.T) {
	cfg := entryOf(func(_ *config.Config, o *snmp.Options) {
		o.Credentials, o.Profile, o.FeatureSets = []string{"d"}, "cicso", []string{"paket"}
	})
	err := Check(cfg, catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries[0].Err
	const at = "edgehold.yaml:9:3: probes[0]."
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], at+"feature_sets[0]: ") || !strings.HasPrefix(lines[1], at+"credentials[0]: ") ||
		!strings.HasPrefix(lines[2], at+"profile: ") || probes.StatusOf(err) != probes.StatusInvalidConfigError {
		t.Errorf("%q", lines)
	}
}

func TestEntryFault(t *testing.T) {
	for text, want := range map[string]string{
		"a fault":                        "e.yaml:7:3: probes[1]: a fault",
		"x: y\nx: y\nt.csv:2: y":         "e.yaml:7:3: probes[1].x: y\ne.yaml:7:3: probes[1]: t.csv:2: y",
		"p[2]: y\np.yaml:1:2: snmp: bad": "e.yaml:7:3: probes[1].p[2]: y\np.yaml:1:2: snmp: bad",
	} {
		cause := errors.New(text)
		if got := placed("e.yaml:7:3", "probes[1]", cause); got.Error() != want || !errors.Is(got, cause) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	err := placed("e.yaml:7:3", "", errors.Join(errors.New("x"), errors.New("t.csv:2: y"), errors.New("p.yaml:1:2: z")))
	if want := "e.yaml:7:3: x\ne.yaml:7:3: t.csv:2: y\np.yaml:1:2: z"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestEntryWarnings(t *testing.T) {
	retries := 3
	cfg := entryOf(func(_ *config.Config, o *snmp.Options) {
		o.Credentials, o.Retries = []string{"c", "c"}, &retries
		o.Timeout, o.Interval = probes.Duration(3*time.Second), probes.Duration(10*time.Second)
	})
	want := []string{
		"edgehold.yaml:9:3: probes[0].timeout: 3s, tried 4 times, is longer than the interval of 10s: a device that does not answer is asked less often; shorten one or lengthen the interval",
		`edgehold.yaml:9:3: probes[0].credentials: "c" is named twice, once is enough (192.0.2.1 and 1 more)`,
	}
	if got := Check(cfg, catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries[0].Warnings; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	cfg = entryOf(func(*config.Config, *snmp.Options) {})
	if got := Check(cfg, catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries[0].Warnings; len(got) > 0 {
		t.Errorf("a sound entry: %q", got)
	}
}

func TestSiteProfiles(t *testing.T) {
	folder := t.TempDir()
	check := func() string {
		entries := Check(entryOf(func(cfg *config.Config, o *snmp.Options) { cfg.Profiles, o.Profile = folder, "plant.press" }), catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries
		if err := entries[0].Err; err != nil {
			return err.Error()
		}
		return "good"
	}
	for _, tt := range []struct{ text, want string }{
		{"", `edgehold.yaml:9:3: probes[0].profile: unknown profile`},
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

// The reference shows each kind of the catalogue with every key that it takes, as
// it takes them.
func TestReferenceProbes(t *testing.T) {
	kinds := catalog.Kinds(OpenProfiles, OpenModbusProfiles)
	text := strings.ReplaceAll(string(config.Reference), "/etc/edgehold", t.TempDir())
	file := filepath.Join(t.TempDir(), "edgehold.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Examine(file, kinds)
	if err != nil && strings.Contains(err.Error(), "probes[") {
		t.Fatalf("%v", err)
	}
	_, section, _ := strings.Cut(text, "\nprobes:\n")
	section, _, _ = strings.Cut(section, "\n# A folder of SNMP profiles")
	shown := map[string]string{}
	for _, entry := range regexp.MustCompile(`(?m)^  - kind: `).Split(section, -1)[1:] {
		name, keys, _ := strings.Cut(entry, "\n")
		shown[name] += keys
	}
	for _, k := range kinds {
		options := reflect.TypeOf(k.Options()).Elem()
		for i := range options.NumField() {
			key, _, _ := strings.Cut(options.Field(i).Tag.Get("yaml"), ",")
			if key != "" && !regexp.MustCompile(`(?m)^    #?`+key+`:`).MatchString(shown[k.Name]) {
				t.Errorf("%s: %s is not in the reference", k.Name, key)
			}
		}
	}
	if cfg != nil && len(cfg.Probes) < len(kinds) {
		t.Errorf("%d probes of %d kinds", len(cfg.Probes), len(kinds))
	}
}

// What is asked over HTTP has its points told as devices have, and what the
// number rests on.
func TestCheckTellsPointsOfDocuments(t *testing.T) {
	cfg := config.Default()
	cfg.Site, cfg.StateDir, cfg.Trust.AllowUnsigned, cfg.Uplink.Resolution = "s", t.TempDir(), true, "1m"
	cfg.Extensions = []config.Extension{{Package: "../packaging/examples/demo-app", Configuration: "../packaging/examples/demo-app.json", Where: "x.yaml:1:1"}}
	entries := Check(cfg, catalog.Kinds(OpenProfiles, OpenModbusProfiles), time.Time{}).Entries
	if len(entries) != 1 || entries[0].Err != nil {
		t.Fatalf("%+v", entries)
	}
	const item = 1440 // one metric of one item, a day
	if e := entries[0]; e.PerDay < 10*10*item || e.PerDay%(10*item) != 0 || !strings.Contains(e.Assumed, "10 items in each list") {
		t.Errorf("%d points a day, %s", e.PerDay, e.Assumed)
	}
}
