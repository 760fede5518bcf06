package agent

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/agent/extension"
)

// The package that shows in Dynatrace what Edgehold sends, and its page of the
// manual.
const (
	shownPackage = "../packaging/dynatrace"
	shownPage    = "../packaging/manual/dynatrace.md"
)

// shownManifest is extension.yaml of the package. A key that is not here fails.
type shownManifest struct {
	Name, Version       string
	MinDynatraceVersion string `yaml:"minDynatraceVersion"`
	Author              struct{ Name string }
	OpenPipeline        struct {
		Pipelines []struct {
			DisplayName  string `yaml:"displayName"`
			PipelinePath string `yaml:"pipelinePath"`
			ConfigScope  string `yaml:"configScope"`
		}
	} `yaml:"openpipeline"`
	Documents struct {
		Dashboards []struct {
			DisplayName string `yaml:"displayName"`
			Path        string
		}
	}
	Alerts   []struct{ Path string }
	Topology struct {
		Types         []shownType
		Relationships []shownRelation
	}
	Metrics []struct {
		Key      string
		Metadata struct {
			DisplayName      string `yaml:"displayName"`
			Description      string
			Unit             string
			SourceEntityType string `yaml:"sourceEntityType"`
		}
	}
}

type shownType struct {
	Name        string
	DisplayName string `yaml:"displayName"`
	Enabled     bool
	Rules       []struct {
		IDPattern           string `yaml:"idPattern"`
		InstanceNamePattern string `yaml:"instanceNamePattern"`
		Sources             []shownSource
		RequiredDimensions  []struct{ Key string } `yaml:"requiredDimensions"`
		Attributes          []struct {
			Key         string
			DisplayName string `yaml:"displayName"`
			Pattern     string
		}
	}
}

type shownRelation struct {
	TypeOfRelation string `yaml:"typeOfRelation"`
	FromType       string `yaml:"fromType"`
	ToType         string `yaml:"toType"`
	Enabled        bool
	Sources        []shownSource
}

type shownSource struct {
	SourceType string `yaml:"sourceType"`
	Condition  string
}

// shownPipeline is one file of openpipeline/.
type shownPipeline struct {
	CustomID                 string     `json:"customId"`
	DisplayName              string     `json:"displayName"`
	Processing               shownStage `json:"processing"`
	SmartscapeNodeExtraction shownStage `json:"smartscapeNodeExtraction"`
	SmartscapeEdgeExtraction shownStage `json:"smartscapeEdgeExtraction"`
}

type shownStage struct {
	Processors []shownProcessor `json:"processors"`
}

type shownProcessor struct {
	ID             string `json:"id"`
	Type           string `json:"type"`
	Enabled        bool   `json:"enabled"`
	Description    string `json:"description"`
	Matcher        string `json:"matcher"`
	DQL            *struct{ Script string }
	SmartscapeNode *shownNode
	SmartscapeEdge *shownEdge
}

type shownNode struct {
	NodeType        string
	NodeIDFieldName string
	ExtractNode     bool
	IDComponents    []struct{ IDComponent, ReferencedFieldName string }
	NodeName        struct {
		Type  string
		Field struct{ SourceFieldName, DefaultValue string }
	}
	FieldsToExtract      []struct{ FieldName, ReferencedFieldName string }
	StaticEdgesToExtract []struct{ EdgeType, TargetType, TargetIDFieldName string }
}

type shownEdge struct {
	SourceType, SourceIDFieldName, EdgeType, TargetType, TargetIDFieldName string
}

// shownAlert is one file of alerts/.
type shownAlert struct {
	ID, MetricSelector, Name, Description, Severity string
	Enabled                                         bool
	MonitoringStrategy                              struct {
		Type string
		shownThreshold
		AlertingOnMissingData bool
	}
	PrimaryDimensionKey string
	shownThreshold
	EventType string
}

type shownThreshold struct {
	Samples, ViolatingSamples, DealertingSamples int
	AlertCondition                               string
	Threshold                                    float64
}

// shownDashboard is one file of documents/.
type shownDashboard struct {
	Version   int
	Variables []struct{ Key, Type, Input string }
	Tiles     map[string]struct{ Type, Title, Query, Content, Visualization string }
	Layouts   map[string]struct{ X, Y, W, H int }
}

