package extension

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/agent/extension/mib"
)

// Report is what is wrong with a package, or may be. The lists are in the order
// of files and lines.
type Report struct {
	Errors   []Finding `json:"errors"`   // the environment refuses the package, or it cannot do what it says
	Warnings []Finding `json:"warnings"` // it runs, but perhaps not as meant
	// ReadOnly says that nothing in the package can change what it looks at:
	// all its data sources are known, and known to read only. A package of code,
	// of database queries or of requests other than GET is never so.
	ReadOnly bool `json:"readOnly"`
}

// Finding is one place that a rule speaks of.
type Finding struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1; of a file as a whole 1
	Column int    `json:"column"` // from 1, in characters
	Rule   string `json:"rule"`   // a stable word
	Text   string `json:"text"`
	Mend   string `json:"mend"` // what to do
}

// String is "FILE:LINE:COLUMN: TEXT; MEND [RULE]".
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Text)
	if f.Mend != "" {
		text += "; " + f.Mend
	}
	return text + " [" + f.Rule + "]"
}

// The rules of Lint. The words are stable.
const (
	ruleManifest           = "manifest"
	ruleYAML               = "yaml"
	ruleSchema             = "schema"
	ruleUnknownKey         = "unknown_key"
	ruleName               = "name"
	ruleVersion            = "version"
	ruleMinVersion         = "min_version"
	ruleAuthor             = "author"
	ruleFeatureSet         = "feature_set"
	ruleVariable           = "variable"
	ruleFilter             = "filter"
	ruleKey                = "key"
	ruleType               = "type"
	ruleValue              = "value"
	rulePrefix             = "value_prefix"
	ruleUnsupported        = "unsupported"
	ruleOwn                = "own_extension"
	ruleLimit              = "limit"
	ruleDuplicateMetric    = "duplicate_metric"
	ruleDuplicateDimension = "duplicate_dimension"
	ruleDuplicateOID       = "duplicate_oid"
	ruleTable              = "table"
	ruleCounter            = "counter"
	ruleTextMetric         = "text_metric"
	ruleSeries             = "series"
	ruleSensitive          = "sensitive"
	ruleDataSource         = "data_source"
	ruleReadOnly           = "read_only"
	ruleFile               = "file"
	ruleSecret             = "secret"
)

// maxFindings is how many errors, and how many warnings, a report lists.
const maxFindings = 1000

// Lint looks at a package: its manifest, and all files for secrets. Name is the
// package as its user knows it and begins the names of files.
func Lint(files fs.FS, name string) *Report {
	l := &linter{files: files, name: name, seen: make(map[Finding]bool), report: Report{Errors: []Finding{}, Warnings: []Finding{}}}
	l.manifest()
	l.secrets()
	for _, list := range [][]Finding{l.report.Errors, l.report.Warnings} {
		sort.SliceStable(list, func(i, j int) bool { return before(list[i], list[j]) })
	}
	return &l.report
}

func before(a, b Finding) bool {
	switch {
	case a.File != b.File:
		return a.File < b.File
	case a.Line != b.Line:
		return a.Line < b.Line
	case a.Column != b.Column:
		return a.Column < b.Column
	case a.Rule != b.Rule:
		return a.Rule < b.Rule
	}
	return a.Text < b.Text
}

type linter struct {
	files  fs.FS
	name   string
	report Report
	seen   map[Finding]bool

	standards standards
	mibs      *mib.Set // of the package
	objects   *mib.Set // beside them the standard ones

	// Of the file at hand.
	file   string
	widths []int // characters in each line
}

// begin turns to a file. Data may be nil where it could not be read.
func (l *linter) begin(file string, data []byte) {
	l.file, l.widths = path.Join(l.name, file), lineWidths(data, isYAML(file))
}

func isYAML(file string) bool {
	ext := strings.ToLower(path.Ext(file))
	return ext == ".yaml" || ext == ".yml"
}

// lineWidths counts the characters of each line. YAML knows more line breaks
// than other files do.
func lineWidths(data []byte, yaml bool) []int {
	widths := []int{0}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		i += size
		switch {
		case yaml && r == '\r' && i < len(data) && data[i] == '\n': // one break with the next
		case r == '\n', yaml && (r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029'):
			widths = append(widths, 0)
		default:
			widths[len(widths)-1]++
		}
	}
	return widths
}

// within moves a place into the file: errors of the YAML library may name a
// line after the last.
func (l *linter) within(line, col int) (int, int) {
	line = min(max(line, 1), len(l.widths))
	return line, min(max(col, 1), l.widths[line-1]+1)
}

func (l *linter) fail(n *node, rule, text, mend string) {
	l.report.Errors = l.add(l.report.Errors, l.finding(n, rule, text, mend))
}

func (l *linter) warn(n *node, rule, text, mend string) {
	l.report.Warnings = l.add(l.report.Warnings, l.finding(n, rule, text, mend))
}

func (l *linter) finding(n *node, rule, text, mend string) Finding {
	f := Finding{File: l.file, Rule: rule, Text: text, Mend: mend}
	if n != nil {
		f.Line, f.Column = n.line, n.col
	}
	return f
}

func (l *linter) add(list []Finding, f Finding) []Finding {
	f.Line, f.Column = l.within(f.Line, f.Column)
	return l.put(list, f)
}

