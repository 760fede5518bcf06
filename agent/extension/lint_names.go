package extension

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

const mibFolder = "snmp"

// PackageMIBs reads the MIB files of a package, which may import from those of
// the site and from the built-in ones. The set is for CompileOptions: it has the
// objects of the package and of the site.
func PackageMIBs(files fs.FS, site ...*mib.Set) (*mib.Set, []mib.Warning) {
	folder, err := fs.Sub(files, mibFolder)
	if err == nil {
		_, err = fs.Stat(folder, ".")
	}
	if err != nil {
		return mib.Join(site...), nil
	}
	own, warnings := mib.Compile(folder, append(slices.Clone(site), mib.BuiltIn())...)
	return mib.Join(append([]*mib.Set{own}, site...)...), warnings
}

// names puts numbers in place of the names of objects, and warns of those that
// no MIB file of the package and no built-in one has.
func (l *linter) names(parts []*part) {
	var k compiler
	resolve := func(e *entry, name string) (string, bool) {
		if k.options.MIBs == nil {
			k.options.MIBs, _ = PackageMIBs(l.files)
		}
		o, ok := k.object(name)
		if !ok {
			l.warn(e.valueAt, ruleUnsupported, "no MIB file of the package, and none of the built-in ones, has "+strconv.Quote(name)+", so the value is left out unless the site has it",
				"put the MIB file into the folder snmp, or write the number")
		}
		return o.oid, ok
	}
	for _, p := range parts {
		if p.source.name != "snmp" {
			continue
		}
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
