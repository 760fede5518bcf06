package extension

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// TestEmbeddedProfiles compiles every profile of the folder with all it has. An
// error names the file, the line and the key.
func TestEmbeddedProfiles(t *testing.T) {
	opened, err := OpenProfiles(os.DirFS("profiles"), "profiles")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range opened.Names() {
		t.Run(name, func(t *testing.T) {
			p, err := opened.Named(name, plan.ProfileOptions{FeatureSets: []string{"all"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range p.Blocks {
				checkBlock(t, b)
			}
		})
	}
}

func embeddedProfiles(t testing.TB) *Profiles {
	t.Helper()
	opened, err := OpenProfiles(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// Every series of every profile says which device it is of.
func TestEmbeddedProfilesNameTheDevice(t *testing.T) {
	opened := embeddedProfiles(t)
	for _, name := range opened.Names() {
		p, err := opened.Named(name, plan.ProfileOptions{FeatureSets: []string{"all"}})
		if err != nil || len(opened.byName[name].ids) == 0 && name != GenericProfile {
			continue
		}
		for _, b := range p.Blocks {
			for _, key := range []string{"sys.name", "device.address", "chassis.mac", "monitoring.mode", "device.type"} {
				if !slices.ContainsFunc(b.Dims, func(d plan.Dim) bool { return d.Key == key }) {
					t.Errorf("%s: block %s lacks the dimension %s", name, b.Path, key)
				}
			}
		}
	}
}

// The lean default of a device: these interface metrics and no others.
func TestInterfacesAreLean(t *testing.T) {
	keys := func(sets ...string) string {
		p, err := embeddedProfiles(t).Named("interfaces", plan.ProfileOptions{FeatureSets: sets, Interval: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, b := range p.Blocks {
			filters := 0
			for _, d := range b.Dims {
				if d.Filter != nil {
					filters++
				}
			}
			for _, m := range b.Metrics {
				all = append(all, fmt.Sprintf("%s %d", strings.TrimPrefix(m.Key, "com.dynatrace.extension.network_device."), filters))
			}
		}
		return strings.Join(all, "\n")
	}
	lean := `if.status 2
if.bytes_in.count 2
if.bytes_out.count 2
if.in.errors.count 2
if.out.errors.count 2
if.in.discards.count 2
if.out.discards.count 2`
	if got := keys(); got != lean {
		t.Errorf("got\n%s\nwant\n%s", got, lean)
	}
	if got, want := keys("interfaces-all"), strings.ReplaceAll(lean, " 2", " 0"); got != want {
		t.Errorf("interfaces-all: got\n%s\nwant\n%s", got, want)
	}
	if got := keys("packets"); strings.Count(got, "_pkts.count") != 6 || !strings.Contains(got, "if.in.crc_errors.count") {
		t.Errorf("packets: got\n%s", got)
	}
}

const siteBase = `name: site.base
version: 1.0.0
profile: {device.type: base, walk: {bulk: false}}
dimensions:
  - {key: type, value: "this:device.type"}
  - {key: where, value: "const:base"}
snmp:
  - group: g
    dimensions: [{key: level, value: "const:group"}]
    subgroups:
      - {subgroup: a, metrics: [{key: a, value: "oid:1.3.6.1.1.0"}]}
      - {subgroup: b, metrics: [{key: b, value: "oid:1.3.6.1.2.0"}]}
`

// openSite opens the profiles of a site beside a few of the program.
func openSite(t testing.TB, files map[string]string) (*Profiles, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return openProfiles(fewProfiles(t), fsys, "site")
}

func fewProfiles(t testing.TB) string {
	t.Helper()
	few := []packedFile{{"generic.yaml", []byte("name: edgehold.generic\nversion: 1.0.0\nprofile: {extends: [edgehold.base, edgehold.interfaces]}\n")}}
	for _, name := range []string{"base.yaml", "interfaces.yaml"} {
		data, err := os.ReadFile("profiles/" + name)
		if err != nil {
			t.Fatal(err)
		}
		few = append(few, packedFile{name, data})
	}
	text, err := pack(few)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestProfileExtends(t *testing.T) {
	opened, err := openSite(t, map[string]string{
		"base.yaml": siteBase,
		"child.yaml": `name: site.child
version: 1.2.3
profile: {sysobjectid: [1.3.6.1.4.1.99999.*], extends: [site.base]}
dimensions: [{key: where, value: "const:child"}]
snmp:
  - group: g
    subgroups:
      - {subgroup: b, metrics: [{key: b2, value: "oid:1.3.6.1.3.0"}]}
      - subgroup: c
        dimensions: [{key: level, value: "const:subgroup"}]
        metrics: [{key: c, value: "oid:1.3.6.1.4.0"}]
  - {group: h, metrics: [{key: h, value: "oid:1.3.6.1.5.0"}]}
`,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := opened.For(".1.3.6.1.4.1.99999.1", "", plan.ProfileOptions{Interval: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := `g/a 30s a: type=child where=child level=group
g/b 30s b2: type=child where=child level=group
g/c 30s c: type=child where=child level=subgroup
h 30s h: type=child where=child
`
	var got strings.Builder
	for _, b := range p.Blocks {
		fmt.Fprintf(&got, "%s %s %s:", b.Path, b.Interval, b.Metrics[0].Key)
		for _, d := range b.Dims {
			fmt.Fprintf(&got, " %s=%s", d.Key, d.Source.Text)
		}
		got.WriteByte('\n')
	}
	want = strings.ReplaceAll(want, "type=child", "type=base")
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if p.Extension != "site.child" || p.Version != "1.2.3" || !p.Walk.NoBulk {
		t.Errorf("plan %s %s %+v", p.Extension, p.Version, p.Walk)
	}
	again, err := opened.Named("site.child", plan.ProfileOptions{Interval: 30 * time.Second})
	if err != nil || again != p {
		t.Errorf("the plan is not shared: %v", err)
	}
}

func TestProfileMatch(t *testing.T) {
	head := func(name, ids, rest string) string {
		return "name: site." + name + "\nversion: 1.0.0\nprofile:\n  sysobjectid: [" + ids + "]\n" + rest
	}
	opened, err := openSite(t, map[string]string{
		"1.yaml": head("vendor", "1.3.6.1.4.1.99999.*", ""),
		"2.yaml": head("family", "1.3.6.1.4.1.99999.1.*", ""),
		"3.yaml": head("model", "1.3.6.1.4.1.99999.1.7, 1.3.6.1.4.1.99999.2.7", ""),
		"4.yaml": head("special", "1.3.6.1.4.1.99999.1.*", "  sysdescr: (?i)outdoor\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ id, descr, want string }{
		{"1.3.6.1.4.1.99999.5", "", "site.vendor"},
		{"1.3.6.1.4.1.99999", "", "site.vendor"},
		{"1.3.6.1.4.1.999990", "", "edgehold.generic"},
		{"1.3.6.1.4.1.99999.1.3", "", "site.family"},
		{"1.3.6.1.4.1.99999.1.3", "an Outdoor switch", "site.special"},
		{"1.3.6.1.4.1.99999.1.7", "an Outdoor switch", "site.model"},
		{"1.3.6.1.4.1.99999.1.7.1", "", "site.family"},
		{"1.3.6.1.4.1.99999.2.7", "", "site.model"},
		{"", "", "edgehold.generic"},
	} {
		p, err := opened.For(tt.id, tt.descr, plan.ProfileOptions{})
		if err != nil || p.Extension != tt.want {
			t.Errorf("%s %q: %v %v, want %s", tt.id, tt.descr, p, err, tt.want)
		}
	}
}

// A site's profile takes the place of one of the program, also for those that
// extend it.
func TestSiteReplaces(t *testing.T) {
	opened, err := openSite(t, map[string]string{
		"interfaces.yaml": "name: edgehold.interfaces\nversion: 9.9.9\nprofile: {}\nsnmp: [{group: interfaces, metrics: [{key: only, value: 'oid:1.3.6.1.1.0'}]}]\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := opened.Named("generic", plan.ProfileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	only := slices.ContainsFunc(p.Blocks, func(b plan.Block) bool { return b.Metrics[0].Key == "only" })
	if old := slices.ContainsFunc(p.Blocks, func(b plan.Block) bool { return b.Path == "interfaces/traffic" }); !only || old {
		t.Errorf("the site's group is there: %t, the replaced one: %t", only, old)
	}
	if own := embeddedProfiles(t); own.Sum() == opened.Sum() {
		t.Error("the sum does not change with a site's profile")
	}
}

func TestProfileErrors(t *testing.T) {
	const head = "name: site.a\nversion: 1.0.0\nprofile: {}\n"
	subgroup := func(rest string) string {
		return head + "snmp:\n  - group: g\n    subgroups:\n      - subgroup: s\n        table: true\n" + rest
	}
	metric := func(rest string) string {
		return subgroup("        metrics:\n          - {key: k, value: 'oid:1.3.6.1.2', " + rest + "}\n")
	}
	dimension := func(rest string) string {
		return subgroup("        dimensions:\n          - {" + rest + "}\n        metrics: [{key: k, value: 'oid:1.3.6.1.2'}]\n")
	}
	for want, text := range map[string]string{
		"site/a.yaml:1:1: name: missing":                                                 "version: 1.0.0\nprofile: {}\n",
		"site/a.yaml:1:1: profile: missing, expected an object":                          "name: site.a\nversion: 1.0.0\n",
		"site/a.yaml:3:11: profile.sysobjectids: unknown key, left alone, did":           "name: site.a\nversion: 1.0.0\nprofile: {sysobjectids: []}\n",
		"profile.sysobjectid[0]: found \"x\", expected an OID":                           "name: site.a\nversion: 1.0.0\nprofile: {sysobjectid: [x]}\n",
		"profile.sysdescr: found \"(\", which is no regular expression":                  "name: site.a\nversion: 1.0.0\nprofile: {sysdescr: '('}\n",
		"profile.walk.max_repetitions: found 0, expected a whole number":                 "name: site.a\nversion: 1.0.0\nprofile: {walk: {max_repetitions: 0}}\n",
		"profile.extends: there is no profile edgehold.bse, did you mean edgehold.base?": "name: site.a\nversion: 1.0.0\nprofile: {extends: [edgehold.bse]}\n",
		"profile.extends: site.a extends itself by way of site.a, site.a":                "name: site.a\nversion: 1.0.0\nprofile: {extends: [site.a]}\n",
		"site/a.yaml:10:46: snmp[0].subgroups[0].metrics[0].devisor: unknown key":        metric("devisor: 10"),
		"metrics[0].divisor: found 0, expected another number":                           metric("divisor: 0"),
		"metrics[0].divisor: found a text, expected a number":                            metric("divisor: ten"),
		"metrics[0].offset: found a list, expected a number":                             metric("offset: [1]"),
		"metrics[0].states.up: expected a whole number as the key":                       metric("states: {up: 1}"),
		"metrics[0].states.1: found a text, expected a number":                           metric("states: {1: up}"),
		"metrics[0].na[1]: found true or false, expected a number":                       metric("na: [-1, true]"),
		"metrics[0].scale: found \"x\", expected an OID":                                 metric("scale: x"),
		"metrics[0].type: found \"counter\", expected gauge or count":                    metric("type: counter"),
		"metrics[0].join: found index:0, expected index:, index:2":                       metric("join: 'index:0'"),
		"metrics[0].fallback[0]: found \"ifName\", expected an OID":                      metric("fallback: ['oid:ifName']"),
		"dimensions[0].value: found index:3-2, expected index:":                          dimension("key: d, value: 'index:3-2'"),
		"dimensions[0].text: found \"mak\", expected text, hex, mac":                     dimension("key: d, value: 'oid:1.3.6.1.1', text: mak"),
		"dimensions[0].enum.up: expected a whole number as the key":                      dimension("key: d, value: 'oid:1.3.6.1.1', enum: {up: 1}"),
		"dimensions[0].join: only a column of a table can be joined":                     dimension("key: d, value: 'const:1', join: 'index:1'"),
		"dimensions[0].key: missing":                                                     dimension("value: 'oid:1.3.6.1.1'"),
		"dimensions[0].filter: filter at position 1":                                     dimension("key: d, value: 'oid:1.3.6.1.1', filter: 'const:x'"),
		"snmp[0].subgroups[0].rows: found \"x\", expected an OID":                        subgroup("        rows: x\n"),
	} {
		_, err := openSite(t, map[string]string{"a.yaml": text})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got\n%v", want, err)
		}
	}
	_, err := openSite(t, map[string]string{"a.yaml": head, "b.yaml": head})
	if want := "site/b.yaml: name: site.a is the name of the profile in site/a.yaml too"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %s, got %v", want, err)
	}
}

func TestUnknownProfile(t *testing.T) {
	_, err := embeddedProfiles(t).Named("generc", plan.ProfileOptions{})
	if want := `unknown profile "generc", did you mean generic?`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = embeddedProfiles(t).Named("generic", plan.ProfileOptions{InterfaceFilter: "Gi"})
	if want := "interface_filter: filter at position 1"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// The keys of a profile come out as the plan has them.
func TestOwnKeys(t *testing.T) {
	opened, err := openSite(t, map[string]string{"a.yaml": `name: site.a
version: 1.0.0
profile: {}
snmp:
  - group: g
    subgroups:
      - subgroup: s
        table: true
        rows: oid:1.3.6.1.9.1
        highspeed: oid:1.3.6.1.9.2
        discontinuity: oid:1.3.6.1.9.3
        identity: [name]
        dimensions:
          - {key: name, value: "oid:1.3.6.1.1", fallback: ["oid:1.3.6.1.2"], text: mac}
          - {key: slot, value: "index:2"}
          - {key: rest, value: "index:3-", text: ip}
          - {key: last, value: "index:-1"}
          - {key: part, value: "index:2-5"}
          - {key: all, value: "index:"}
          - {key: model, value: "oid:1.3.6.1.3", join: "index:2"}
          - {key: parent, value: "oid:1.3.6.1.3", join: "oid:1.3.6.1.4"}
          - {key: mode, value: "oid:1.3.6.1.5", enum: {1: on(1), 2: "off"}}
          - {value: "oid:1.3.6.1.6", filter: "const:$eq(1)", unless: more}
        metrics:
          - {key: m, value: "oid:1.3.6.1.7", signed: true, na: [-1, N/A], divisor: 10, multiplier: 1024, offset: -273.15}
          - {key: n, value: "oid:1.3.6.1.8", parse: true, scale: "oid:1.3.6.1.10", precision: "oid:1.3.6.1.11", units: "oid:1.3.6.1.12", states: {2: 1}, ticks: true}
`})
	if err != nil {
		t.Fatal(err)
	}
	p, err := opened.Named("site.a", plan.ProfileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := p.Blocks[0]
	got := fmt.Sprintf("%s %s %s %v\n", b.Rows, b.HighSpeed, b.Discontinuity, b.Identity)
	for _, d := range b.Dims {
		s := d.Source
		got += fmt.Sprintf("%s: %d %s%v %d %v %t %s %v %s\n", d.Key, s.Kind, s.OID, s.Fallback, s.Form, s.Arcs, s.Join, s.JoinBy, d.Enum, d.Filter)
	}
	for _, m := range b.Metrics {
		got += fmt.Sprintf("%+v\n", m.Number)
	}
	want := `1.3.6.1.9.1 1.3.6.1.9.2 1.3.6.1.9.3 [name]
name: 2 1.3.6.1.1[1.3.6.1.2] 3 {0 0} false  map[] 
slot: 6 [] 0 {1 1} false  map[] 
rest: 6 [] 4 {2 0} false  map[] 
last: 6 [] 0 {-1 1} false  map[] 
part: 6 [] 0 {1 4} false  map[] 
all: 6 [] 0 {0 0} false  map[] 
model: 2 1.3.6.1.3[] 0 {1 1} true  map[] 
parent: 2 1.3.6.1.3[] 0 {0 0} true 1.3.6.1.4 map[] 
mode: 2 1.3.6.1.5[] 0 {0 0} false  map[1:on(1) 2:off] 
: 2 1.3.6.1.6[] 0 {0 0} false  map[] $eq(1)
{Signed:true NA:[-1] NAText:[N/A] Multiplier:1024 Divisor:10 Offset:-273.15 Parse:false Scale: Precision: Units: States:map[] Ticks:false}
{Signed:false NA:[] NAText:[] Multiplier:0 Divisor:0 Offset:0 Parse:true Scale:1.3.6.1.10 Precision:1.3.6.1.11 Units:1.3.6.1.12 States:map[2:1] Ticks:true}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	lifted, err := opened.Named("site.a", plan.ProfileOptions{FeatureSets: []string{"more"}, InterfaceFilter: "$eq(x)"})
	if err != nil || lifted.Blocks[0].Dims[9].Filter != nil {
		t.Errorf("the feature set does not lift the filter: %v", err)
	}
	if sets, err := opened.FeatureSets(); err != nil || !slices.Contains(sets, "more") || !slices.Contains(sets, "packets") {
		t.Errorf("feature sets %v %v", sets, err)
	}
}

func TestInterfaceFilter(t *testing.T) {
	p, err := embeddedProfiles(t).Named("interfaces", plan.ProfileOptions{InterfaceFilter: "$prefix(Gi)"})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range p.Blocks {
		last := b.Dims[len(b.Dims)-1]
		if last.Key != "" || last.Filter.String() != "$prefix(Gi)" || last.Source.OID != "1.3.6.1.2.1.31.1.1.1.1" {
			t.Errorf("block %s: last dimension %+v", b.Path, last)
		}
	}
}

func TestEstimatePoints(t *testing.T) {
	opened, err := openSite(t, map[string]string{"a.yaml": `name: site.a
version: 1.0.0
profile: {extends: [edgehold.base, edgehold.interfaces]}
snmp:
  - group: sensors
    subgroups:
      - {subgroup: s, table: true, metrics: [{key: m, value: "oid:1.3.6.1.7"}, {key: n, value: "oid:1.3.6.1.8"}]}
`})
	if err != nil {
		t.Fatal(err)
	}
	p, err := opened.Named("site.a", plan.ProfileOptions{Interval: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	e := EstimatePoints(p, 24, time.Minute)
	want := []BlockEstimate{
		{"device/system", 1, 288}, {"interfaces/state", 24, 24 * 288}, {"interfaces/traffic", 24, 6 * 24 * 288}, {"sensors/s", 0, 2 * 288},
	}
	if e.PerDay != (1+7*24)*288 || !slices.Equal(e.Blocks, want) {
		t.Errorf("got %+v, want %+v", e, want)
	}
	if e := EstimatePoints(p, 24, 10*time.Minute); e.PerDay != (1+7*24)*144 {
		t.Errorf("%d points a day where one in ten minutes is sent", e.PerDay)
	}
}

// FuzzProfile: what is taken gives plans that a probe can rely on, and the same
// ones again.
func FuzzProfile(f *testing.F) {
	f.Add([]byte(siteBase))
	f.Add([]byte("name: edgehold.generic\nversion: 1.0.0\nprofile: {extends: [edgehold.base], sysobjectid: [1.3.*]}\n"))
	few := fewProfiles(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		opened, err := openProfiles(few, fstest.MapFS{"p.yaml": {Data: data}}, "site")
		if err != nil {
			return
		}
		for _, name := range opened.Names() {
			if !opened.byName[name].foreign {
				continue
			}
			p, err := opened.Named(name, plan.ProfileOptions{FeatureSets: []string{"all"}})
			if err != nil {
				t.Fatalf("%s passed once and not again: %v", name, err)
			}
			for _, b := range p.Blocks {
				checkBlock(t, b)
			}
		}
	})
}
