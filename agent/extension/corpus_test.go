package extension

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// corpus is the folder of public packages; the test is skipped without it.
func corpus(t *testing.T) string {
	t.Helper()
	root := os.Getenv("EDGEHOLD_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	root = filepath.Join(root, "extensions")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("SKIPPED: no public packages at %s, set EDGEHOLD_CORPUS", root)
	}
	return root
}

// Every package runs as it is, without an error and without a remark.
func TestPublicPackages(t *testing.T) {
	root := corpus(t)
	tests := []struct {
		path      string
		none, all counts // with no feature set, with all; counted by another program
	}{
		{"dynatrace-extensions__snmp.generic-device/src", counts{2, 12, 11, 11, 19, 0}, counts{4, 36, 32, 26, 33, 18}},
		{"dynatrace-extensions__snmp-generic-cisco-device/src", counts{2, 5, 0, 11, 8, 4}, counts{7, 38, 28, 38, 29, 27}},
		{"YanDieg__snmp-apc-ups-dynatrace-extension/src", counts{2, 12, 11, 13, 19, 0}, counts{9, 67, 30, 50, 66, 16}},
		{"dynatrace-extensions__snmp-vscode-example/extension", counts{1, 1, 0, 1, 2, 0}, counts{2, 2, 0, 2, 2, 2}},
		{
			"Dynatrace__perform-2022-hotday/extensions-as-code/snmp-demo-extension/extension",
			counts{2, 3, 2, 3, 2, 3},
			counts{2, 3, 2, 3, 2, 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			m, warnings := open(t, os.DirFS(filepath.Join(root, tt.path)), "p")
			if len(warnings) > 0 {
				t.Error(lines(warnings))
			}
			for _, set := range []struct {
				names []string
				want  counts
			}{{nil, tt.none}, {[]string{"all"}, tt.all}} {
				p, warnings, err := Compile(m, Configuration{FeatureSets: set.names}, CompileOptions{})
				if err != nil || len(warnings) > 0 {
					t.Fatalf("%v %s", err, lines(warnings))
				}
				got := countPlan(p)
				if got != set.want {
					t.Errorf("with %v: %+v, want %+v", set.names, got, set.want)
				}
			}
		})
	}
}

type counts struct{ blocks, metrics, counters, dims, scalars, columns int }

func countPlan(p *plan.Plan) counts {
	var got counts
	var all []*plan.Block
	for i := range p.Blocks {
		b := &p.Blocks[i]
		all = append(all, b)
		got.blocks++
		got.metrics += len(b.Metrics)
		got.dims += len(b.Dims)
		for _, x := range b.Metrics {
			if x.Type == probes.Count {
				got.counters++
			}
		}
	}
	scalars, tables := plan.Needs(all)
	got.scalars = len(scalars)
	for _, columns := range tables {
		got.columns += len(columns)
	}
	return got
}

// The only public packages that do not run are those that are no YAML.
func TestEveryPublicPackageIsRead(t *testing.T) {
	root := corpus(t)
	read := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "extension.yaml" {
			return err
		}
		_, warnings, wrong := ParseManifest(os.DirFS(filepath.Dir(path)), "p")
		switch {
		case wrong == nil && len(warnings) == 0:
			read++
		case wrong == nil:
			t.Errorf("%s: %s", path, lines(warnings))
		case !strings.Contains(path, "cisco.ASA") || !strings.HasPrefix(wrong.Error(), "p/extension.yaml:20: not valid YAML: "):
			t.Errorf("%s: %v", path, wrong)
		}
		return nil
	})
	if err != nil || read < 10 {
		t.Errorf("%d packages read: %v", read, err)
	}
}
