package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
)

var ownKey = regexp.MustCompile(`^edgehold(\.[a-z0-9_]+)+$`)

// notMetrics are the texts of the code that look like a metric key and are
// none: files, and attributes that are named by a constant or a table.
var notMetrics = []string{
	"edgehold.db", "edgehold.yaml",
	"edgehold.boot", "edgehold.cut", "edgehold.device_names", "edgehold.discovery.devices", "edgehold.from", "edgehold.late",
	"edgehold.severity", "edgehold.time", "edgehold.time_unknown", "edgehold.uptime",
}

// Every metric with a name of ours that the code or a profile makes is described
// by the package, and no other is.
func TestShownMetricsAreThoseSent(t *testing.T) {
	sent := map[string]string{}
	for key, place := range keysInCode(t) {
		sent[key] = place
	}
	units := map[string][2]string{}
	for key, unit := range keysInProfiles(t) {
		if strings.HasPrefix(key, "edgehold.") {
			sent[key], units[key] = "a profile", unit
		}
	}
	for _, m := range metricsOfProbes(t) {
		if strings.HasPrefix(m.Key, "edgehold.") {
			sent[m.Key], units[m.Key] = "a kind of probe", [2]string{m.DisplayName, m.Unit}
		}
	}
	described := map[string]bool{}
	for _, m := range readShownManifest(t).Metrics {
		if described[m.Key] {
			t.Errorf("%s is described twice", m.Key)
		}
		described[m.Key] = true
		if sent[m.Key] == "" {
			t.Errorf("%s/extension.yaml describes %s, which nothing sends: leave it out", shownPackage, m.Key)
		}
		if m.Metadata.DisplayName == "" || m.Metadata.Unit == "" || len(m.Key) > 250 {
			t.Errorf("%s has no name or no unit, or is too long", m.Key)
		}
		if own := units[m.Key]; own[0] != "" && own != [2]string{m.Metadata.DisplayName, m.Metadata.Unit} {
			t.Errorf("%s is %q in %s here, and %q in %s in its profile", m.Key, m.Metadata.DisplayName, m.Metadata.Unit, own[0], own[1])
		}
	}
	for key, place := range sent {
		if !described[key] {
			t.Errorf("%s: %s is not described: add it to metrics in %s/extension.yaml, or to notMetrics here if it is no metric", place, key, shownPackage)
		}
	}
}

// metricsOfProbes are those of the probes that the reference shows, in all their
// forms.
func metricsOfProbes(t *testing.T) []probes.Metadata {
	t.Helper()
	kinds := catalog.Kinds(OpenProfiles, OpenModbusProfiles)
	file := filepath.Join(t.TempDir(), "edgehold.yaml")
	if err := os.WriteFile(file, config.Reference, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, _ := config.Examine(file, kinds) // the secrets it names are not there
	if cfg == nil || len(cfg.Probes) < len(kinds) {
		t.Fatal("the reference has no probes")
	}
	var all []probes.Metadata
	for _, p := range cfg.Probes {
		at := slices.IndexFunc(kinds, func(k probes.Kind) bool { return k.Name == p.Kind })
		if kinds[at].Metrics != nil {
			all = append(all, kinds[at].Metrics(p.Options)...)
		}
	}
	return all
}

// keysInCode finds the texts of the code that are a metric key of ours, with
// the place of each. The key of a dimension or property is none.
func keysInCode(t *testing.T) map[string]string {
	t.Helper()
	found, unused := map[string]string{}, slices.Clone(notMetrics)
	files := token.NewFileSet()
	for _, room := range []string{".", "../probes", "../buffer", "../sign", "../board"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "demo" || strings.HasSuffix(d.Name(), "test") || d.Name() == "testdata"):
				return fs.SkipDir
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			for at, key := range keysInFile(file) {
				if !slices.Contains(notMetrics, key) {
					found[key] = files.Position(at).String()
				}
				unused = slices.DeleteFunc(unused, func(k string) bool { return k == key })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if i := slices.Index(unused, "edgehold.yaml"); i >= 0 { // the command's
		unused = slices.Delete(unused, i, i+1)
	}
	if len(unused) > 0 {
		t.Errorf("notMetrics lists %q, which the code no longer has", unused)
	}
	return found
}

func keysInFile(file *ast.File) map[token.Pos]string {
	found := map[token.Pos]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if pair, is := n.(*ast.KeyValueExpr); is {
			if name, is := pair.Key.(*ast.Ident); is && name.Name == "Key" {
				return false // a dimension, {Key: "edgehold.from", ...}
			}
		}
		if lit, is := n.(*ast.BasicLit); is && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && ownKey.MatchString(text) {
				found[lit.Pos()] = text
			}
		}
		return true
	})
	return found
}

// keysInProfiles finds the metric keys of the profiles, with name and unit as
// the profile that describes them has it.
func keysInProfiles(t *testing.T) map[string][2]string {
	t.Helper()
	files, err := filepath.Glob("extension/profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles: %v", err)
	}
	found := map[string][2]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := yaml.Unmarshal(data, &root); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		readKeys(root["snmp"], found)
		list, _ := root["metrics"].([]any)
		for _, item := range list {
			metric := item.(map[string]any)
			if meta, is := metric["metadata"].(map[string]any); is {
				name, _ := meta["displayName"].(string)
				unit, _ := meta["unit"].(string)
				found[metric["key"].(string)] = [2]string{name, unit}
			}
		}
	}
	return found
}

// readKeys adds the keys of all metrics below a node.
func readKeys(n any, found map[string][2]string) {
	switch n := n.(type) {
	case []any:
		for _, item := range n {
			readKeys(item, found)
		}
	case map[string]any:
		for key, v := range n {
			metrics, is := v.([]any)
			if key != "metrics" || !is {
				readKeys(v, found)
				continue
			}
			for _, m := range metrics {
				name := m.(map[string]any)["key"].(string)
				if _, described := found[name]; !described {
					found[name] = [2]string{}
				}
			}
		}
	}
}

// A key that the code makes must be found wherever it stands, or a new one would
// go unseen.
func TestKeysInFile(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
const a = "edgehold.one"
var table = [...]string{0: "edgehold.two"}
var dims = []dim{{Key: "edgehold.attribute", Value: v}}
func f() { points.gauge("edgehold.points.three_four", 5); say("edgehold. is no key"); s("xedgehold.five") }
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range keysInFile(file) {
		got = append(got, key)
	}
	slices.Sort(got)
	if want := []string{"edgehold.one", "edgehold.points.three_four", "edgehold.two"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