// readShown reads a JSON file of the package. Strict refuses keys that into
// does not have.
func readShown(t *testing.T, file string, into any, strict bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shownPackage, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readShownManifest(t *testing.T) (m shownManifest) {
	t.Helper()
	f, err := os.Open(filepath.Join(shownPackage, "extension.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func readShownPipeline(t *testing.T, scope string) (p shownPipeline) {
	t.Helper()
	for _, named := range readShownManifest(t).OpenPipeline.Pipelines {
		if named.ConfigScope == scope {
			readShown(t, named.PipelinePath, &p, true)
			return p
		}
	}
	t.Fatalf("the package has no pipeline for %s", scope)
	return p
}

func (p shownPipeline) processors() []shownProcessor {
	return slices.Concat(p.Processing.Processors, p.SmartscapeNodeExtraction.Processors, p.SmartscapeEdgeExtraction.Processors)
}

// The package collects nothing, and lint says so; it says nothing else.
func TestShownPackageLints(t *testing.T) {
	report := extension.Lint(os.DirFS(shownPackage), "dynatrace")
	for _, found := range report.Errors {
		t.Error(found)
	}
	if len(report.Warnings) != 1 || report.Warnings[0].Rule != "data_source" {
		t.Errorf("warnings %v, want the one that it has no data source", report.Warnings)
	}
}

// Every file is named by the manifest and the other way round, and the numbers
// are within what the environment takes.
func TestShownPackageIsWhole(t *testing.T) {
	m := readShownManifest(t)
	named := []string{"extension.yaml"}
	for _, p := range m.OpenPipeline.Pipelines {
		named = append(named, p.PipelinePath)
	}
	for _, d := range m.Documents.Dashboards {
		named = append(named, d.Path)
	}
	for _, a := range m.Alerts {
		named = append(named, a.Path)
	}
	var there []string
	size := int64(0)
	err := fs.WalkDir(os.DirFS(shownPackage), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		there = append(there, file)
		if data, readErr := os.ReadFile(path.Join(shownPackage, file)); strings.HasSuffix(file, ".json") && !json.Valid(data) {
			t.Errorf("%s is no JSON (%v)", file, readErr)
		}
		return err
	})
	slices.Sort(named)
	if err != nil || !slices.Equal(named, there) { // WalkDir is in order
		t.Errorf("the manifest names %q, the package holds %q (%v)", named, there, err)
	}
	for what, n := range map[string][2]int{
		"characters of the name": {len(m.Name), 50},
		"metrics":                {len(m.Metrics), 500},
		"dashboards":             {len(m.Documents.Dashboards), 10},
		"alerts":                 {len(m.Alerts), 100},
		"bytes":                  {int(size), 25 << 20},
	} {
		if n[0] == 0 || n[0] > n[1] {
			t.Errorf("%d %s, want 1 to %d", n[0], what, n[1])
		}
	}
	if m.Name != "custom:edgehold" || m.MinDynatraceVersion < "1.330.0" || m.Author.Name == "" {
		t.Errorf("%s for %s by %q", m.Name, m.MinDynatraceVersion, m.Author.Name)
	}
}

var pipelineWord = regexp.MustCompile(`^[a-z0-9-]{4,100}$`)

// Processors have an id of their own and the part that goes with their type;
// each type of node always has the same components, in every file.
func TestShownPipelinesAreSound(t *testing.T) {
	ids := map[string]bool{}
	components := map[string]string{}
	for _, scope := range []string{"metrics", "logs"} {
		p := readShownPipeline(t, scope)
		if p.CustomID != "edgehold-"+scope || p.DisplayName == "" {
			t.Errorf("pipeline %q %q for %s", p.CustomID, p.DisplayName, scope)
		}
		produced := map[string]bool{}
		for _, x := range p.processors() {
			if ids[x.ID] || !pipelineWord.MatchString(x.ID) || !x.Enabled || x.Description == "" || x.Matcher == "" {
				t.Errorf("%s: not sound: %+v", scope, x)
			}
			ids[x.ID] = true
			if x.kind() != x.Type {
				t.Errorf("%s is of type %s and has the part of %q", x.ID, x.Type, x.kind())
			}
			if n := x.SmartscapeNode; n != nil {
				produced[n.NodeIDFieldName+" of "+n.NodeType] = true
				checkShownNode(t, x.ID, n, components)
			}
		}
		for _, e := range p.edges() {
			for _, end := range []string{e.SourceIDFieldName + " of " + e.SourceType, e.TargetIDFieldName + " of " + e.TargetType} {
				if !produced[end] {
					t.Errorf("%s: an edge needs %s, which no processor makes", scope, end)
				}
			}
		}
	}
}

func (x shownProcessor) kind() string {
	switch {
	case x.DQL != nil && x.SmartscapeNode == nil && x.SmartscapeEdge == nil:
		return "dql"
	case x.SmartscapeNode != nil && x.DQL == nil && x.SmartscapeEdge == nil:
		return "smartscapeNode"
	case x.SmartscapeEdge != nil && x.DQL == nil && x.SmartscapeNode == nil:
		return "smartscapeEdge"
	}
	return ""
}

// edges are the dynamic and the static ones.
func (p shownPipeline) edges() (edges []shownEdge) {
	for _, x := range p.processors() {
		if x.SmartscapeEdge != nil {
			edges = append(edges, *x.SmartscapeEdge)
		}
		if n := x.SmartscapeNode; n != nil {
			for _, e := range n.StaticEdgesToExtract {
				edges = append(edges, shownEdge{n.NodeType, n.NodeIDFieldName, e.EdgeType, e.TargetType, e.TargetIDFieldName})
			}
		}
	}
	return edges
}

func checkShownNode(t *testing.T, id string, n *shownNode, components map[string]string) {
	t.Helper()
	var names []string
	for _, c := range n.IDComponents {
		names = append(names, c.IDComponent)
	}
	all := strings.Join(names, " ")
	if was, seen := components[n.NodeType]; all == "" || seen && was != all {
		t.Errorf("%s: %s is made of %q, elsewhere of %q", id, n.NodeType, all, was)
	}
	components[n.NodeType] = all
	if !strings.HasPrefix(n.NodeType, "EXT_") {
		t.Errorf("%s: node type %s does not begin with EXT_", id, n.NodeType)
	}
	if own := "dt.smartscape." + strings.ToLower(n.NodeType); n.NodeIDFieldName != own && !strings.HasPrefix(n.NodeIDFieldName, "neighbor.") {
		t.Errorf("%s: id in %s, want %s", id, n.NodeIDFieldName, own)
	}
	if named := n.NodeName.Type == "field" && n.NodeName.Field.SourceFieldName != ""; named != n.ExtractNode {
		t.Errorf("%s: extractNode %v with the name %+v", id, n.ExtractNode, n.NodeName)
	}
}

// Every tile has a place of its own on the grid, and the layout has no holes.
func TestShownDashboardsAreSound(t *testing.T) {
	for _, d := range readShownManifest(t).Documents.Dashboards {
		var board shownDashboard
		readShown(t, d.Path, &board, false)
		taken := map[[2]int]string{}
		for id, tile := range board.Tiles {
			at, placed := board.Layouts[id]
			if !placed || at.W <= 0 || at.H <= 0 || at.X < 0 || at.X+at.W > 24 {
				t.Errorf("%s: tile %s is at %+v", d.Path, id, at)
			}
			for x := at.X; x < at.X+at.W; x++ {
				for y := at.Y; y < at.Y+at.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: tiles %s and %s overlap", d.Path, id, other)
					}
					taken[[2]int{x, y}] = id
				}
			}
			if tile.Type == "data" && (tile.Query == "" || tile.Title == "" || tile.Visualization == "") || tile.Type == "markdown" && tile.Content == "" {
				t.Errorf("%s: tile %s is empty", d.Path, id)
			}
		}
		if len(board.Tiles) == 0 || len(board.Tiles) != len(board.Layouts) || board.Version == 0 {
			t.Errorf("%s: %d tiles, %d places", d.Path, len(board.Tiles), len(board.Layouts))
		}
		for _, v := range board.Variables {
			if used := strings.Count(boardText(board), "$"+v.Key); used == 0 || v.Type != "query" {
				t.Errorf("%s: variable %s is used %d times", d.Path, v.Key, used)
			}
		}
		for _, used := range regexp.MustCompile(`\$\w+`).FindAllString(boardText(board), -1) {
			if !slices.ContainsFunc(board.Variables, func(v struct{ Key, Type, Input string }) bool { return "$"+v.Key == used }) {
				t.Errorf("%s: no variable %s", d.Path, used)
			}
		}
	}
}

// boardText is all queries of a dashboard.
func boardText(board shownDashboard) string {
	var text strings.Builder
	for _, tile := range board.Tiles {
		text.WriteString(tile.Query + "\n")
	}
	for _, v := range board.Variables {
		text.WriteString(v.Input + "\n")
	}
	return text.String()
}
