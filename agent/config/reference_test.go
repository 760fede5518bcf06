package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// commented matches keys that the reference shows commented out, since they
// exclude another one.
var commented = regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`)

// The reference loads as it stands, once its files exist.
func TestReferenceLoads(t *testing.T) {
	ca := testCA(t)
	folder(t, map[string]string{"token": "dt0c01.X", "plant.community": "c", "plant.auth": "authpass", "plant.priv": "privpass", "machines.password": "w", "ca.pem": ca})
	here, _ := os.Getwd()
	write(t, "edgehold.yaml", strings.ReplaceAll(firstProbeOnly(t), "/etc/edgehold", here))
	kinds := testKinds()
	kinds[0].Options = func() any { return new(referenceOptions) }
	cfg, warnings, err := Load("edgehold.yaml", kinds)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	if cfg.Uplink.CAFile != filepath.Join(here, "ca.pem") || len(cfg.Probes) != 1 || len(cfg.Extensions) != 1 {
		t.Errorf("config %+v", cfg)
	}
	if _, err := cfg.Uplink.Token(); err != nil {
		t.Error(err)
	}
	if cfg.Credentials["machines"].Password.Reveal() != "w" {
		t.Error("the password is not there")
	}
	if v3 := cfg.Credentials["plant-v3"]; cfg.Credentials["plant-v2"].Community.Reveal() != "c" || v3.AuthPass.Reveal() != "authpass" || v3.PrivPass.Reveal() != "privpass" {
		t.Errorf("credentials %v", cfg.Credentials)
	}
}

// firstProbeOnly is the reference without the entries of kinds that have tests of
// their own, where the kinds are known.
func firstProbeOnly(t *testing.T) string {
	head, rest, found := strings.Cut(string(Reference), "\n  # What is wired to this machine")
	_, tail, also := strings.Cut(rest, "\n# A folder of SNMP profiles")
	if !found || !also {
		t.Fatal("the reference has other sections")
	}
	return head + "\n# A folder of SNMP profiles" + tail
}

// referenceOptions are the keys that the reference shows of a probe.
type referenceOptions struct {
	Devices          []string        `yaml:"devices"`
	Credentials      []string        `yaml:"credentials"`
	Profile          string          `yaml:"profile"`
	FeatureSets      []string        `yaml:"feature_sets"`
	InterfaceFilter  string          `yaml:"interface_filter"`
	Interval         probes.Duration `yaml:"interval"`
	Timeout          probes.Duration `yaml:"timeout"`
	Retries          int             `yaml:"retries"`
	PacketsPerSecond int             `yaml:"packets_per_second"`
	MaxRepetitions   int             `yaml:"max_repetitions"`
}

// The defaults that the reference states are the defaults.
func TestReferenceDefaults(t *testing.T) {
	want := Default()
	for _, d := range []struct{ text, value string }{
		{"Default: /var/lib/edgehold\nstate_dir", want.StateDir},
		{"Default: /run/edgehold/control.sock\nsocket", want.Socket},
		{"Default: 10s\n  commit_interval", want.Buffer.CommitInterval.String()},
		{"Default: archive\n  late", want.Buffer.Late},
		{"Default: 1m\n  late_resolution", "1m"},
		{"Default:\n  # /etc/edgehold/certificates\n  roots", want.Trust.Roots},
		{"Default: " + want.Outputs.Watchdog.Timeout.String() + "\n", "30s"},
		{"Default: 64\n  max_in_flight", "64"},
		{"Default: info\n  level", want.Log.Level},
	} {
		if !strings.Contains(string(Reference), d.text) || !strings.Contains(d.text, d.value) {
			t.Errorf("the reference does not say %q, or the default is not %s", d.text, d.value)
		}
	}
}

// Every key of the structs stands in the reference, and no other.
func TestReferenceIsComplete(t *testing.T) {
	text := commented.ReplaceAllString(string(Reference), "$1$2")
	root, errs := source{name: "reference.yaml", data: []byte(text)}.parse()
	var d decoder
	d.decode(root, "", reflect.ValueOf(newDocument()).Elem())
	for _, e := range append(errs, d.errs...) {
		t.Error(e)
	}
	complete(t, root, "", reflect.TypeFor[document]())
}

func complete(t *testing.T, n *node, path string, typ reflect.Type) {
	switch {
	case typ == nodeType || reflect.PointerTo(typ).Implements(textType):
		return
	case typ.Kind() == reflect.Pointer:
		complete(t, n, path, typ.Elem())
		return
	case typ.Kind() == reflect.Slice && len(n.items) > 0:
		complete(t, n.items[0], path+"[0]", typ.Elem())
		return
	case typ.Kind() == reflect.Map && len(n.fields) > 0: // all entries together
		all := *n.fields[0].value
		for _, f := range n.fields[1:] {
			all.fields = append(all.fields, f.value.fields...)
		}
		complete(t, &all, join(path, n.fields[0].key), typ.Elem())
		return
	case typ.Kind() != reflect.Struct:
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if keyOf(f) == "" {
			continue
		}
		at := n.get(keyOf(f))
		if at == nil {
			t.Errorf("%s is not in the reference", join(path, keyOf(f)))
			continue
		}
		complete(t, at.value, join(path, keyOf(f)), f.Type)
	}
}

// Every struct field that is decoded says its key; one without is forgotten.
func TestEveryFieldHasAKey(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[document](), reflect.TypeFor[uplink](), reflect.TypeFor[Endpoint](), reflect.TypeFor[environment](), reflect.TypeFor[Budget](), reflect.TypeFor[Clock](), reflect.TypeFor[Buffer](), reflect.TypeFor[Trust](), reflect.TypeFor[Category](),
		reflect.TypeFor[credential](), reflect.TypeFor[Extension](), reflect.TypeFor[Outputs](), reflect.TypeFor[LEDs](), reflect.TypeFor[Watchdog](), reflect.TypeFor[Polling](), reflect.TypeFor[Log](),
	} {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Tag.Get("yaml") == "" {
				t.Errorf("%s.%s has no yaml tag", typ, f.Name)
			}
		}
	}
}
