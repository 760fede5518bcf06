package host

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// FuzzStat writes what it reads, and holds the shares of any two readings to
// their sum.
func FuzzStat(f *testing.F) {
	f.Add("cpu  1 2 3 4 5 6 7 8\ncpu0 1 2 3 4\nprocs_blocked 3\n", "cpu 9 9 9 9 9 9 9 9")
	f.Add("cpu 18446744073709551615 0 0 18446744073709551615", "cpu 0 0 0 0 0")
	f.Add("cpu  1 2 3\ncpux 1 2 3 4\n", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		one, ok := parseStat(first)
		if !ok {
			return
		}
		text := "cpu " + words(one.all[:])
		for _, c := range one.cores {
			text += "cpu" + c.number + " " + words(c.times[:])
		}
		again, ok := parseStat(text + fmt.Sprintf("procs_blocked %d\n", one.blocked))
		if !ok || again.all != one.all || !slices.Equal(again.cores, one.cores) || again.blocked != one.blocked {
			t.Fatalf("%+v becomes %+v", one, again)
		}
		two, ok := parseStat(second)
		if !ok {
			return
		}
		shares, ok := two.all.shares(one.all)
		if !ok {
			return
		}
		sum := 0.0
		for i, s := range shares {
			if s < 0 || s > 100.001 || two.all[i] <= one.all[i] && s != 0 {
				t.Fatalf("%v after %v: share %d is %v", two.all, one.all, i, s)
			}
			sum += s
		}
		if b := busy(shares); math.Abs(sum-100) > 1e-6 || b < 0 || b > 100 {
			t.Fatalf("%v after %v: %v together, busy %v", two.all, one.all, sum, b)
		}
	})
}

func words(n []uint64) string { return strings.Trim(fmt.Sprint(n), "[]") + "\n" }

// FuzzGrowth holds growth against arithmetic: what a counter of so many bits shows
// after it grew by so much.
func FuzzGrowth(f *testing.F) {
	f.Add(uint64(4294967000), uint64(1000), true)
	f.Add(uint64(5), uint64(7), false)
	f.Fuzz(func(t *testing.T, before, by uint64, narrow bool) {
		if narrow {
			before, by = before&math.MaxUint32, by&(math.MaxUint32>>1)
		}
		now := before + by
		if narrow {
			now &= math.MaxUint32
		}
		delta, ok := growth(now, before, narrow)
		if !narrow && now < before {
			if ok {
				t.Fatalf("%d after %d: %d", now, before, delta)
			}
			return
		}
		if !ok || delta != by {
			t.Fatalf("%d after %d: %d, %v, expected %d", now, before, delta, ok, by)
		}
	})
}

// FuzzDisk reads a line back, whatever the numbers.
func FuzzDisk(f *testing.F) {
	f.Add("mmcblk0", uint64(1), uint64(2), uint64(3), " 179 0 mmcblk0 1 2 3")
	f.Fuzz(func(t *testing.T, name string, a, b, c uint64, line string) {
		if _, got, ok := parseDisk(line); ok && len(strings.Fields(line)) < 13 {
			t.Fatalf("%q: %+v", line, got)
		}
		if name == "" || strings.ContainsAny(name, " \t\n") {
			return
		}
		want := diskTimes{reads: a, sectorsRead: b, writes: c, sectorsWritten: a, busy: b}
		text := fmt.Sprintf("%4d %7d %s %d 9 %d 9 %d 9 %d 9 9 %d 9 1 2 3", 179, 0, name, a, b, c, a, b)
		if got, found, ok := parseDisk(text); !ok || got != name || found != want {
			t.Fatalf("%q: %s %+v", text, got, found)
		}
	})
}

// FuzzInterface reads a line back, in both ways of writing it.
func FuzzInterface(f *testing.F) {
	f.Add("eth0", uint64(1), uint64(math.MaxUint64), "eth0:1:2 3")
	f.Fuzz(func(t *testing.T, name string, a, b uint64, line string) {
		if got, _, ok := parseInterface(line); ok && !strings.HasPrefix(strings.TrimSpace(line), got) {
			t.Fatalf("%q: %q", line, got)
		}
		if name == "" || strings.ContainsAny(name, " \t\n\v\f\r:\u0085\u00a0") || strings.TrimSpace(name) != name {
			return
		}
		want := traffic{bytesIn: a, packetsIn: b, errorsIn: 1, droppedIn: 2, bytesOut: b, packetsOut: a, errorsOut: 3, droppedOut: 4}
		for _, form := range []string{"%6s: %d %d 1 2 0 0 0 0 %d %d 3 4 0 0 0 0", "%s:%d %d 1 2 0 0 0 0 %d %d 3 4 0 0 0 0", "%s:7: %d %d 1 2 0 0 0 0 %d %d 3 4 0 0 0 0"} {
			is := name
			if strings.Contains(form, ":7:") {
				is += ":7"
			}
			text := fmt.Sprintf(form, name, a, b, b, a)
			if got, found, ok := parseInterface(text); !ok || got != is || found != want {
				t.Fatalf("%q: %q %+v", text, got, found)
			}
		}
	})
}

// escape is how the kernel writes a path.
func escape(path string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
}

