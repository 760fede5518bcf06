package snmp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func base() target {
	return target{credentials: []string{"a"}, profile: auto, interval: time.Minute}
}

func show(all []target) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s %s %s %s\n", hostPort(t.device), strings.Join(t.credentials, "|"), t.profile, t.interval)
	}
	return b.String()
}

func TestParseDevices(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"addresses":        {"192.0.2.1\n\n# comment\n 192.0.2.2:1161 \n", "192.0.2.1:161 a auto 1m0s\n192.0.2.2:1161 a auto 1m0s\n"},
		"all columns":      {"192.0.2.1,b|c,cisco,30s\n", "192.0.2.1:161 b|c cisco 30s\n"},
		"empty cells":      {"192.0.2.1,,,5m\n192.0.2.2,b,\n", "192.0.2.1:161 a auto 5m0s\n192.0.2.2:161 b auto 1m0s\n"},
		"header":           {"\ufeffAddress;profile;\"Interval\"\r\n192.0.2.1;\"cisco\";2m\r\n", "192.0.2.1:161 a cisco 2m0s\n"},
		"other columns":    {"name,Address,site,interval\nsw1,192.0.2.1,Graz,5m\nsw2,192.0.2.2\n", "192.0.2.1:161 a auto 5m0s\n192.0.2.2:161 a auto 1m0s\n"},
		"IPv6 and a space": {"address, credentials\n[2001:db8::1]:162 , b | c\n", "[2001:db8::1]:162 b|c auto 1m0s\n"},
	} {
		all, err := parseDevices(tt.text, "d.csv", base())
		if got := show(all); err != nil || got != tt.want {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, tt.want)
		}
	}
}

func TestParseDevicesErrors(t *testing.T) {
	without := base()
	without.credentials = nil
	for _, tt := range []struct {
		text, want string
		base       target
	}{
		{"", "d.csv has no device", base()},
		{"192.0.2.1\n192.0.2.999\n", `d.csv:2: address: "192.0.2.999" is not a device address`, base()},
		{"address,credential\n", `d.csv:1: unknown column "credential", did you mean credentials?`, base()},
		{"name,address\nsw1\n", "d.csv:2: address: missing", base()},
		{"\x7fELF\x00\x01\n", "d.csv is not a text file, expected CSV", base()},
		{strings.Repeat("?", 2000) + "\n", "d.csv:1: address: found 2000 characters, expected at most 300", base()},
		{"address,address\n", `d.csv:1: column "address" is named twice`, base()},
		{"192.0.2.1,a,auto,1m,x\n", "d.csv:1: found 5 columns, expected at most 4", base()},
		{"192.0.2.1,a,auto,soon\n", `d.csv:1: interval: "soon" is not a duration`, base()},
		{"192.0.2.1,a,auto,1ms\n", "d.csv:1: interval: 1ms is too short", base()},
		{"192.0.2.1\n", "d.csv:1: credentials: empty", without},
		{strings.Repeat("?\n", 30), "10 further lines are wrong", base()},
	} {
		all, err := parseDevices(tt.text, "d.csv", tt.base)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %d devices and %v, want %s", tt.text, len(all), err, tt.want)
			continue
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "devices_file: ") || len(line) > 300 {
				t.Errorf("%q: %q does not begin with the field, or is long", tt.text, line)
			}
		}
	}
}

// What stands in the place of a name may be a secret.
func TestDevicesFileHidesCommunities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "devices.csv")
	if err := os.WriteFile(file, []byte("192.0.2.1,Sup3rSecret\n192.0.2.2,bb\n192.0.2.3,,oter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kind := Kind(openFake)
	o := kind.Options().(*Options)
	o.DevicesFile, o.Credentials = file, []string{"a"}
	_, err := kind.New(o, kindDeps())
	want := "devices_file: " + file + ":1: credentials[0]: no name of a credential, expected a, b; a name goes here, add it under the top-level `credentials`, its community into a file\n" +
		"devices_file: " + file + ":2: credentials[0]: there is no credential \"bb\", add it under the top-level `credentials` or correct the name to b\n" +
		"devices_file: " + file + ":3: profile: unknown profile oter"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
}

func TestDevicesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "devices.csv")
	if err := os.WriteFile(file, []byte("192.0.2.2,,other\n192.0.2.1,b,one,30s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kind := Kind(openFake)
	o := kind.Options().(*Options)
	o.DevicesFile, o.Credentials = "devices.csv", []string{"a"}
	o.ResolveFiles(func(path string) string { return filepath.Join(filepath.Dir(file), path) })
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	tasks, err := kind.New(o, kindDeps())
	if err != nil || len(tasks) != 2 || tasks[0].Label != "192.0.2.2 other" || tasks[1].ID != "snmp/192.0.2.1:161/30s" {
		t.Fatalf("%v %+v", err, tasks)
	}
	o.Devices = []string{"192.0.2.2"}
	want := "devices_file: " + file + ":1: 192.0.2.2:161 is the same device as devices[0], name it once"
	if _, err := kind.New(o, kindDeps()); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzParseDevices: what is taken is taken again when it is written out.
func FuzzParseDevices(f *testing.F) {
	f.Add("address;interval\n192.0.2.1;30s\n")
	f.Add("[fe80::1%eth0]:161,a|b,cisco,1m\n#\nswitch,\"x\"")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseDevices(text, "d.csv", base())
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteString("address,credentials,profile,interval\n")
		for _, d := range all {
			if strings.ContainsAny(strings.Join(d.credentials, "")+d.profile, ",;\"#") {
				return
			}
			fmt.Fprintf(&b, "%s,%s,%s,%s\n", hostPort(d.device), strings.Join(d.credentials, "|"), d.profile, d.interval)
		}
		again, err := parseDevices(b.String(), "d.csv", base())
		if err != nil || show(again) != show(all) {
			t.Errorf("%q became %q, which became %q, %v", text, show(all), show(again), err)
		}
	})
}
