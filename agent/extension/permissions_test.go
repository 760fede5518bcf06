package extension

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/edgehold/edgehold/probes/plan"
)

const askingManifest = `name: custom:x
version: 1.0.0
snmp:
  - group: g
    dimensions:
      - {key: n, value: "oid:.1.3.6.1.2.1.1.5.0"}
      - {key: p, value: "const:oid"}
    metrics:
      - {key: a, value: "oid:1.3.6.1.2.1.1.10.0"}
    subgroups:
      - subgroup: s
        table: true
        dimensions:
          - {key: d, value: "$networkFormat(oid:1.3.6.1.4.1.9.2.1.3, oid:1.3.6.1.4.1.9.2.1.4, default:x)"}
          - {key: e, value: "oid:IF-MIB::ifDescr"}
        metrics:
          - {key: b, value: "oid:1.3.6.1.4.1.9.2.1.4.7", type: count}
          - {key: c, value: "oid:1.3.6.1.4.1.9.2.1.40"}
          - {key: f, value: "oid:1.3.6.1.4.1.9.2.1.4"}
`

func manifestFS(text string) fstest.MapFS {
	return fstest.MapFS{manifestName: {Data: []byte(text)}}
}

func TestPermissions(t *testing.T) {
	m, _, err := ParseManifest(manifestFS(askingManifest), "p")
	if err != nil {
		t.Fatal(err)
	}
	p := PermissionsOf(m)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"dataSources":["snmp"],"oids":[` +
		`{"what":"1.3.6.1.2.1.1.5.0","file":"p/extension.yaml","lines":[6]},` +
		`{"what":"1.3.6.1.2.1.1.10.0","file":"p/extension.yaml","lines":[9]},` +
		`{"what":"1.3.6.1.4.1.9.2.1.3","file":"p/extension.yaml","lines":[14]},` +
		`{"what":"1.3.6.1.4.1.9.2.1.4","file":"p/extension.yaml","lines":[14,17,19]},` +
		`{"what":"1.3.6.1.4.1.9.2.1.40","file":"p/extension.yaml","lines":[18]},` +
		`{"what":"IF-MIB::ifDescr","file":"p/extension.yaml","lines":[15]}],"hosts":[],"localDevices":[],"requests":[]}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	read, err := ReadPermissions(manifestFS(askingManifest), "p")
	again, _ := json.Marshal(read)
	if err != nil || string(again) != want {
		t.Errorf("%s %v", again, err)
	}
}

