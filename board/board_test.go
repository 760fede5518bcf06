package board

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func fixture(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBootIDOfThisMachine(t *testing.T) {
	a, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	b, err := BootID()
	if err != nil || a != b {
		t.Fatalf("two readings differ: %x, %x (%v)", a, b, err)
	}
}

func TestReadBootID(t *testing.T) {
	for _, c := range []struct{ name, content, want, err string }{
		{"kernel form", "ed0c87d1-849e-46ba-a509-05948bbd5881\n", "ed0c87d1849e46baa50905948bbd5881", ""},
		{"no newline", "ed0c87d1-849e-46ba-a509-05948bbd5881", "ed0c87d1849e46baa50905948bbd5881", ""},
		{"empty", "", "", "not 32 hex digits"},
		{"short", "ed0c87d1-849e", "", "not 32 hex digits"},
		{"not hex", "zz0c87d1-849e-46ba-a509-05948bbd5881", "", "invalid byte"},
		{"zeros", "00000000-0000-0000-0000-000000000000\n", "", "zeros only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fixture(t, c.content)
			id, err := readBootID(path)
			if c.err == "" {
				if err != nil || hex.EncodeToString(id[:]) != c.want {
					t.Fatalf("got %x, %v; want %s", id, err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got error %v, want one with %q and the path", err, c.err)
			}
			if id != [16]byte{} {
				t.Fatalf("an error came with the id %x", id)
			}
		})
	}
}

func TestBootIDWithoutProc(t *testing.T) {
	_, err := readBootID(filepath.Join(t.TempDir(), "boot_id"))
	if err == nil || !strings.Contains(err.Error(), "mount /proc") {
		t.Fatalf("got %v, want the mend in the error", err)
	}
}

func TestSinceBoot(t *testing.T) {
	data, err := os.ReadFile("/proc/uptime") // the same clock, in hundredths of a second
	if err != nil {
		t.Skip("no /proc/uptime on this machine")
	}
	after := SinceBoot()
	first, _, _ := strings.Cut(string(data), " ")
	want, err := time.ParseDuration(first + "s")
	if err != nil {
		t.Fatal(err)
	}
	if after < want {
		t.Errorf("SinceBoot says %v, /proc/uptime said %v before", after, want)
	}
	if data, err = os.ReadFile("/proc/uptime"); err != nil {
		t.Fatal(err)
	}
	first, _, _ = strings.Cut(string(data), " ")
	want, err = time.ParseDuration(first + "s")
	if err != nil {
		t.Fatal(err)
	}
	if after > want+10*time.Millisecond {
		t.Errorf("SinceBoot said %v, /proc/uptime says %v after it", after, want)
	}
}

func TestReadMemory(t *testing.T) {
	const status = "Name:\tedgehold\nVmPeak:\t    3060 kB\nVmHWM:\t    1764 kB\nVmRSS:\t    1760 kB\nRssAnon:\t     116 kB\n"
	for _, c := range []struct {
		name, content string
		want          Memory
		err           string
	}{
		{"whole", status, Memory{RSS: 1760 * 1024, Peak: 1764 * 1024, Anon: 116 * 1024}, ""},
		{"no anon", strings.Replace(status, "RssAnon", "RssOther", 1), Memory{}, "has no RssAnon"},
		{"empty", "", Memory{}, "has no VmRSS"},
		{"no unit", strings.Replace(status, "1760 kB", "1760", 1), Memory{}, "VmRSS: "},
		{"negative", strings.Replace(status, "1764 kB", "-1 kB", 1), Memory{}, "VmHWM: "},
		{"huge", strings.Replace(status, "116 kB", "99999999999999999999 kB", 1), Memory{}, "RssAnon: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := readMemory(fixture(t, c.content))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got error %v, want %q", err, c.err)
			}
			if m != c.want {
				t.Fatalf("got %+v, want %+v", m, c.want)
			}
		})
	}
	if _, err := readMemory(filepath.Join(t.TempDir(), "status")); err == nil {
		t.Fatal("a missing file gave no error")
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	m, err := ResidentMemory()
	if err != nil {
		t.Fatal(err)
	}
	if m.Anon <= 0 || m.Anon > m.RSS || m.RSS > m.Peak {
		t.Fatalf("does not add up: %+v", m)
	}
}

func TestFacts(t *testing.T) {
	f := ReadFacts()
	if f.PageSize != os.Getpagesize() || f.Kernel == "" || f.Machine == "" {
		t.Fatalf("facts are missing: %+v", f)
	}
	if name, err := os.Hostname(); err == nil && f.Hostname != name {
		t.Errorf("hostname %q, want %q", f.Hostname, name)
	}
}

func TestReadModel(t *testing.T) {
	tree := fixture(t, "Raspberry Pi 4 Model B Rev 1.4\x00")
	dmi := fixture(t, "APU2\n")
	empty := fixture(t, "\x00")
	missing := filepath.Join(t.TempDir(), "model")
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{tree, dmi}, "Raspberry Pi 4 Model B Rev 1.4"},
		{[]string{missing, dmi}, "APU2"},
		{[]string{empty, dmi}, "APU2"},
		{[]string{missing, empty}, ""},
	} {
		if got := readModel(c.paths); got != c.want {
			t.Errorf("readModel(%v) = %q, want %q", c.paths, got, c.want)
		}
	}
}

// A file that never ends takes no more than a page.
func TestReadTextEnds(t *testing.T) {
	if text := readText("/dev/zero"); text != "" {
		t.Errorf("%d bytes", len(text))
	}
}
