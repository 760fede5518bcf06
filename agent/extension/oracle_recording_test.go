package extension_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// recorded is one line of a recording. Tag is the number of the type alone; the
// value of octets is hex.
type recorded struct{ tag, value string }

type recording map[string]recorded

// readRecording reads a snmprec file: OID|TAG|VALUE.
func readRecording(t *testing.T, file string) recording {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := recording{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		parts := strings.SplitN(strings.TrimRight(lines.Text(), "\r"), "|", 3)
		if len(parts) != 3 {
			continue
		}
		tag, _, variation := strings.Cut(parts[1], ":")
		if variation {
			continue // simulated values are not recorded ones
		}
		value := parts[2]
		switch last := tag[len(tag)-1]; {
		case last == 'x' || last == 'e':
			tag = tag[:len(tag)-1]
			if last == 'e' {
				value = hex.EncodeToString([]byte(value))
			}
			if tag == "64" {
				b, _ := hex.DecodeString(value)
				value = strings.Trim(strings.Join(strings.Fields(fmt.Sprint(b)), "."), "[]")
			}
		case tag == "4":
			value = hex.EncodeToString([]byte(value))
		}
		if tag == "4" && len(value) > 2*plan.MaxText {
			value = value[:2*plan.MaxText]
		}
		if _, again := r[parts[0]]; !again {
			r[parts[0]] = recorded{tag, strings.TrimSpace(value)}
		}
	}
	return r
}

func (c recorded) octets() []byte {
	b, _ := hex.DecodeString(c.value)
	return b
}

// number is the value of a metric, false where it is none.
func (c recorded) number() (float64, bool) {
	if !slices.Contains([]string{"2", "65", "66", "67", "70"}, c.tag) {
		return 0, false
	}
	n, err := strconv.ParseFloat(c.value, 64)
	return n, err == nil
}

// rows are the indices that a column has.
func (r recording) rows(column string) []string {
	var rows []string
	for oid := range r {
		if row, below := strings.CutPrefix(oid, column+"."); below {
			rows = append(rows, row)
		}
	}
	return rows
}

const sysUpTime = "1.3.6.1.2.1.1.3.0"

// later is the recording a minute later: every counter has grown by a step that
// its OID tells, and the clock has gone on.
func (r recording) later() recording {
	next := recording{}
	for oid, c := range r {
		n, err := strconv.ParseUint(c.value, 10, 64)
		step := uint64(len(oid)*7%13 + int(oid[len(oid)-1]-'0') + 1)
		most := uint64(math.MaxUint64)
		if c.tag == "65" {
			most = math.MaxUint32
		}
		if err == nil && (c.tag == "65" || c.tag == "70") && n < most-step {
			c.value = strconv.FormatUint(n+step, 10)
		}
		if oid == sysUpTime && err == nil {
			c.value = strconv.FormatUint(uint64(uint32(n+6000)), 10)
		}
		next[oid] = c
	}
	return next
}

// cell is a recorded value as a probe reads it.
func (c recorded) cell() plan.Cell {
	n, _ := strconv.ParseUint(c.value, 10, 64)
	switch c.tag {
	case "2":
		i, _ := strconv.ParseInt(c.value, 10, 64)
		return plan.Cell{Kind: plan.Integer, Int: i}
	case "4":
		return plan.Cell{Kind: plan.Octets, Text: string(c.octets())}
	case "6", "64":
		return plan.Cell{Kind: plan.Text, Text: c.value}
	case "65":
		return plan.Cell{Kind: plan.Counter32, Uint: n}
	case "66", "67":
		return plan.Cell{Kind: plan.Unsigned, Uint: n}
	case "70":
		return plan.Cell{Kind: plan.Counter64, Uint: n}
	}
	return plan.Cell{}
}

// reading is what a probe that wants these blocks reads of the recording.
func (r recording) reading(blocks []*plan.Block, uptime time.Duration) plan.Reading {
	scalars, tables := plan.Needs(blocks)
	read := plan.Reading{
		Stamp:   probes.Stamp{Boot: probes.BootID{1}, Uptime: uptime, Wall: uptime.Milliseconds()},
		Scalars: map[string]plan.Cell{}, Columns: map[string]map[string]plan.Cell{},
	}
	for _, oid := range append(scalars, sysUpTime) {
		if c, ok := r[oid]; ok && c.cell().Kind != plan.Absent {
			read.Scalars[oid] = c.cell()
		}
	}
	for _, columns := range tables {
		for _, oid := range columns {
			read.Columns[oid] = map[string]plan.Cell{}
			for _, row := range r.rows(oid) {
				if c := r[oid+"."+row].cell(); c.Kind != plan.Absent {
					read.Columns[oid][row] = c
				}
			}
		}
	}
	return read
}

