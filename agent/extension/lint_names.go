package extension

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

const mibFolder = "snmp"

// PackageMIBs reads the MIB files of a package, which may import from the
// built-in ones. The set is for CompileOptions.
func PackageMIBs(files fs.FS) (*mib.Set, []mib.Warning) {
	folder, err := fs.Sub(files, mibFolder)
	if err == nil {
		_, err = fs.Stat(folder, ".")
	}
	if err != nil {
		return &mib.Set{}, nil
	}
	return mib.Compile(folder)
}

// readMIBs reads the MIB files of the package, and tells what is left out of them.
func (l *linter) readMIBs() {
	var warnings []mib.Warning
	l.mibs, warnings = PackageMIBs(l.files)
	for _, w := range warnings {
		f := Finding{
			File: path.Join(l.name, mibFolder, w.File), Line: max(w.Line, 1), Column: 1, Rule: ruleFile, Text: w.Text,
			Mend: "mend the MIB file, or put those that it imports from beside it",
		}
		l.report.Warnings = l.put(l.report.Warnings, f)
	}
}

// names puts numbers in place of the names of objects, and warns of those that
// no MIB file of the package and no built-in one has.
func (l *linter) names(parts []*part) {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p *part) bool { return p.source.name != "snmp" })
	if len(parts) == 0 {
		return
	}
	l.objects = mib.Join(l.mibs, l.standards.objects())
	k := compiler{standards: l.standards, options: CompileOptions{MIBs: l.mibs}}
	resolve := func(e *entry, name string) (string, bool) {
		o, ok := k.object(name)
		if !ok {
			l.warn(e.valueAt, ruleUnsupported, "no MIB file of the package, and none of the built-in ones, has "+strconv.Quote(name)+", so the value is left out unless the site has it",
				"put the MIB file into the folder snmp, or write the number")
		}
		return o.oid, ok
	}
	for _, p := range parts {
		l.named(p.dims, resolve)
		l.named(p.metrics, resolve)
	}
}

func (l *linter) named(list []entry, number func(*entry, string) (string, bool)) {
	for i := range list {
		list[i].resolve(number)
		if strings.HasPrefix(list[i].value, "index:") {
			l.warn(list[i].valueAt, ruleOwn, "index: is understood by Edgehold alone", "leave it out of a package that has to run elsewhere too")
		}
	}
}

// resolve looks up the names in the value of an entry.
func (e *entry) resolve(number func(*entry, string) (string, bool)) {
	s, problem, _ := parseSource(e.value)
	if problem != "" || s.kind != plan.FromScalar {
		return
	}
	for _, name := range []string{s.text, s.naming.By} {
		if !isName(name) {
			continue
		}
		if oid, ok := number(e, name); ok {
			e.value = strings.Replace(e.value, "oid:"+name, "oid:"+oid, 1)
		}
	}
}
