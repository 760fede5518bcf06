package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/prometheus"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const (
	shownSite   = "plant-7"
	shownSwitch = "switch-1"
)

// TestShown holds the package against points as a gateway has them: of itself,
// and of a switch with two neighbours, a processor, memory and a sensor.
func TestShown(t *testing.T) {
	points := slices.Concat(switchPoints(t), selfBatch(t).Points)
	constants := []probes.Dimension{{Key: "site", Value: shownSite}}
	var l labeler
	l.Apply(points, &constants)
	for name, hold := range map[string]func(*testing.T, []probes.Point){
		"topology": shownTopology, "processors": shownProcessors, "log records": shownLogRecords, "queries": shownNames,
		"alerts": shownAlerts, "classic topology": shownClassicTopology, "routing": shownRouting,
	} {
		t.Run(name, func(t *testing.T) { hold(t, points) })
	}
}

// linesOf are points as lines, read again.
func linesOf(t *testing.T, points []probes.Point) (lines []fields) {
	t.Helper()
	for _, p := range points {
		text, err := mint.AppendLine(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		line, err := draintest.ParseLine(string(text))
		if err != nil {
			t.Fatal(err)
		}
		f := fields{"metric.key": line.Key}
		for _, d := range line.Dims {
			f[d.Key] = d.Value
		}
		lines = append(lines, f)
	}
	return lines
}

// switchPoints polls a simulated switch with all that its profile can read.
func switchPoints(t *testing.T) (points []probes.Point) {
	t.Helper()
	mib := snmptest.NewSwitch(shownSwitch, 4, 1, time.Now)
	addShownRows(mib)
	responder, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = responder.Close() })
	cfg := entryOf(func(_ *config.Config, o *snmp.Options) {
		o.Devices, o.FeatureSets = []string{responder.Addr()}, []string{"all"}
	})
	once := Once{Config: cfg, Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Log: zerolog.Nop(), Wait: time.Millisecond}
	once.Between = func() { // a counter that stands still gives no line
		mib.Bump(snmptest.MustOID("1.3.6.1.2.1.2.2.1"), func(snmptest.OID) uint64 { return 100 })
		mib.Bump(snmptest.MustOID("1.3.6.1.2.1.31.1.1.1"), func(snmptest.OID) uint64 { return 100 })
	}
	polled, err := once.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range polled {
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		points = append(points, p.Points...)
	}
	return points
}