// told writes points as the oracle writes lines.
func told(points []probes.Point) []string {
	var all []string
	for _, p := range points {
		text := p.Series.Key() + " " + p.Series.Type().String()
		for _, d := range p.Series.Dims() {
			text += fmt.Sprintf(" %s=%q", d.Key, d.Value)
		}
		value := fmt.Sprint(p.Value.Float64())
		if p.Value.Form() == probes.FormSummary {
			s := p.Value.Summary()
			value = fmt.Sprintf("min=%v,max=%v,sum=%v,count=%d", s.Min, s.Max, s.Sum, s.Count)
		}
		all = append(all, text+" "+value)
	}
	slices.Sort(all)
	return all
}

// compiled is the plan of a package for an oracle.
func compiled(t *testing.T, files fs.FS, o oracle, mibs *mib.Set) *plan.Plan {
	t.Helper()
	m, _, err := extension.ParseManifest(files, "p")
	if err != nil {
		t.Fatal(err)
	}
	options := extension.CompileOptions{MIBs: mibs}
	if o.site != "" {
		options.Identity, options.Site = extension.IdentitySite, o.site
	}
	p, _, err := extension.Compile(m, extension.Configuration{Name: "c.json", FeatureSets: o.sets, Vars: o.vars}, options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compare polls by a plan twice and holds the lines against the oracle's.
func compare(t *testing.T, p *plan.Plan, o oracle) (points int) {
	t.Helper()
	for _, every := range p.Intervals() {
		var state plan.State
		blocks := p.At(every)
		device := plan.Identity{Address: o.address, Name: o.name, Port: uint16(o.port)}
		for poll, r := range []recording{o.first, o.then} {
			made, _ := plan.Points(blocks, device, r.reading(blocks, time.Duration(poll+1)*time.Minute), &state)
			at := o
			if poll == 0 {
				at.then = o.first
			}
			got, want := told(made), at.expected(int(every/time.Minute), poll == 1)
			if !slices.Equal(got, want) {
				t.Errorf("every %s, poll %d: %s", every, poll, difference(got, want))
			}
			points += len(made)
		}
	}
	return points
}

func difference(got, want []string) string {
	var b strings.Builder
	said := 0
	for _, line := range got {
		if !slices.Contains(want, line) && said < 8 {
			fmt.Fprintf(&b, "\n  not expected: %s", line)
			said++
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) && said < 16 {
			fmt.Fprintf(&b, "\n  missing: %s", line)
			said++
		}
	}
	return fmt.Sprintf("%d lines, want %d%s", len(got), len(want), b.String())
}

func corpusFolder(t *testing.T) string {
	t.Helper()
	root := os.Getenv("EDGEHOLD_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(root, "extensions")); err != nil {
		t.Skipf("SKIPPED: no public packages at %s, set EDGEHOLD_CORPUS", root)
	}
	return root
}

// Every public package of SNMP gives, of every recording of a device, the lines
// that the oracle expects: with none of its feature sets and with all.
func TestPublicPackagesAgainstTheOracle(t *testing.T) {
	root := corpusFolder(t)
	var recordings []string
	for _, name := range []string{
		"bsd-switch-cisco-c3560", "apc_smt750x-nmc2", "bsd-linux-slackware", "bsd-ups-apc-8932", "ios_c3560", "iosxe_c9300",
		"bsd-cloud-arista-dcs-7150s-52-cl", "fortigate", "bsd-windows-server-2003-5-2", "linux_raspberrypi-gpiomonitor",
	} {
		recordings = append(recordings, filepath.Join(root, "snmprec", name+".snmprec"))
	}
	if !testing.Short() {
		recordings, _ = filepath.Glob(filepath.Join(root, "snmprec", "*.snmprec"))
	}
	var cases []oracleCase
	for dir, text := range snmpPackages(t, filepath.Join(root, "extensions")) {
		files, manifest := fstest.MapFS{"extension.yaml": {Data: text}}, parsed(t, text)
		for _, sets := range [][]string{nil, {"all"}} {
			o := oracle{manifest: manifest, sets: sets, vars: map[string]string{}, address: "192.0.2.7", name: "dev.example", port: 161}
			cases = append(cases, oracleCase{dir, compiled(t, files, o, nil), o})
		}
	}
	var mu sync.Mutex
	gave := map[string]int{}
	t.Run("of", func(t *testing.T) {
		for _, file := range recordings {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				first := readRecording(t, file)
				then := first.later()
				for _, c := range cases {
					c.oracle.first, c.oracle.then = first, then
					t.Run(fmt.Sprintf("%s/%v", strings.TrimPrefix(c.dir, root), c.oracle.sets), func(t *testing.T) {
						points := compare(t, c.plan, c.oracle)
						mu.Lock()
						defer mu.Unlock()
						gave[c.dir] += points
					})
				}
			})
		}
	})
	for _, c := range cases {
		if gave[c.dir] == 0 && !strings.Contains(c.dir, "test_data") { // two of these read nothing that exists
			t.Errorf("%s gave no point with any recording", c.dir)
		}
	}
}

