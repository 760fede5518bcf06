package extension

import (
	"errors"
	"strings"
)

// Metadata describes one metric to people.
type Metadata struct {
	Key, DisplayName, Description, Unit string
	Tags                                []string
	SourceEntityType                    string
	Dimensions                          []DimensionMetadata
	Properties                          map[string]string // metricProperties
}

// DimensionMetadata describes one dimension of a metric to people.
type DimensionMetadata struct{ Key, DisplayName string }

// Calculated is a metric that the environment makes of others (func:): nothing
// is collected for it.
type Calculated struct{ Key, Selector string }

// FeatureSet describes a feature set to people.
type FeatureSet struct {
	ID, DisplayName, Description string
	Recommended                  bool
}

var (
	authorKeys            = []string{"name"}
	metadataKeys          = []string{"key", "metadata", "query"}
	aboutKeys             = []string{"displayName", "description", "unit", "tags", "sourceEntityType", "dimensions", "metricProperties"}
	dimensionMetadataKeys = []string{"key", "displayName"}
	queryKeys             = []string{"metricSelector"}
	featureSetKeys        = []string{"id", "displayName", "description", "isRecommended"}
	fileKeys              = []string{"path", "displayName"}
	documentKeys          = []string{"dashboards"}
)

// softly makes warnings of the errors of a part that only the environment uses:
// it is the judge of that, and the rest runs all the same.
func (p *manifestParser) softly(read func()) {
	before := len(p.errs)
	read()
	for _, err := range p.errs[before:] {
		var f *fault
		if errors.As(err, &f) {
			p.remark(f.rule, &node{line: f.Line, col: f.Column}, f.Path, f.Text)
		}
	}
	p.errs = p.errs[:before]
}

// head reads what describes the package, its metrics and its entities.
func (p *manifestParser) head(o object, m *Manifest) {
	m.MinEEC = o.label("minEECVersion")
	if v, ok := o.get("author"); ok {
		m.Author = p.object(v, authorKeys).label("name")
	}
	for _, v := range p.items(o, "metrics") {
		p.metadata(p.object(v, metadataKeys), m)
	}
	for _, v := range p.items(o, "featureSetsMetadata") {
		m.Described = append(m.Described, p.describedSet(p.object(v, featureSetKeys)))
	}
	if v, ok := o.get("topology"); ok {
		m.Topology = p.topology(p.object(v, topologyKeys))
	}
	for _, key := range []string{"dashboards", "alerts"} {
		p.files(o, key, m)
	}
	if v, ok := o.get("documents"); ok {
		p.files(p.object(v, documentKeys), "dashboards", m)
	}
}

func (p *manifestParser) metadata(o object, m *Manifest) {
	key := p.key(o)
	if query, ok := o.get("query"); ok {
		m.Calculated = append(m.Calculated, Calculated{key, p.object(query, queryKeys).text("metricSelector")})
	}
	v, ok := o.get("metadata")
	if !ok || key == "" {
		return
	}
	about := p.object(v, aboutKeys)
	made := Metadata{
		Key: key, DisplayName: about.label("displayName"), Description: about.label("description"), Unit: about.label("unit"),
		Tags: about.texts("tags"), SourceEntityType: about.text("sourceEntityType"),
	}
	for _, d := range p.items(about, "dimensions") {
		one := p.object(d, dimensionMetadataKeys)
		made.Dimensions = append(made.Dimensions, DimensionMetadata{p.key(one), one.label("displayName")})
	}
	if properties, ok := about.get("metricProperties"); ok {
		made.Properties = make(map[string]string)
		all := p.object(properties, nil)
		for _, f := range properties.fields {
			made.Properties[f.key] = all.label(f.key)
		}
	}
	if !strings.HasPrefix(key, "func:") {
		m.Metrics = append(m.Metrics, made)
	}
}

func (p *manifestParser) describedSet(o object) FeatureSet {
	made := FeatureSet{
		ID: o.text("id"), DisplayName: o.text("displayName"), Description: o.text("description"),
		Recommended: o.flag("isRecommended", false),
	}
	if made.ID == "" {
		o.missing("id", "the name of a feature set")
	}
	return made
}

func (p *manifestParser) files(o object, key string, m *Manifest) {
	for _, v := range p.items(o, key) {
		if file := p.object(v, fileKeys).text("path"); file != "" {
			m.Files = append(m.Files, file)
		}
	}
}
