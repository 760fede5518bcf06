package mib

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The oracle is net-snmp (Debian packages snmp and libsnmp-base): what its
// snmptranslate says of each object of a MIB file has to be what we say. The
// modules that its package lacks are in testdata/base, in short.

const systemMIBs = "/usr/share/snmp/mibs"

func TestOracleSystemMIBs(t *testing.T) {
	needs(t, "snmptranslate", systemMIBs)
	compareWithOracle(t, systemMIBs, "ALL", 300)
}

func TestOracleCorpus(t *testing.T) {
	needs(t, "snmptranslate", systemMIBs)
	corpus := os.Getenv("EDGEHOLD_CORPUS")
	if corpus == "" {
		corpus = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	folder := filepath.Join(corpus, "extensions/geoteo__snmp-lm-sensors/extension/snmp")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("SKIPPED: no public packages at %s, set EDGEHOLD_CORPUS", folder)
	}
	compareWithOracle(t, folder, "LM-SENSORS-MIB", 20)
}

// needs skips aloud where the oracle is missing; where everything is checked it
// has to be there.
func needs(t *testing.T, program string, paths ...string) {
	t.Helper()
	_, err := exec.LookPath(program)
	for _, path := range paths {
		if _, missing := os.Stat(path); missing != nil {
			err = missing
		}
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("the oracle is missing: %v", err)
	}
	t.Skipf("SKIPPED: the oracle is missing (Debian packages snmp, libsnmp-base, python3-pysnmp4-mibs): %v", err)
}

func compareWithOracle(t *testing.T, folder, modules string, atLeast int) {
	ours, warnings := Compile(os.DirFS(folder), compiledBase(t))
	for _, w := range warnings {
		t.Error(w)
	}
	mine := map[string]bool{}
	for _, e := range ours.tables[0].entries {
		mine[e.module] = true
	}
	compared := 0
	for _, want := range oracle(t, folder, modules) {
		if !mine[want.module] || want.macro == "OBJECT-GROUP" || want.macro == "MODULE-COMPLIANCE" {
			continue
		}
		compared++
		got, _, ok := ours.Find(want.module + "::" + want.name)
		if !ok {
			t.Errorf("%s::%s is missing", want.module, want.name)
			continue
		}
		want.compare(t, got)
	}
	if compared < atLeast {
		t.Errorf("only %d objects compared", compared)
	}
	t.Logf("%d objects compared", compared)
}

func compiledBase(t *testing.T) *Set {
	base, warnings := Compile(os.DirFS("testdata/base"))
	for _, w := range warnings {
		t.Error(w)
	}
	return base
}

// said is what snmptranslate prints of one object.
type said struct {
	oid, module, name, macro string
	syntax, hint             string
	enum                     map[int64]string
	indexes, objects         []string
	implied, augments        bool
	access                   bool
}

func (s said) compare(t *testing.T, got Object) {
	t.Helper()
	wrong := func(what string, got, want any) {
		t.Errorf("%s::%s: %s is %v, want %v", s.module, s.name, what, got, want)
	}
	if got.OID != s.oid {
		wrong("OID", got.OID, s.oid)
	}
	types := map[string]Type{
		"INTEGER": Integer, "Integer32": Integer, "Unsigned32": Unsigned, "Counter32": Counter, "Counter64": Counter, "Gauge32": Gauge,
		"TimeTicks": TimeTicks, "OCTET STRING": Octets, "OBJECT IDENTIFIER": OID, "IpAddress": IP, "Opaque": Opaque, "BITS": Bits, "": None,
	}
	if want, ok := types[s.syntax]; !ok || got.Type != want {
		wrong("type", got.Type, s.syntax)
	}
	if got.Hint != s.hint {
		wrong("hint", got.Hint, s.hint)
	}
	if len(got.Enum)+len(s.enum) > 0 && !maps.Equal(got.Enum, s.enum) {
		wrong("enumeration", got.Enum, s.enum)
	}
	if got.Kind == Entry && !s.augments && (!slices.Equal(got.Indexes, s.indexes) || got.Implied != s.implied) {
		wrong("index", got.Indexes, s.indexes)
	}
	if !slices.Equal(got.Objects, s.objects) {
		wrong("objects", got.Objects, s.objects)
	}
	if want := s.kind(); got.Kind != want && (want != Scalar || got.Kind != Column) {
		wrong("kind", got.Kind, want)
	}
}

// kind takes columns for scalars.
func (s said) kind() Kind {
	switch {
	case s.macro == "NOTIFICATION-TYPE" || s.macro == "TRAP-TYPE":
		return Notification
	case s.syntax != "":
		return Scalar
	case s.indexes != nil || s.augments:
		return Entry
	case s.access:
		return Table
	}
	return Other
}

func oracle(t *testing.T, folder, modules string) []said {
	base, err := filepath.Abs("testdata/base")
	if err != nil {
		t.Fatal(err)
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	where := []string{"-M", base + ":" + folder + ":" + systemMIBs, "-m", modules}
	var oids []string
	for _, m := range regexp.MustCompile(`(?m)^"[^"]+"\s+"([0-9.]+)"`).FindAllStringSubmatch(translate(t, append(where, "-Tz")...), -1) {
		oids = append(oids, "."+m[1])
	}
	text := translate(t, append(append(where, "-Td", "-OS"), oids...)...)
	var all []said
	for i, block := range regexp.MustCompile(`(?m)^[\w-]+::[\w.-]+$`).Split(text, -1)[1:] {
		all = append(all, parseSaid(strings.TrimPrefix(oids[i], "."), block))
	}
	if len(all) != len(oids) {
		t.Fatalf("%d objects told of %d", len(all), len(oids))
	}
	return all
}

func translate(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "snmptranslate", args...).Output()
	if err != nil {
		t.Fatalf("run snmptranslate: %v", err)
	}
	return string(out)
}