// addShownRows adds what the simulated switch lacks: LLDP and CDP, a processor,
// memory and a sensor.
func addShownRows(mib *snmptest.MIB) {
	const lldp, cdp = "1.0.8802.1.1.2.1.", "1.3.6.1.4.1.9.9.23.1.2.1.1."
	for oid, v := range map[string]snmptest.Value{
		lldp + "3.1.0":     snmptest.Integer(4), // the switch's own id: a MAC address
		lldp + "3.2.0":     snmptest.OctetString("\x02\xdc\x51\x00\x00\x01"),
		lldp + "3.7.1.2.1": snmptest.Integer(5),
		lldp + "3.7.1.3.1": snmptest.OctetString("Gi1/0/1"),
		lldp + "3.7.1.4.1": snmptest.OctetString("GigabitEthernet1/0/1"),

		lldp + "4.1.1.4.0.1.1":  snmptest.Integer(4),
		lldp + "4.1.1.5.0.1.1":  snmptest.OctetString("\x02\xdc\x51\x00\x00\x09"),
		lldp + "4.1.1.6.0.1.1":  snmptest.Integer(5),
		lldp + "4.1.1.7.0.1.1":  snmptest.OctetString("Te1/1/4"),
		lldp + "4.1.1.8.0.1.1":  snmptest.OctetString("TenGigabitEthernet1/1/4"),
		lldp + "4.1.1.9.0.1.1":  snmptest.OctetString("core-1"),
		lldp + "4.1.1.10.0.1.1": snmptest.OctetString("A core switch"),

		cdp + "4.2.1":  snmptest.OctetString("\xc0\x00\x02\x09"),
		cdp + "5.2.1":  snmptest.OctetString("An access point"),
		cdp + "6.2.1":  snmptest.OctetString("ap-1"),
		cdp + "7.2.1":  snmptest.OctetString("Gi0"),
		cdp + "17.2.1": snmptest.OctetString("ap-1"),

		"1.3.6.1.2.1.25.3.3.1.2.1":   snmptest.Integer(17),
		"1.3.6.1.4.1.2021.4.5.0":     snmptest.Integer(1000),
		"1.3.6.1.4.1.2021.4.6.0":     snmptest.Integer(400),
		"1.3.6.1.2.1.47.1.1.1.1.2.1": snmptest.OctetString("Sensor"),
		"1.3.6.1.2.1.47.1.1.1.1.5.1": snmptest.Integer(8),
		"1.3.6.1.2.1.47.1.1.1.1.7.1": snmptest.OctetString("inlet"),
		"1.3.6.1.2.1.99.1.1.1.1.1":   snmptest.Integer(8), // celsius
		"1.3.6.1.2.1.99.1.1.1.2.1":   snmptest.Integer(9), // units
		"1.3.6.1.2.1.99.1.1.1.3.1":   snmptest.Integer(0),
		"1.3.6.1.2.1.99.1.1.1.4.1":   snmptest.Integer(21),
		"1.3.6.1.2.1.99.1.1.1.5.1":   snmptest.Integer(1),
		"1.3.6.1.2.1.31.1.1.1.18.1":  snmptest.OctetString("uplink"),
		"1.3.6.1.2.1.1.4.0":          snmptest.OctetString("the plant's office"),
		"1.3.6.1.2.1.1.6.0":          snmptest.OctetString("hall 2"),
		"1.3.6.1.2.1.25.2.3.1.2.1":   snmptest.ObjectID(snmptest.OID{1, 3, 6, 1, 2, 1, 25, 2, 1, 2}),
		"1.3.6.1.2.1.25.2.3.1.3.1":   snmptest.OctetString("Physical memory"),
		"1.3.6.1.2.1.25.2.3.1.4.1":   snmptest.Integer(1024),
		"1.3.6.1.2.1.25.2.3.1.5.1":   snmptest.Integer(1000),
		"1.3.6.1.2.1.25.2.3.1.6.1":   snmptest.Integer(600),
	} {
		mib.Set(snmptest.MustOID(oid), v)
	}
}

// countedProbe is a probe that counts, as the one of SNMP does.
type countedProbe struct{}

func (countedProbe) Poll(context.Context) (probes.Batch, error) { return probes.Batch{}, nil }
func (countedProbe) PollStats() probes.PollStats                { return probes.PollStats{} }