func TestPermissionsOfForeignSources(t *testing.T) {
	p, err := ReadPermissions(manifestFS(`name: custom:x
version: 1.0.0
vars: [{id: a, defaultValue: "see https://u:p@Api.Example.com.:8443/x"}]
prometheus:
  - group: g
    url: http://[2001:db8::1]:9100/metrics
    more: [{port: /dev/ttyUSB0}]
telnet: [{group: g}]
topology: {link: "https://docs.example.com"}
`), "p")
	text, _ := json.Marshal(p)
	want := `{"dataSources":["prometheus","telnet"],"oids":[],"hosts":[` +
		`{"what":"api.example.com","file":"p/extension.yaml","lines":[3]},` +
		`{"what":"2001:db8::1","file":"p/extension.yaml","lines":[6]}],` +
		`"localDevices":[{"what":"/dev/ttyUSB0","file":"p/extension.yaml","lines":[7]}],"requests":[]}`
	if err != nil || string(text) != want {
		t.Errorf("got\n%s\nwant\n%s\n%v", text, want, err)
	}
	for _, files := range []fstest.MapFS{{}, manifestFS("a: :")} {
		if _, err := ReadPermissions(files, "p"); err == nil || !strings.Contains(err.Error(), "p/extension.yaml") {
			t.Errorf("%v", err)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// What a package asks for by HTTP is told with method and path.
func TestPermissionsOfRequests(t *testing.T) {
	const manifest = `name: custom:x
version: 1.0.0
http:
  - group: a
    metrics: [{key: a.b, value: path:x}]
  - group: b
    request: {path: "/topology?depth=1"}
  - group: c
    request: {path: "/query/${var:area}", method: post, body: "{}"}
  - group: d
    request: {path: "/topology?depth=1"}
`
	p, err := ReadPermissions(fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}}, "p")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Requests {
		got = append(got, fmt.Sprint(r.What, r.Lines))
	}
	slices.Sort(got)
	want := []string{"GET /topology?depth=1[7 11]", "GET the URL of the configuration[4]", "POST /query/${var:area}[9]"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBeyond(t *testing.T) {
	asking, err := ReadPermissions(manifestFS(askingManifest), "p")
	if err != nil {
		t.Fatal(err)
	}
	naming, err := ReadPermissions(manifestFS("name: x\nprometheus:\n- url: http://api.example.com/\n- url: http://192.0.2.7/\n- dev: /dev/i2c-1\n"), "p")
	if err != nil {
		t.Fatal(err)
	}
	target := func(address string) []Target { return []Target{{address, "c.json", 3, 4}} }
	tests := []struct {
		name    string
		p       Permissions
		limits  Limits
		targets []Target
		want    []string // the beginnings
	}{
		{"no limit", asking, Limits{}, target("192.0.2.1"), nil},
		{
			"data source", asking,
			Limits{DataSources: []string{"prometheus", "snmptraps"}},
			nil,
			[]string{"p/extension.yaml:3:1: the data source snmp is beyond the limit, which is prometheus, snmptraps"},
		},
		{"data source within", asking, Limits{DataSources: []string{"snmp"}}, nil, nil},
		{"oids", asking, Limits{OIDs: []string{"1.3.6.1.2.1.1.", ".1.3.6.1.2.1.1", "1.3.6.1.4.1.9.2.1.4"}}, nil, []string{
			"p/extension.yaml:14:29: reads 1.3.6.1.4.1.9.2.1.3, beyond",
			"p/extension.yaml:15:29: reads IF-MIB::ifDescr, beyond",
			"p/extension.yaml:18:29: reads 1.3.6.1.4.1.9.2.1.40, beyond",
		}},
		{"oids with star", asking, Limits{OIDs: []string{"1.3.6.1.*"}}, nil, []string{"p/extension.yaml:15:29: reads IF-MIB::ifDescr, beyond"}},
		{"an instance does not allow its column", asking, Limits{OIDs: []string{"1.3.6.1.2", "1.3.6.1.4.1.9.2.1.3", "1.3.6.1.4.1.9.2.1.4.7", "1.3.6.1.4.1.9.2.1.40"}}, nil, []string{
			"p/extension.yaml:14:29: reads 1.3.6.1.4.1.9.2.1.4, beyond",
			"p/extension.yaml:15:29: reads IF-MIB::ifDescr, beyond",
			"p/extension.yaml:19:29: reads 1.3.6.1.4.1.9.2.1.4, beyond",
		}},
		{"oids that are none", asking, Limits{OIDs: []string{"", "IF-MIB::ifDescr"}}, nil, []string{"p/extension.yaml:6", "p/extension.yaml:9", "p/extension.yaml:14", "p/extension.yaml:14", "p/extension.yaml:15", "p/extension.yaml:17", "p/extension.yaml:18", "p/extension.yaml:19"}},
		{"address", asking, Limits{Addresses: prefixes("192.0.2.0/24")}, target("198.51.100.1"), []string{"c.json:3:4: names the address 198.51.100.1, beyond"}},
		{"address within", asking, Limits{Addresses: prefixes("192.0.2.0/24")}, target("192.0.2.255"), nil},
		{"mapped address", asking, Limits{Addresses: prefixes("192.0.2.0/24")}, target("::ffff:192.0.2.1"), nil},
		{"address with zone", asking, Limits{Addresses: prefixes("fe80::/10")}, target("fe80::1%eth0"), nil},
		{"address in another form", asking, Limits{Addresses: prefixes("192.0.2.0/24")}, target("0xc0.2.1"), []string{"c.json:3:4: names the host 0xc0.2.1"}},
		{"name where addresses are limited", asking, Limits{Addresses: prefixes("0.0.0.0/0")}, target("sw1.example.com"), []string{"c.json:3:4: names the host sw1.example.com, whose address"}},
		{"name that is listed", asking, Limits{Addresses: prefixes("192.0.2.0/24"), Hosts: []string{"*.Example.com"}}, target("SW1.example.com."), nil},
		{"the domain is no sub-domain", asking, Limits{Hosts: []string{"*.example.com"}}, target("example.com"), []string{"c.json:3:4: names the host example.com, beyond the limit, which is *.example.com"}},
		{"another domain", asking, Limits{Hosts: []string{"*.example.com"}}, target("badexample.com"), []string{"c.json:3:4"}},
		{"hosts do not limit addresses of a configuration", asking, Limits{Hosts: []string{"a.example.com"}}, target("192.0.2.1"), nil},
		{"hosts of the package", naming, Limits{Hosts: []string{"api.example.com"}, LocalDevices: true}, nil, []string{"p/extension.yaml:4:8: names the host 192.0.2.7, beyond"}},
		{"addresses of the package", naming, Limits{Addresses: prefixes("10.0.0.0/8"), LocalDevices: true}, nil, []string{
			"p/extension.yaml:3:8: names the host api.example.com, whose address is not known", "p/extension.yaml:4:8: names the address 192.0.2.7, beyond",
		}},
		{"local devices", naming, Limits{}, nil, []string{"p/extension.yaml:5:8: uses /dev/i2c-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.p.Beyond(tt.limits, tt.targets)
			same := slices.EqualFunc(got, tt.want, func(v Violation, want string) bool { return strings.HasPrefix(v.String(), want) })
			if !same {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	c, err := ParseConfiguration([]byte("{\"snmp\": {\"devices\": [\n {\"authentication\": {}, \"ip\": \"192.0.2.1\"},\n {\"ip\": \"sw.example.com\", \"authentication\": {}}]}}"), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	want := []Target{{"192.0.2.1", "c.json", 2, 31}, {"sw.example.com", "c.json", 3, 9}}
	if got := c[0].Targets(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// readsOf lists what the plan of a manifest reads with everything switched on.
func readsOf(t *testing.T, m *Manifest) []string {
	t.Helper()
	p, _, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return readsIn(p)
}

var oidInText = regexp.MustCompile(`oid:\s*\.?([0-9][0-9.]*)`)

// No package reads anything that its permissions do not name, and they name
// nothing that is not in its text.
func TestPermissionsOfPublicPackages(t *testing.T) {
	root := corpus(t)
	packages := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != manifestName {
			return err
		}
		m, _, err := ParseManifest(os.DirFS(filepath.Dir(p)), "p")
		if err != nil {
			return nil //nolint:nilerr // of another data source, or a template
		}
		packages++
		permissions := PermissionsOf(m)
		for _, oid := range readsOf(t, m) {
			if !slices.ContainsFunc(permissions.OIDs, func(l Located) bool { return oid == l.What || strings.HasPrefix(oid, l.What+".") }) {
				t.Errorf("%s reads %s, which its permissions do not name", p, oid)
			}
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		checkNamed(t, string(data), permissions)
		return nil
	})
	if err != nil || packages < 6 {
		t.Errorf("%d packages, %v", packages, err)
	}
}

func checkNamed(t *testing.T, text string, p Permissions) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for i, l := range p.OIDs {
		if i > 0 && strings.HasPrefix(l.What+".", p.OIDs[i-1].What+".") {
			t.Errorf("%s lies below %s", l.What, p.OIDs[i-1].What)
		}
		for _, line := range l.Lines {
			m := oidInText.FindStringSubmatch(lines[line-1])
			if m == nil || !strings.HasPrefix(m[1]+".", l.What+".") {
				t.Errorf("line %d is %q and not about %s", line, lines[line-1], l.What)
			}
		}
	}
}

// FuzzPermissions: what runs is named. The plan of a manifest that can be read
// holds no OID outside of its permissions, and limits of just these OIDs let it
// pass.
func FuzzPermissions(f *testing.F) {
	f.Add([]byte(askingManifest))
	f.Add([]byte(lintBase))
	f.Add([]byte("name: x\nversion: 1\nsnmp: [{group: g, dimensions: [{key: d, value: \"$inetAddress(oid:IF-MIB::ifType, oid:ifDescr.1)\"}], metrics: [{key: a, value: \"oid:ifInOctets.1\"}]}]"))
	f.Add([]byte("name: x\nversion: 1\nsnmp: [{group: g, metrics: [{key: a, value: 1.3.6.1}, {key: b, value: \" oid:1.3.6\"}, {key: c, value: \"oid: .1.3.6 \"}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20_000 {
			return
		}
		m, _, err := ParseManifest(manifestFS(string(data)), "p")
		if err != nil {
			return
		}
		p := PermissionsOf(m).Resolve(nil)
		var allowed []string
		for _, l := range p.OIDs {
			allowed = append(allowed, l.What)
		}
		compiled, _, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, CompileOptions{})
		if err != nil {
			return
		}
		for _, oid := range readsIn(compiled) {
			if !slices.ContainsFunc(allowed, func(a string) bool { return oid == a || strings.HasPrefix(oid, a+".") }) {
				t.Errorf("%s is read, allowed are %v", oid, allowed)
			}
		}
		for _, v := range p.Beyond(Limits{OIDs: allowed, LocalDevices: true}, nil) {
			if !strings.Contains(v.Text, "beyond the limit") || numeric(v.Text) {
				t.Errorf("%v with limits %v", v, allowed)
			}
		}
	})
}

func readsIn(p *plan.Plan) []string {
	var all []string
	for _, b := range p.Blocks {
		for _, d := range b.Dims {
			all = append(all, d.Source.OID, d.Source.Naming.By)
		}
		for _, m := range b.Metrics {
			all = append(all, m.Source.OID)
		}
	}
	return slices.DeleteFunc(all, func(oid string) bool { return oid == "" })
}

// numeric tells a violation about an OID that is one.
func numeric(text string) bool {
	oid, _, _ := strings.Cut(strings.TrimPrefix(text, "reads "), ", beyond")
	_, problem := parseOID(oid)
	return problem == ""
}

func TestSensitive(t *testing.T) {
	sensitive := map[string]string{
		"user": reasonPerson, "user.name": reasonPerson, "hr.users": reasonPerson, "ownerEmail": reasonPerson, "package.signer": reasonPerson,
		"serial": reasonSerial, "chassis_serial_number": reasonSerial, "entPhysicalSerialNum": reasonSerial,
		"device.address": reasonAddress, "host_ip": reasonAddress, "srcip": reasonAddress, "nextHop": reasonAddress, "ipv6.addresses": reasonAddress,
		"mac": reasonMAC, "if.mac_address": reasonMAC, "ifPhysAddress": reasonMAC,
		"if.alias": reasonText, "ifAlias": reasonText, "sys.contact": reasonText, "syscontact": reasonText,
		"sys.location": reasonPlace, "syslocation": reasonPlace,
		"snmp.community": reasonSecret, "api_token": reasonSecret,
		"process.args": reasonCommand,
	}
	for key, want := range sensitive {
		if reason, ok := Sensitive(key); !ok || reason != want {
			t.Errorf("%s: %q %v, want %q", key, reason, ok, want)
		}
	}
	for _, key := range []string{
		"", "..", "sys.name", "device.name", "device.port", "if.idx", "if.descr", "user.count", "address.type", "macos.version",
		"allocation", "chip", "machine", "notebook", "ip_count", "site", "zip", "interface", "serial.status", "ship.speed",
	} {
		if reason, ok := Sensitive(key); ok {
			t.Errorf("%s: %q", key, reason)
		}
	}
	if fmt.Sprint(keyWords("ifHCInOctets.serialNo_x")) != "[if hcin octets serial no x]" {
		t.Errorf("%v", keyWords("ifHCInOctets.serialNo_x"))
	}
}