var (
	saidHead = regexp.MustCompile(`^\s*([\w-]+) ([A-Z-]+)\n\s+-- FROM\t([\w-]+)`)
	saidPart = regexp.MustCompile(`(?m)^  (SYNTAX|DISPLAY-HINT|INDEX|AUGMENTS|OBJECTS|MAX-ACCESS)\s+(.*)$`)
	saidEnum = regexp.MustCompile(`([\w-]+)\((-?\d+)\)`)
)

func parseSaid(oid, block string) said {
	s := said{oid: oid}
	if m := saidHead.FindStringSubmatch(block); m != nil {
		s.name, s.macro, s.module = m[1], m[2], m[3]
	}
	for _, m := range saidPart.FindAllStringSubmatch(block, -1) {
		list := strings.FieldsFunc(m[2], func(r rune) bool { return strings.ContainsRune("{, }", r) })
		switch m[1] {
		case "SYNTAX":
			s.syntax = strings.TrimSpace(regexp.MustCompile(`[({].*`).ReplaceAllString(m[2], ""))
			if _, names, ok := strings.Cut(m[2], "{"); ok {
				s.enum = map[int64]string{}
				for _, e := range saidEnum.FindAllStringSubmatch(names, -1) {
					n, _ := strconv.ParseInt(e[2], 10, 64)
					s.enum[n] = e[1]
				}
			}
		case "DISPLAY-HINT":
			s.hint = strings.Trim(m[2], `"`)
		case "INDEX":
			s.implied = slices.Contains(list, "IMPLIED")
			s.indexes = slices.DeleteFunc(list, func(w string) bool { return w == "IMPLIED" })
		case "AUGMENTS":
			s.augments = true
		case "OBJECTS":
			s.objects = list
		case "MAX-ACCESS":
			s.access = true
		}
	}
	return s
}

// The second oracle is python3-pysnmp4-mibs: the RFCs' modules as another
// compiler read them. It holds the built-in set against typing errors.

const pysnmpMIBs = "/usr/lib/python3/dist-packages/pysnmp_mibs"

var (
	pyObject = regexp.MustCompile(`(?m)^(\w+) = (MibScalar|MibTableColumn|MibTableRow|MibTable|NotificationType)\(\(([\d, ]+)\)(.*)$`)
	pyNames  = regexp.MustCompile(`\("([\w-]+)", (-?\d+)\)`)
	pyEnum   = regexp.MustCompile(`NamedValues\((.*?), \)\)`)
)

func TestOracleBuiltIn(t *testing.T) {
	needs(t, "true", pysnmpMIBs)
	set, compared := BuiltIn(), map[string]int{}
	kinds := map[string]Kind{"MibScalar": Scalar, "MibTableColumn": Column, "MibTableRow": Entry, "MibTable": Table, "NotificationType": Notification}
	for _, module := range []string{
		"IF-MIB", "IP-MIB", "TCP-MIB", "UDP-MIB", "HOST-RESOURCES-MIB", "ENTITY-MIB", "ENTITY-SENSOR-MIB", "UPS-MIB", "BRIDGE-MIB",
		"Q-BRIDGE-MIB", "POWER-ETHERNET-MIB", "Printer-MIB", "BGP4-MIB", "EtherLike-MIB", "RMON-MIB",
	} {
		text, err := os.ReadFile(filepath.Join(pysnmpMIBs, module+".py"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pyObject.FindAllStringSubmatch(string(text), -1) {
			o, _, ok := set.Find(module + "::" + m[1])
			if !ok {
				continue // the built-in set is a selection
			}
			compared[module]++
			oid := strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(m[3], " ", ""), ",", "."), ".")
			if o.OID != oid || o.Kind != kinds[m[2]] {
				t.Errorf("%s::%s is the %v %s, want %s %s", module, m[1], o.Kind, o.OID, m[2], oid)
			}
			if named := pyEnum.FindStringSubmatch(m[4]); named != nil {
				comparePyNames(t, o, named[1]+", )")
			}
		}
		if compared[module] < 5 {
			t.Errorf("%s: only %d objects compared", module, compared[module])
		}
	}
	t.Logf("compared: %v", compared)
}

// TestBuiltInSystemMIBs holds what the built-in set has of net-snmp's own
// modules against their files.
func TestBuiltInSystemMIBs(t *testing.T) {
	needs(t, "true", systemMIBs)
	system, _ := Compile(os.DirFS(systemMIBs))
	compared := 0
	set := BuiltIn()
	for _, e := range set.tables[0].entries {
		if want, _, ok := system.Find(e.module + "::" + e.name); ok {
			compared++
			if got, _, _ := set.Find(e.module + "::" + e.name); brief(got) != brief(want) {
				t.Errorf("got  %s\nwant %s", brief(got), brief(want))
			}
		}
	}
	if compared < 120 {
		t.Errorf("only %d objects compared", compared)
	}
}

func comparePyNames(t *testing.T, o Object, text string) {
	want := map[int64]string{}
	for _, e := range pyNames.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.ParseInt(e[2], 10, 64)
		want[n] = e[1]
	}
	if len(want) > 0 && !maps.Equal(o.Enum, want) {
		t.Errorf("%s::%s: names %v, want %v", o.Module, o.Name, o.Enum, want)
	}
}
