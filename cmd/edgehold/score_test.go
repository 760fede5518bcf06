package main

import (
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// What the profiles must reach over all recordings.
const (
	leastPorts   = 1.0
	leastSensors = 0.9
)

// TestScore polls every recording that has expectations as an unknown device
// and counts what was found of what others found there. EDGEHOLD_SCORE=1 also
// tells what was missed, EDGEHOLD_SCORE_ONLY=NAME takes the recordings whose
// name has NAME in it, and EDGEHOLD_SCORE_WRITE=1 writes the table to
// BENCHMARKS.md.
func TestScore(t *testing.T) {
	dir := scoreCorpus(t)
	profiles := scoreProfiles(t)
	files, err := filepath.Glob(filepath.Join(dir, "expected", "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no expectations: %v", err)
	}
	only := os.Getenv("EDGEHOLD_SCORE_ONLY")
	excepted := exceptions(t)
	all := make([]*score, 0, len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json.gz")
		if !strings.Contains(name, only) {
			continue
		}
		s := &score{name: name, excepted: excepted, counts: map[string]*tally{}}
		t.Run(name, func(t *testing.T) { s.run(t, dir, profiles) })
		all = append(all, s)
	}
	if os.Getenv("EDGEHOLD_SCORE") != "" {
		tellMissed(t, all)
	}
	table := scoreTable(all)
	t.Log("\n" + table)
	if os.Getenv("EDGEHOLD_SCORE_WRITE") != "" {
		writeScore(t, table)
	}
	if only == "" {
		holdScore(t, all)
	}
}

func scoreCorpus(t *testing.T) string {
	dir := cmp.Or(os.Getenv("EDGEHOLD_CORPUS"), filepath.Join("..", "..", "..", "shared", "data"))
	dir = filepath.Join(dir, "snmprec")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: no recordings of real devices in %s; set EDGEHOLD_CORPUS", dir)
	}
	return dir
}