// put adds what is known to be in a line that is there.
func (l *linter) put(list []Finding, f Finding) []Finding {
	if l.seen[f] || len(list) > maxFindings {
		return list
	}
	if len(list) == maxFindings {
		return append(list, Finding{File: f.File, Line: 1, Column: 1, Rule: f.Rule, Text: "further findings are not listed", Mend: "mend these first"})
	}
	l.seen[f] = true
	return append(list, f)
}

// manifest looks at extension.yaml.
func (l *linter) manifest() {
	data, err := readManifest(l.files)
	l.begin(manifestName, data)
	if err != nil {
		l.widths = lineWidths(nil, true)
		l.fail(nil, ruleManifest, "cannot be read: "+err.Error(), "a package has a readable "+manifestName+" of at most 4 MiB at its root")
		return
	}
	root, err := parseYAML(data, l.file)
	var broken *fault
	if errors.As(err, &broken) {
		l.take(broken.Warning, true)
		return
	}
	if root.kind != kindMap {
		l.fail(root, ruleSchema, "found "+root.what()+" in place of an object", "begin with name, version and a data source")
		return
	}
	l.schema(root)
	l.head(root)
	l.dataSources(root)
	parts := partsOf(root)
	l.readMIBs()
	l.names(parts)
	for _, p := range parts {
		l.part(p)
	}
	l.total(root, parts)
}

// schema lets the parser of manifests look at the tree, and takes what it says.
func (l *linter) schema(root *node) {
	p := manifestParser{reader: reader{file: l.file}}
	p.manifest(value{root, ""})
	p.foreignSources(root)
	for _, err := range p.errs {
		var f *fault
		if errors.As(err, &f) && f.rule != ruleLimit { // told better by a rule of its own
			l.take(f.Warning, true)
		}
	}
	for _, w := range p.warnings {
		switch w.rule {
		case ruleTable, ruleDuplicateDimension, ruleDataSource, ruleKey: // told better by rules of their own
		default:
			l.take(w, w.rule == ruleType || w.rule == ruleValue)
		}
	}
}

// defaultMends say what to do where the text of the parser does not.
var defaultMends = map[string]string{
	ruleUnknownKey:  "correct it, or leave it out",
	ruleYAML:        "correct the line, or the one before it",
	rulePrefix:      "write oid: before it",
	ruleVariable:    "declare it in vars, or correct its name",
	ruleFilter:      "mend the value of the dimension",
	ruleUnsupported: "the rest of the package runs without it",
	ruleValue:       "write oid:, const:, var: or this: and a value that fits",
}

// take makes a finding of what the parser says, which ends with what it
// expected.
func (l *linter) take(w Warning, isError bool) {
	f := Finding{File: l.file, Line: w.Line, Column: w.Column, Rule: w.rule}
	if f.Rule == "" {
		f.Rule = ruleSchema
	}
	text, wanted, found := w.Text, "", false
	for _, word := range []string{", did you mean ", ", expected ", ", write "} {
		if !found {
			text, wanted, found = strings.Cut(w.Text, word)
		}
	}
	wanted = strings.TrimSuffix(wanted, "?")
	if mend, then, more := strings.Cut(wanted, "; "); more {
		text, wanted = text+" ("+then+")", mend
	}
	if !found {
		text, f.Mend, _ = strings.Cut(text, "; ")
	}
	f.Text = text
	if w.Path != "" {
		f.Text = w.Path + ": " + text
	}
	switch {
	case found:
		f.Mend = "write " + wanted
	case f.Mend != "":
	case defaultMends[f.Rule] != "":
		f.Mend = defaultMends[f.Rule]
	default:
		f.Mend = "correct it"
	}
	if isError {
		l.report.Errors = l.add(l.report.Errors, f)
	} else {
		l.report.Warnings = l.add(l.report.Warnings, f)
	}
}

// foreignSources reads the data sources beside snmp that are written in groups,
// as far as their schema is the same.
func (p *manifestParser) foreignSources(root *node) {
	top := p.object(value{root, ""}, nil)
	for _, g := range grouped {
		if _, runs := sourceAt(g.name); runs {
			continue
		}
		for _, v := range p.items(top, g.name) {
			o := p.object(v, groupKeys)
			p.foreignLevel(o)
			for _, sub := range p.items(o, "subgroups") {
				p.foreignLevel(p.object(sub, subgroupKeys))
			}
		}
	}
}

func (p *manifestParser) foreignLevel(o object) {
	p.featureSet(o)
	p.interval(o)
	o.flag("table", false)
	for _, v := range p.items(o, "dimensions") {
		d := p.object(v, dimensionKeys)
		p.key(d)
		p.filter(d, &dimension{})
		p.foreignValue(d)
	}
	for _, v := range p.items(o, "metrics") {
		m := p.object(v, metricKeys)
		p.key(m)
		p.featureSet(m)
		p.interval(m)
		p.foreignValue(m)
		word := m.text("type")
		if !slices.Contains([]string{"", "gauge", "count", "count,delta", "histogram", "summary"}, word) {
			at, _ := m.get("type")
			p.remark(ruleType, at.node, at.path, "found "+word+", expected gauge, count, histogram or summary")
		}
	}
}

func (p *manifestParser) foreignValue(o object) {
	if o.label("value") == "" && o.at.kind == kindMap {
		if _, given := o.get("value"); !given {
			o.missing("value", "what to read")
		}
	}
}

// hasText tells whether data is text, as far as a look for secrets needs it.
func hasText(data []byte) bool { return utf8.Valid(data) && !bytes.ContainsRune(data, 0) }