// oracleCase is a package with some feature sets, which are held against each
// recording.
type oracleCase struct {
	dir    string
	plan   *plan.Plan
	oracle oracle
}

// snmpPackages reads the manifests with an snmp node, whatever they are called.
func snmpPackages(t *testing.T, root string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		m, _, wrong := extension.ParseManifest(fstest.MapFS{"extension.yaml": {Data: data}}, "p")
		if wrong == nil && slices.Contains(extension.PermissionsOf(m).DataSources, "snmp") {
			all[path] = data
		}
		return err
	})
	if err != nil || len(all) < 8 {
		t.Fatalf("found %d packages: %v", len(all), err)
	}
	return all
}

// symbols are the names of the fixture, as its MIB file has them.
var symbols = strings.NewReplacer(
	"ORACLE-MIB::oracleName", "1.3.6.1.4.1.32473.5.1.2", "oid:oracleState", "oid:1.3.6.1.4.1.32473.5.1.3",
	"ORACLE-MIB::oracleValue", "1.3.6.1.4.1.32473.5.1.4", "oid:oracleFan", "oid:1.3.6.1.4.1.32473.7.0",
	"IF-MIB::ifAdminStatus", "1.3.6.1.2.1.2.2.1.7", "ORACLE-MIB::oracleLoad.0", "1.3.6.1.4.1.32473.6.0", "oid:oracleValue.2", "oid:1.3.6.1.4.1.32473.5.1.4.2",
	// A pinned row is no column for the oracle, which knows no MIB.
	"oid:1.3.6.1.2.1.2.2.1.10.3\"", "oid:pinned.0\"",
)

// The fixture has every feature of a package of SNMP.
func TestFixtureAgainstTheOracle(t *testing.T) {
	dir := filepath.Join("testdata", "oracle")
	text, err := os.ReadFile(filepath.Join(dir, "extension.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	first := readRecording(t, filepath.Join(dir, "device.snmprec"))
	first["pinned.0"] = first["1.3.6.1.2.1.2.2.1.10.3"]
	then := first.later()
	then["pinned.0"] = then["1.3.6.1.2.1.2.2.1.10.3"]
	mibs, warnings := extension.PackageMIBs(os.DirFS(dir))
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	tests := []struct {
		name   string
		sets   []string
		vars   map[string]string
		site   string
		points int
	}{
		{name: "no set"},
		{name: "all", sets: []string{"all"}, vars: map[string]string{"tag": "blue"}},
		{name: "metric", sets: []string{"Metric"}, vars: map[string]string{"portFilter": "$prefix(Gi)", "room": "7 (left)"}},
		{name: "subgroup", sets: []string{"Subgroup", "unknown"}, vars: map[string]string{"portFilter": "$and($contains(1),$not($suffix(/1)))", "kindFilter": "$eq(6)"}},
		{name: "group", sets: []string{"Group"}, vars: map[string]string{"portFilter": `$or($eq("Vlan, one"),$eq(Gi1/0/1))`, "kindFilter": "$eq()"}},
		{name: "site", sets: []string{"all"}, site: "plant-7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars := map[string]string{"portFilter": "", "kindFilter": "", "tag": "", "room": ""}
			for id, value := range tt.vars {
				vars[id] = value
			}
			o := oracle{
				manifest: parsed(t, []byte(symbols.Replace(string(text)))), sets: tt.sets, vars: vars, site: tt.site,
				address: "192.0.2.7", name: "dev.example", port: 1161, first: first, then: then,
				names: map[string]map[int64]string{
					"1.3.6.1.4.1.32473.5.1.3": {1: "ok", 2: "failed"}, "1.3.6.1.4.1.32473.7.0": {0: "stopped", 1: "running"},
					"1.3.6.1.2.1.2.2.1.7": {1: "up", 2: "down", 3: "testing"},
				},
			}
			if points := compare(t, compiled(t, os.DirFS(dir), o, mibs), o); points < 20 {
				t.Errorf("only %d points", points)
			}
		})
	}
}