// scoreProfiles opens the profiles as they lie in their folder, packed or not. A
// file that is wrong fails the test; the others are scored all the same.
func scoreProfiles(t *testing.T) plan.Profiles {
	const folder = "profiles"
	files := fstest.MapFS{}
	names, err := filepath.Glob(filepath.Join("..", "..", "agent", "extension", folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no profiles: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = &fstest.MapFile{Data: data}
	}
	for {
		profiles, err := extension.OpenProfiles(files, folder)
		if err == nil {
			return profiles
		}
		t.Error(err)
		before := len(files)
		for name := range files {
			if strings.Contains(err.Error(), folder+"/"+name) {
				delete(files, name)
			}
		}
		if len(files) == before {
			t.Fatal("no file is to blame")
		}
	}
}

// holdScore holds the sums against what must be reached.
func holdScore(t *testing.T, all []*score) {
	sum := total(all)
	ports, sensors := sum.counts["ports"], sum.sensors()
	if ports.recall() < leastPorts {
		t.Errorf("%d of %d ports found, want all", ports.found, ports.wanted)
	}
	if sensors.recall() < leastSensors {
		t.Errorf("%d of %d sensors found, want %.0f %%", sensors.found, sensors.wanted, 100*leastSensors)
	}
	for name, c := range sum.counts {
		if c.wrong > 0 {
			t.Errorf("%d wrong values of %s", c.wrong, name)
		}
	}
}

// exceptions reads the expectations that contradict their own recording:
// recording, OID and the reason, with tabs between them.
func exceptions(t *testing.T) map[string]bool {
	data, err := os.ReadFile(filepath.Join("testdata", "score_exceptions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	excepted := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "\t")
		if len(parts) != 3 || parts[2] == "" {
			t.Fatalf("score_exceptions.txt: %q, want recording, OID and reason with tabs between them", line)
		}
		excepted[parts[0]+" "+parts[1]] = true
	}
	return excepted
}

// score is what one recording gave.
type score struct {
	name, profile string
	excepted      map[string]bool
	counts        map[string]*tally // ports, processors, mempools and the classes of sensors
	missed        []string
	points        int

	recorded map[string]float64 // numbers by OID, also those written as texts
	texts    map[string]string
	plan     *plan.Plan
	byKey    map[string][]probes.Point
}

type tally struct{ wanted, found, wrong int }

func (c *tally) recall() float64 {
	if c == nil || c.wanted == 0 {
		return 1
	}
	return float64(c.found) / float64(c.wanted)
}

func (s *score) of(what string) *tally {
	if s.counts[what] == nil {
		s.counts[what] = &tally{}
	}
	return s.counts[what]
}

// sensors adds the classes up.
func (s *score) sensors() *tally {
	sum := &tally{}
	for what, c := range s.counts {
		if class, ok := strings.CutPrefix(what, "sensor "); ok && class != "" {
			sum.wanted, sum.found, sum.wrong = sum.wanted+c.wanted, sum.found+c.found, sum.wrong+c.wrong
		}
	}
	return sum
}

func (s *score) run(t *testing.T, dir string, profiles plan.Profiles) {
	mib, _, err := snmptest.LoadRecording(filepath.Join(dir, s.name+".snmprec"))
	if err != nil {
		t.Fatal(err)
	}
	s.read(t, filepath.Join(dir, s.name+".snmprec"))
	r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.poll(t, r.Addr(), profiles)
	s.plan, err = profiles.For(strings.TrimPrefix(s.texts["1.3.6.1.2.1.1.2.0"], "."), s.texts["1.3.6.1.2.1.1.1.0"], scoreOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.profile = strings.TrimPrefix(s.plan.Extension, "edgehold.")
	s.compare(t, filepath.Join(dir, "expected", s.name+".json.gz"))
	s.byKey, s.recorded, s.texts = nil, nil, nil
}

func scoreOptions() plan.ProfileOptions {
	return plan.ProfileOptions{FeatureSets: []string{"all"}, Interval: 60e9}
}

// poll polls the responder as an entry of the configuration would.
func (s *score) poll(t *testing.T, addr string, profiles plan.Profiles) {
	clock, err := agent.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	kind := snmp.Kind(func(string) (plan.Profiles, error) { return profiles, nil })
	o := kind.Options().(*snmp.Options)
	o.Devices, o.Credentials, o.FeatureSets = []string{addr}, []string{"c"}, scoreOptions().FeatureSets
	tasks, err := kind.New(o, probes.Deps{Clock: clock, Log: zerolog.Nop(), Credentials: map[string]probes.Credential{
		"c": {Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("public")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := tasks[0].Probe.Poll(t.Context())
	if err != nil {
		s.missed = append(s.missed, "poll: "+err.Error())
	}
	if len(batch.Points) == 0 {
		t.Fatalf("no points: %v", err)
	}
	s.points, s.byKey = len(batch.Points), map[string][]probes.Point{}
	for _, p := range batch.Points {
		s.byKey[p.Series.Key()] = append(s.byKey[p.Series.Key()], p)
	}
}

// read takes the numbers and texts of a recording.
func (s *score) read(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.recorded, s.texts = map[string]float64{}, map[string]string{}
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimRight(line, "\r\n"), "|", 3)
		if len(parts) != 3 {
			continue
		}
		oid, text := parts[0], parts[2]
		if plain, isHex := strings.CutSuffix(parts[1], "x"); isHex && plain == "4" {
			raw, _ := hex.DecodeString(text) // what is no hex is no number either
			text = string(raw)
		}
		s.texts[oid] = text
		if f, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			s.recorded[oid] = f
		}
	}
}

// expectation is what others found on a device, as far as it is compared.
type expectation struct {
	Ports struct {
		Discovery struct {
			Ports []expectedPort `json:"ports"`
		} `json:"discovery"`
	} `json:"ports"`
	Sensors struct {
		Discovery struct {
			Sensors []expectedSensor `json:"sensors"`
		} `json:"discovery"`
	} `json:"sensors"`
	Processors struct {
		Discovery struct {
			Processors []expectedProcessor `json:"processors"`
		} `json:"discovery"`
	} `json:"processors"`
	Mempools struct {
		Discovery struct {
			Mempools []expectedPool `json:"mempools"`
		} `json:"discovery"`
	} `json:"mempools"`
}

type expectedPort struct {
	Index   json.Number `json:"ifIndex"`
	Name    string      `json:"ifName"`
	Descr   string      `json:"ifDescr"`
	Ignore  int         `json:"ignore"`
	Deleted int         `json:"deleted"`
}

type expectedSensor struct {
	Class      string   `json:"sensor_class"`
	OID        string   `json:"sensor_oid"`
	Descr      string   `json:"sensor_descr"`
	Divisor    float64  `json:"sensor_divisor"`
	Multiplier float64  `json:"sensor_multiplier"`
	Current    *float64 `json:"sensor_current"`
	Deleted    int      `json:"sensor_deleted"`
}

type expectedProcessor struct {
	OID       string   `json:"processor_oid"`
	Descr     string   `json:"processor_descr"`
	Usage     *float64 `json:"processor_usage"`
	Precision float64  `json:"processor_precision"`
}

type expectedPool struct {
	Descr   string   `json:"mempool_descr"`
	Percent *float64 `json:"mempool_perc"`
	Used    *float64 `json:"mempool_used"`
	Total   *float64 `json:"mempool_total"`
	Deleted int      `json:"mempool_deleted"`
}

func (s *score) compare(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var e expectation
	if err := json.NewDecoder(z).Decode(&e); err != nil {
		t.Fatal(err)
	}
	s.ports(e.Ports.Discovery.Ports)
	for _, x := range e.Sensors.Discovery.Sensors {
		if x.Deleted == 0 && x.Current != nil {
			s.sensor(x)
		}
	}
	for _, x := range e.Processors.Discovery.Processors {
		if x.Usage != nil {
			s.processor(x)
		}
	}
	for _, x := range e.Mempools.Discovery.Mempools {
		if x.Deleted == 0 {
			s.pool(x)
		}
	}
}

func (s *score) miss(what, oid, text string) {
	s.missed = append(s.missed, fmt.Sprintf("%-18s %-44s %s", what, oid, text))
}

func (s *score) ports(wanted []expectedPort) {
	const ifStatus = "com.dynatrace.extension.network_device.if.status"
	names := map[string]bool{}
	for _, p := range s.byKey[ifStatus] {
		for _, key := range []string{"if.name", "if.descr"} {
			names[scoreName(p.Series.Dim(key))] = true
		}
		names["#"+p.Series.Dim("if.idx")] = true
	}
	c := s.of("ports")
	for _, p := range wanted {
		if p.Ignore != 0 || p.Deleted != 0 || s.excepted[s.name+" ifIndex."+p.Index.String()] {
			continue
		}
		c.wanted++
		if names["#"+p.Index.String()] || names[scoreName(cmp.Or(p.Name, p.Descr))] {
			c.found++
		} else {
			s.miss("ports", "ifIndex."+p.Index.String(), cmp.Or(p.Name, p.Descr))
		}
	}
}

func scoreName(s string) string { return strings.Join(strings.Fields(s), " ") }

func (s *score) sensor(x expectedSensor) {
	oid := strings.TrimPrefix(x.OID, ".")
	raw, ok := s.recorded[oid]
	if !ok || s.excepted[s.name+" "+oid] {
		return
	}
	want := raw * cmp.Or(x.Multiplier, 1) / cmp.Or(x.Divisor, 1)
	if !near(want, *x.Current) {
		want = *x.Current // a conversion that is no factor
	}
	s.judge(claim{what: "sensor " + x.Class, oid: oid, descr: x.Descr, value: want, within: 0.0011})
}

func (s *score) processor(x expectedProcessor) {
	oid := strings.TrimPrefix(x.OID, ".")
	if _, ok := s.recorded[oid]; ok && !s.excepted[s.name+" "+oid] {
		s.judge(claim{what: "processors", oid: oid, descr: x.Descr, value: *x.Usage, within: 0.5}) // theirs are whole
	}
}

type claim struct {
	what, oid, descr string
	value, within    float64
}

// says tells whether a value is the one that was claimed.
func (c claim) says(v float64) bool {
	return math.Abs(v-c.value) <= max(c.within, 1e-5*math.Abs(c.value))
}

// judge looks for a point that comes of the OID and has the value.
func (s *score) judge(x claim) {
	c := s.of(x.what)
	c.wanted++
	read, there := false, []string(nil)
	for key, index := range s.readers(x.oid) {
		read = true
		for _, p := range s.byKey[key] {
			id := cmp.Or(p.Series.Dim("sensor.id"), index)
			same := id == index || strings.HasSuffix(x.oid, "."+id)
			if same && x.says(p.Value.Float64()) {
				c.found++
				return
			}
			if id == index && p.Series.Dim("sensor.id") != "" {
				there = append(there, fmt.Sprintf("%s %v", key, p.Value.Float64()))
			}
		}
	}
	text := fmt.Sprintf("= %v  %s", x.value, x.descr)
	switch {
	case len(there) > 0:
		c.wrong++
		text += "  WRONG: " + strings.Join(there, ", ")
	case read:
		text += "  read, but no such point"
	}
	s.miss(x.what, x.oid, text)
}

// readers gives the metrics of the plan that read an OID, and with what index.
func (s *score) readers(oid string) map[string]string {
	found := map[string]string{}
	for _, b := range s.plan.Blocks {
		for _, m := range b.Metrics {
			for _, column := range append([]string{m.Source.OID}, m.Source.Fallback...) {
				if column == oid {
					found[m.Key] = ""
				} else if index, ok := strings.CutPrefix(oid, column+"."); ok && column != "" && b.Table {
					found[m.Key] = index
				}
			}
		}
	}
	return found
}

// pool looks for memory whose use in percent is that of the expectation, or that
// has its name and size: some count caches as free and some as used.
func (s *score) pool(x expectedPool) {
	if x.Percent == nil || x.Total == nil || s.excepted[s.name+" mempool "+x.Descr] {
		return
	}
	const prefix = "com.dynatrace.extension.network_device.memory_"
	c := s.of("mempools")
	c.wanted++
	byName := map[string]map[string]float64{}
	for _, part := range []string{"usage", "used", "free", "total"} {
		for _, p := range s.byKey[prefix+part] {
			name := p.Series.Dim("memory.name")
			if byName[name] == nil {
				byName[name] = map[string]float64{}
			}
			byName[name][part] = p.Value.Float64()
		}
	}
	for name, m := range byName {
		if memoryMatches(name, m, x) {
			c.found++
			return
		}
	}
	text := fmt.Sprintf("= %v %%", *x.Percent)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		text += fmt.Sprintf("  %q %v", name, byName[name])
	}
	s.miss("mempools", x.Descr, text)
}

func memoryMatches(name string, m map[string]float64, x expectedPool) bool {
	percent := -1.0
	used, hasUsed := m["used"]
	free, hasFree := m["free"]
	total, hasTotal := m["total"]
	if usage, ok := m["usage"]; ok {
		percent = usage
	} else if hasUsed && (hasFree || hasTotal) {
		percent = 100 * used / max(total, used+free, 1)
	} else if hasFree && hasTotal {
		percent = 100 * (total - free) / max(total, 1)
	}
	sized := hasTotal && *x.Total > 100 // some are given in percent only
	if sized && math.Abs(total*1024-*x.Total) > 0.03**x.Total {
		return false
	}
	return math.Abs(percent-*x.Percent) <= 1 || sized && scoreName(name) == scoreName(x.Descr)
}

// near allows for what rounding to three places takes away.
func near(a, b float64) bool { return math.Abs(a-b) <= max(0.0011, 1e-5*math.Abs(b)) }
