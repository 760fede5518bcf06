package discover

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestYAML(t *testing.T) {
	p := Proposal{
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, When: "2026-03-01 03:00",
		Devices: []Device{
			{Addresses: []string{"192.0.2.1", "192.0.2.2"}, Port: 161, Name: "sw1", Description: "Some OS", Profile: "edgehold.cisco", Credential: "a"},
			{Addresses: []string{"2001:db8::1"}, Port: 1161, Name: "evil\n  - x: y", Credential: "b"},
			{Addresses: []string{"192.0.2.9"}, Profile: "generic", Credential: "a"},
		},
	}
	want := `# Found by edgehold in 192.0.2.0/24 on 2026-03-01 03:00. The profile of each device is chosen when it
# is first polled; the comments tell which one fits now.
probes:
  - kind: snmp
    credentials: ["a"]
    profile: auto
    devices:
      - "192.0.2.1" # sw1; Some OS; edgehold.cisco; also 192.0.2.2
      - "192.0.2.9" # generic
  - kind: snmp
    credentials: ["b"]
    profile: auto
    devices:
      - "[2001:db8::1]:1161" # evil  - x: y
`
	got := p.YAML()
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, d := range p.Devices {
		if !p.Listed(got, d) {
			t.Errorf("%s is not listed", d.Target())
		}
	}
	if p.Listed(got, Device{Addresses: []string{"192.0.2.2"}}) || p.Listed(nil, p.Devices[0]) {
		t.Error("listed what is not there")
	}
}

// What a device says of itself stays within its comment.
func FuzzYAML(f *testing.F) {
	f.Add("sw\n1", "a: b\r\nprobes:")
	f.Add("\u2028x", "\u0085y\ufeff")
	f.Fuzz(func(t *testing.T, name, descr string) {
		if !utf8.ValidString(name + descr) {
			return // sysName and sysDescr were made readable
		}
		p := Proposal{Devices: []Device{{Addresses: []string{"192.0.2.1"}, Name: name, Description: descr, Credential: "c"}}}
		text := string(p.YAML())
		if strings.Count(text, "\n") != 8 || strings.ContainsAny(text, "\r\u0085\u2028\u2029\ufeff\x00") || !strings.Contains(text, "\n      - \"192.0.2.1\" #") {
			t.Errorf("%q", text)
		}
	})
}