// FuzzMount reads a line back, and chooses each file system once.
func FuzzMount(f *testing.F) {
	f.Add("/mnt/usb stick", "/dev/sda1", "ext4", "21 28 0:20 / /sys rw - sysfs sysfs rw\n22 28 0:20 / /b rw - ext4 x ro")
	f.Add(`/a\040b`, `\`, "xfs", "")
	f.Fuzz(func(t *testing.T, point, source, kind, text string) {
		devices, points := map[string]bool{}, map[string]bool{}
		for _, m := range chooseMounts(text) {
			if devices[m.device] || points[m.point] {
				t.Fatalf("%q: %+v twice", text, m)
			}
			devices[m.device], points[m.point] = true, true
		}
		for _, part := range []string{point, source, kind} {
			if part == "" || len(strings.Fields(escape(part))) != 1 || strings.TrimSpace(escape(part)) != escape(part) {
				return
			}
		}
		if kind == "-" {
			return
		}
		want := mount{device: "8:1", root: "/", point: "/" + point, kind: kind, source: source, readOnly: true}
		line := fmt.Sprintf("93 28 8:1 / %s rw,relatime shared:50 master:1 - %s %s ro,errors=remount-ro", escape(want.point), escape(kind), escape(source))
		if got, ok := parseMount(line); !ok || got != want {
			t.Fatalf("%q: %+v, expected %+v", line, got, want)
		}
	})
}

// FuzzProcess finds the fields behind a name that may look like them.
func FuzzProcess(f *testing.F) {
	f.Add("edge) S 1 (hold", uint64(200), uint64(9), uint64(5120))
	f.Fuzz(func(t *testing.T, name string, a, b, c uint64) {
		a >>= 1
		text := fmt.Sprintf("812 (%s) S 1 812 812 0 -1 4194560 99 0 0 0 %d %d 0 0 20 0 %d 0 68 73 %d 184 1", name, a, a, b, c)
		ticks, number, pages, ok := parseProcess(text)
		if !ok || ticks != 2*a || number != b || pages != c {
			t.Fatalf("%q: %d %d %d %v", text, ticks, number, pages, ok)
		}
	})
}

// FuzzSmall holds the small files to what can be true of them.
func FuzzSmall(f *testing.F) {
	f.Add("0.52 0.31 0.20 2/345 6789", "some avg10=0.00 total=7", "MemTotal: 12 kB", "0x01 0x0b")
	f.Add("NaN 1 1 1/1", "full total=", "MemTotal: 18446744073709551615 kB", "0xff 0x")
	f.Fuzz(func(t *testing.T, load, wait, memory, life string) {
		if loads, running, total, ok := parseLoad(load); ok {
			for _, l := range loads {
				if !(l >= 0 && l < 1e9) {
					t.Fatalf("%q: %v", load, loads)
				}
			}
			text := fmt.Sprintf("%v %v %v %d/%d 1", loads[0], loads[1], loads[2], running, total)
			if again, r, n, ok := parseLoad(text); !ok || again != loads || r != running || n != total {
				t.Fatalf("%q becomes %q", load, text)
			}
		}
		if total, ok := parsePressure(wait, "some"); ok {
			if again, ok := parsePressure(fmt.Sprintf("some avg10=0 total=%d", total), "some"); !ok || again != total {
				t.Fatalf("%q: %d", wait, total)
			}
		}
		var n uint64
		parseFields(memory, map[string]*uint64{"MemTotal": &n})
		if n > 0 && !strings.Contains(memory, "MemTotal") {
			t.Fatalf("%q: %d", memory, n)
		}
		for _, used := range parseLife(life) {
			if used > 110 || used%10 != 0 {
				t.Fatalf("%q: %d", life, used)
			}
		}
	})
}

// The mount of a whole file system stands for it, not that of a folder of it.
func TestChooseMounts(t *testing.T) {
	got := chooseMounts("1 0 8:1 /data /a rw - ext4 /dev/sda1 rw\n2 0 8:1 / /mnt/disk rw - ext4 /dev/sda1 rw\n3 0 8:1 / /mnt/disk2 rw - ext4 /dev/sda1 rw\n")
	if len(got) != 1 || got[0].point != "/mnt/disk" {
		t.Errorf("%+v", got)
	}
}

func TestOddLines(t *testing.T) {
	if _, ok := parseStat("cpu0 1 2 3 4\n"); ok {
		t.Error("a machine without a sum")
	}
	if _, ok := parseStat(""); ok {
		t.Error("an empty file")
	}
	if s, ok := parseStat("cpu 1 2 3 4\ncpu12 1 2 3 4\ncpufreq 1 2 3 4\n"); !ok || len(s.cores) != 1 || s.all[modeIdle] != 4 {
		t.Errorf("%+v", s)
	}
	if _, ok := (times{1, 2, 3, 4}).shares(times{1, 2, 3, 5}); ok {
		t.Error("time went back")
	}
	if _, _, ok := parseInterface(" face |bytes    packets"); ok {
		t.Error("the head of the table")
	}
	if used := parseLife("0x00 0x0b\n"); used != [2]uint64{0, 110} {
		t.Error(used)
	}
	var total uint64
	parseFields("MemTotal:        3884376 kB\nHugePages_Total:       7\n", map[string]*uint64{"MemTotal": &total})
	if total != 3884376<<10 {
		t.Error(total)
	}
	if used := parseLife("0xff 0x01"); used != [2]uint64{0, 10} {
		t.Error(used)
	}
	if d, ok := growth(5, math.MaxUint32-5, false); ok {
		t.Error("a counter fell: ", d)
	}
	if d, ok := growth(5, 1<<33, true); ok {
		t.Error("a wide counter fell: ", d)
	}
}
