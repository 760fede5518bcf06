package extension

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	namePattern    = regexp.MustCompile(`^(custom:)*[a-z0-9-_.]+$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
	minimumPattern = regexp.MustCompile(`^\d+\.\d+(\.\d+)*$`)
)

// The vendor's numbers for what stands in the head of a manifest.
const (
	maxName, maxFeatureSet   = 50, 100
	maxDashboards, maxAlerts = 10, 100
	maxVariable              = 10_000
	maxMetricKey, maxDimKey  = 250, 100
	minMetricKey             = 3
	maxDimValue              = 255

	ownNamespace, vendorNamespace = "custom:", "com.dynatrace."
)

// head looks at what is not of a data source.
func (l *linter) head(root *node) {
	l.extensionName(root.field("name"))
	if v := root.field("version"); v != nil && v.kind != kindNull && !versionPattern.MatchString(v.scalar()) {
		l.fail(v, ruleVersion, fmt.Sprintf("the version is %q, not three numbers", v.scalar()), "write major.minor.build, such as 1.0.0")
	}
	l.minimum(root)
	if author := root.field("author"); author.field("name").scalar() == "" {
		l.fail(orRoot(author, root), ruleAuthor, "author.name is missing, without which the environment refuses the package", "add author: {name: ...}")
	}
	l.metadata(root)
	l.featureSetNames(root)
	l.assets(root)
}

func orRoot(n, root *node) *node {
	if n == nil {
		return root
	}
	return n
}

func (l *linter) extensionName(n *node) {
	name := n.plain()
	if name == "" {
		return // said by the parser
	}
	bare := strings.TrimPrefix(name, ownNamespace)
	switch {
	case utf8.RuneCountInString(name) > maxName:
		l.fail(n, ruleName, fmt.Sprintf("the name has %d characters, more than %d", utf8.RuneCountInString(name), maxName), "shorten it")
	case !namePattern.MatchString(name), strings.HasPrefix(bare, "."), strings.HasSuffix(name, "."), strings.Contains(name, ".."):
		l.fail(n, ruleName, "the name has characters or dots that are not allowed", "use small letters, digits, - and _, and single dots between them")
	case bare == name && !strings.HasPrefix(name, vendorNamespace):
		l.fail(n, ruleName, "the name does not begin with custom:, which only packages of Dynatrace may do without", "write custom:"+name)
	}
}

func (l *linter) minimum(root *node) {
	n := root.field("minDynatraceVersion")
	switch {
	case n == nil || n.kind == kindNull:
		l.fail(root, ruleMinVersion, "minDynatraceVersion is missing, without which the environment refuses the package",
			`add the oldest version it is for, such as minDynatraceVersion: "1.300.0"`)
	case !minimumPattern.MatchString(n.scalar()):
		l.fail(n, ruleMinVersion, "minDynatraceVersion is no version", `write e.g. "1.300.0"`)
	case n.kind == kindNumber && strings.HasSuffix(n.text, "0"):
		l.warn(n, ruleMinVersion, "without quotes "+n.text+" is a number, and its last 0 may be lost", `write "`+n.text+`"`)
	}
}

// metadata looks at what describes the metrics.
func (l *linter) metadata(root *node) {
	seen := make(map[string]int)
	for _, m := range root.field("metrics").list() {
		key := m.field("key")
		name := key.scalar()
		if name == "" {
			continue
		}
		if line := seen[name]; line > 0 {
			l.warn(key, ruleDuplicateMetric, fmt.Sprintf("%s is described a second time, first in line %d", name, line), "leave one out")
			continue
		}
		seen[name] = key.line
		if query := m.field("query"); strings.HasPrefix(name, "func:") && query.field("metricSelector").scalar() == "" {
			l.fail(m, ruleSchema, "the calculated metric "+name+" has no query.metricSelector", "add it, or leave func: away")
		}
	}
}

// featureSetNames looks at all places that name a feature set.
func (l *linter) featureSetNames(root *node) {
	check := func(n *node) {
		name := n.scalar()
		switch {
		case n == nil || n.kind == kindNull:
		case name == "" && n.kind == kindText, utf8.RuneCountInString(name) > maxFeatureSet:
			l.fail(n, ruleFeatureSet, fmt.Sprintf("the name of a feature set has 1 to %d characters", maxFeatureSet), "give it another")
		}
	}
	for _, n := range root.field("featureSetsMetadata").list() {
		id := n.field("id")
		if check(id); id.scalar() == reservedSet { // of the others the parser says it
			l.fail(id, ruleFeatureSet, reservedText, reservedMend)
		}
	}
	for _, p := range partsOf(root) {
		check(p.at.field("featureSet"))
		for _, m := range p.metrics {
			check(m.at.field("featureSet"))
		}
	}
}

// assets looks at the files that the manifest names.
func (l *linter) assets(root *node) {
	lists := []struct {
		what string
		at   *node
		most int
	}{
		{"dashboards", root.field("dashboards"), maxDashboards},
		{"alerts", root.field("alerts"), maxAlerts},
		{"dashboard documents", root.field("documents").field("dashboards"), 0},
	}
	for _, list := range lists {
		if n := len(list.at.list()); list.most > 0 && n > list.most {
			l.fail(list.at, ruleLimit, fmt.Sprintf("%d %s, the environment accepts at most %d", n, list.what, list.most), "leave some out")
		}
		for _, item := range list.at.list() {
			l.asset(item.field("path"))
		}
	}
}

func (l *linter) asset(n *node) {
	file := strings.TrimPrefix(n.plain(), "./")
	if file == "" {
		return
	}
	if !fs.ValidPath(file) || strings.Contains(file, `\`) {
		l.fail(n, ruleFile, "the path leads out of the package", "write a path from the package's root, with / between folders")
		return
	}
	if _, err := fs.Stat(l.files, file); err != nil {
		l.warn(n, ruleFile, "the package has no file "+file, "add the file, or leave the line out")
	}
}