// selfBatch is what a gateway tells of itself, of three endpoints that fail and
// of a package.
func selfBatch(t *testing.T) probes.Batch {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	states := func() []taskState {
		last := result{Polls: 1, Status: probes.StatusDeviceConnectionError, Sum: totals{Requests: 4, Retries: 1, Timeouts: 1, Strays: 1}}
		return []taskState{
			{Task: probes.Task{Device: "192.0.2.1", Label: "192.0.2.1:161", Config: "snmp", Interval: time.Minute, Probe: countedProbe{}}, Last: last},
			{Task: probes.Task{Device: "192.0.2.2", Label: "http://192.0.2.2/", Config: "http", Interval: time.Minute}, Last: last},
			{Task: probes.Task{Device: "192.0.2.3:9100", Label: "http://192.0.2.3:9100/metrics x", Config: "http", Interval: time.Minute, Probe: &prometheus.Probe{}}, Last: last},
		}
	}
	x := &judged{Name: "custom:x", Version: "1.0.0"}
	task := newSelfTask(&selfProbe{
		clock: clock, store: store, states: states, floor: time.Now,
		certificates: func() []certificateLife {
			return []certificateLife{{extension: "custom:x", signer: "CN=anna", days: 29}}
		},
		entries: func() []entryState { return []entryState{{Name: "snmp", Judged: x}, {Name: "http", Judged: x}} },
	})
	batch, err := task.Probe.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// topologyOf runs a pipeline over records and tells what it makes: nodes as
// "TYPE id name", edges as "id -type-> id". The records keep what is added.
func (p shownPipeline) topologyOf(t *testing.T, records []fields) (nodes, edges map[string]bool) {
	t.Helper()
	nodes, edges = map[string]bool{}, map[string]bool{}
	for _, f := range records {
		for _, x := range p.processors() {
			if !mustMatcher(t, x.Matcher).fits(f) {
				continue
			}
			switch {
			case x.DQL != nil:
				var to, from string
				if n, _ := fmt.Sscanf(strings.NewReplacer("=array(", " ", ")", "").Replace(x.DQL.Script), "fieldsAdd %s %s", &to, &from); n != 2 || f[from] == "" {
					t.Errorf("%s: %s: nothing becomes of %v", x.ID, x.DQL.Script, f)
				}
				f[to] = "[" + f[from] + "]"
			case x.SmartscapeNode != nil:
				x.SmartscapeNode.apply(t, f, nodes, edges)
			default:
				addEdge(f, *x.SmartscapeEdge, edges)
			}
		}
	}
	return nodes, edges
}

func (n *shownNode) apply(t *testing.T, f fields, nodes, edges map[string]bool) {
	t.Helper()
	var parts []string
	for _, c := range n.IDComponents {
		if f[c.ReferencedFieldName] == "" {
			t.Errorf("%s: %s is missing in %v", n.NodeType, c.ReferencedFieldName, f)
		}
		parts = append(parts, f[c.ReferencedFieldName])
	}
	f[n.NodeIDFieldName] = strings.Join(parts, " ")
	if !n.ExtractNode {
		return
	}
	nodes[n.NodeType+" "+f[n.NodeIDFieldName]+" is "+f[n.NodeName.Field.SourceFieldName]] = true
	for _, e := range n.StaticEdgesToExtract {
		addEdge(f, shownEdge{SourceIDFieldName: n.NodeIDFieldName, EdgeType: e.EdgeType, TargetIDFieldName: e.TargetIDFieldName}, edges)
	}
}

func addEdge(f fields, e shownEdge, edges map[string]bool) {
	if from, to := f[e.SourceIDFieldName], f[e.TargetIDFieldName]; from != "" && to != "" {
		edges[from+" -"+e.EdgeType+"-> "+to] = true
	}
}

const (
	shownMAC  = "02:dc:51:00:00:01" // of the switch
	shownPeer = "02:dc:51:00:00:09" // of its neighbour
)

// The metrics pipeline makes nodes and links of the lines that a gateway sends,
// and of no more.
func shownTopology(t *testing.T, points []probes.Point) {
	lines := linesOf(t, points)
	nodes, edges := readShownPipeline(t, "metrics").topologyOf(t, lines)
	want := []string{
		"EXT_NETWORK_DEVICE " + shownMAC + " is " + shownSwitch,
		"EXT_NETWORK_DEVICE " + shownPeer + " is core-1", // the other neighbour has no MAC address
		"EXT_EDGEHOLD_SITE " + shownSite + " is " + shownSite,
		"EXT_EDGEHOLD_GATEWAY " + shownSite + " is " + shownSite,
	}
	links := []string{
		shownSite + " -belongs_to-> " + shownSite,
		shownSite + " -calls-> " + shownMAC,
		shownPeer + " -calls-> " + shownMAC,
		"Te1/1/4 " + shownPeer + " -calls-> Gi1/0/1 " + shownMAC,
	}
	for i := 1; i <= 4; i++ {
		name := fmt.Sprintf("Gi1/0/%d", i)
		want = append(want, "EXT_NETWORK_INTERFACE "+name+" "+shownMAC+" is "+name)
		links = append(links, name+" "+shownMAC+" -belongs_to-> "+shownMAC)
	}
	for what, sets := range map[string][2][]string{"nodes": {want, slices.Collect(maps.Keys(nodes))}, "edges": {links, slices.Collect(maps.Keys(edges))}} {
		slices.Sort(sets[0])
		slices.Sort(sets[1])
		if !slices.Equal(sets[0], sets[1]) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(sets[1], "\n"), strings.Join(sets[0], "\n"))
		}
	}
	for _, f := range lines {
		if f["chassis.mac"] != "" && f["dt.smartscape.ext_network_device"] != shownMAC || f["dt.smartscape.ext_edgehold_gateway"] != shownSite {
			t.Errorf("not tagged: %v", f)
		}
	}
}

// fromEnvironment are the fields that the environment adds itself.
var fromEnvironment = []string{"dt.entity.network:device"}

// Every processor acts on some line, and every field it reads is there.
func shownProcessors(t *testing.T, points []probes.Point) {
	checkProcessors(t, readShownPipeline(t, "metrics"), linesOf(t, points))
	checkProcessors(t, readShownPipeline(t, "logs"), logRecords(t))
}

func checkProcessors(t *testing.T, p shownPipeline, records []fields) {
	t.Helper()
	p.topologyOf(t, records)
	for _, x := range p.processors() {
		m := mustMatcher(t, x.Matcher)
		wanted := maps.Clone(m.reads)
		if n := x.SmartscapeNode; n != nil {
			for _, c := range n.IDComponents {
				wanted[c.ReferencedFieldName] = true
			}
			for _, e := range n.FieldsToExtract {
				wanted[e.ReferencedFieldName] = true
			}
			if n.ExtractNode {
				wanted[n.NodeName.Field.SourceFieldName] = true
			}
		}
		acts := false
		for _, f := range records {
			if m.fits(f) {
				acts = true
				maps.DeleteFunc(wanted, func(key string, _ bool) bool { return f[key] != "" })
			}
		}
		for _, key := range fromEnvironment {
			delete(wanted, key)
		}
		if !acts || len(wanted) > 0 {
			t.Errorf("%s: acts on a line: %v; no line that it acts on has %q", x.ID, acts, slices.Sorted(maps.Keys(wanted)))
		}
	}
}

// lateRecord is a log record of the worked example of an outage.
func lateRecord(t *testing.T) fields {
	t.Helper()
	data, err := os.ReadFile(outageFile)
	if err != nil {
		t.Fatal(err)
	}
	var pictures outagePictures
	if err := json.Unmarshal(data, &pictures); err != nil {
		t.Fatal(err)
	}
	return recordFields(pictures.Environment.Record)
}

// logRecords are the kinds of records that a gateway sends: late measurements,
// what it says about endpoints, and traps.
func logRecords(t *testing.T) []fields {
	t.Helper()
	all := []fields{lateRecord(t)}
	constants := []probes.Dimension{{Key: "site", Value: shownSite}}
	for _, r := range append(selfBatch(t).Records, trapRecord(t)) {
		r.Attributes = withConstants(r.Attributes, &constants)
		var sent map[string]any
		if err := json.Unmarshal(record.AppendLogItem(nil, r), &sent); err != nil {
			t.Fatal(err)
		}
		all = append(all, recordFields(sent))
	}
	if len(all) != 5 {
		t.Fatalf("%d records, want three of endpoints beside the others", len(all))
	}
	return all
}

func recordFields(sent map[string]any) fields {
	f := fields{}
	for key, v := range sent {
		f[key] = fmt.Sprint(v)
	}
	return f
}

// trapRecord is a record of a trap, as far as the package uses its attributes.
func trapRecord(t *testing.T) probes.Record {
	t.Helper()
	code, err := os.ReadFile("../probes/snmp/trap_record.go")
	if err != nil {
		t.Fatal(err)
	}
	attributes := []probes.Dimension{{Key: "log.source", Value: "snmptraps"}, {Key: "snmp.trap_oid", Value: "1.3.6.1.6.3.1.1.5.3"}}
	for _, a := range attributes {
		if !strings.Contains(string(code), `{Key: "`+a.Key+`"`) {
			t.Errorf("records of traps no longer have %s", a.Key)
		}
	}
	return probes.Record{Content: "SNMP trap", Attributes: append(attributes, probes.Dimension{Key: "device.address", Value: "192.0.2.1"})}
}

// A log record leads to its gateway, and where it names them to the device and
// the interface.
func shownLogRecords(t *testing.T, _ []probes.Point) {
	records := logRecords(t)
	nodes, edges := readShownPipeline(t, "logs").topologyOf(t, records)
	if len(nodes)+len(edges) > 0 {
		t.Errorf("nodes %v and edges %v of log records", nodes, edges)
	}
	for _, f := range records {
		port := ""
		if f["if.name"] != "" {
			port = f["if.name"] + " " + f["chassis.mac"]
		}
		if f["dt.smartscape.ext_network_device"] != f["chassis.mac"] || f["dt.smartscape.ext_network_interface"] != port || f["dt.smartscape.ext_edgehold_gateway"] != f["site"] {
			t.Errorf("record %v", f)
		}
	}
}
