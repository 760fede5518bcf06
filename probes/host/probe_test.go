package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// machine is a tree of files that stands for one, and a probe of it.
type machine struct {
	t      *testing.T
	folder string
	probe  *Probe
	up     time.Duration
	boot   byte
}

func (m *machine) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{m.boot}, Uptime: m.up, Wall: m.up.Milliseconds()}
}

// newMachine makes a probe with the captured tree of a machine.
func newMachine(t *testing.T, captured string, o Options) *machine {
	t.Helper()
	m := &machine{t: t, folder: t.TempDir(), up: time.Hour}
	m.apply(captured)
	o.Interval = probes.Duration(time.Minute)
	if errs := o.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	tasks, err := Kind().New(&o, probes.Deps{
		Clock: m, Procfs: filepath.Join(m.folder, "proc"), Sysfs: filepath.Join(m.folder, "sys"),
		Constants: []probes.Dimension{{Key: "site", Value: "s1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.probe = tasks[0].Probe.(*Probe)
	m.probe.narrow = false
	m.probe.space.statfs = func(path string) (space, error) {
		return space{size: 1000, free: 400, available: 300, inodes: 50, inodesFree: 40}, nil
	}
	return m
}

// apply writes the sections of a file under testdata.
func (m *machine) apply(captured string) {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", captured))
	if err != nil {
		m.t.Fatal(err)
	}
	for i, section := range strings.Split("\n"+string(data), "\n== ") {
		name, text, _ := strings.Cut(section, "\n")
		if i > 0 {
			m.write(name, text+"\n")
		}
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// poll gives the points as texts, without the name of the machine and the site.
func (m *machine) poll() (points []string, err error) {
	b, err := m.probe.Poll(m.t.Context())
	for _, p := range b.Points {
		text := strings.TrimPrefix(p.Series.Key(), "edgehold.host.")
		for _, d := range p.Series.Dims() {
			if d.Key == "host.name" || d.Key == "site" {
				continue
			}
			text += "," + d.Key + "=" + d.Value
		}
		if p.Series.Dim("host.name") == "" || p.Series.Dim("site") != "s1" || p.Stamp != m.Now() || p.Value.Check() != nil {
			m.t.Errorf("%s: dimensions %v, stamp %v, value %v", text, p.Series.Dims(), p.Stamp, p.Value)
		}
		points = append(points, fmt.Sprintf("%s %.6g", text, p.Value.Float64()))
	}
	slices.Sort(points)
	return points, err
}

// is checks the points of a poll after a minute.
func (m *machine) is(want string) {
	m.t.Helper()
	m.up += time.Minute
	got, err := m.poll()
	if err != nil {
		m.t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(want), "\n")
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		m.t.Errorf("points\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestRaspberryPi(t *testing.T) {
	m := newMachine(t, "pi.txt", Options{Groups: []string{"all"}, Dimensions: map[string]string{"rack": "3"}})
	m.probe.narrow = true // 32 bits
	m.is(strings.NewReplacer("@boot", "filesystem.source=/dev/mmcblk0p1,filesystem.type=vfat,mount=/boot/firmware,rack=3",
		"@hub", "filesystem.source=hub:/export,filesystem.type=nfs4,mount=/mnt/hub,rack=3",
		"@root", "filesystem.source=/dev/mmcblk0p2,filesystem.type=ext4,mount=/,rack=3",
		"@usb", "filesystem.source=/dev/sda1,filesystem.type=ext4,mount=/mnt/usb stick,rack=3").Replace(`
files.open,rack=3 1504
filesystem.available,@boot 300
filesystem.available,@hub 300
filesystem.available,@root 300
filesystem.available,@usb 300
filesystem.inodes_usage,@boot 20
filesystem.inodes_usage,@hub 20
filesystem.inodes_usage,@root 20
filesystem.inodes_usage,@usb 20
filesystem.read_only,@boot 0
filesystem.read_only,@hub 0
filesystem.read_only,@root 0
filesystem.read_only,@usb 1
filesystem.size,@boot 1000
filesystem.size,@hub 1000
filesystem.size,@root 1000
filesystem.size,@usb 1000
filesystem.usage,@boot 66.67
filesystem.usage,@hub 66.67
filesystem.usage,@root 66.67
filesystem.usage,@usb 66.67
load15,rack=3 0.2
load1,rack=3 0.52
load5,rack=3 0.31
memory.available,rack=3 2.9832e+09
memory.total,rack=3 3.9776e+09
memory.usage,rack=3 25
net.up,interface=eth0,rack=3 1
net.up,interface=ppp0,rack=3 1
net.up,interface=wlan0,rack=3 0
process.files,rack=3 3
process.memory,rack=3 2.09715e+07
process.threads,rack=3 9
storage.reserve,disk=mmcblk1,rack=3 2
storage.wear,disk=mmcblk1,memory=a,rack=3 20
storage.wear,disk=mmcblk1,memory=b,rack=3 110
swap.usage,rack=3 50
swap.used,rack=3 5.24268e+07
temperature,rack=3,zone=cpu-thermal 48.312
temperature,rack=3,zone=cpu-thermal-1 -2.5
threads,rack=3 345
threads.blocked,rack=3 1
threads.running,rack=3 2
throttling,rack=3,reason=frequency_capped 0
throttling,rack=3,reason=temperature_limit 0
throttling,rack=3,reason=throttled 0
throttling,rack=3,reason=under_voltage 0
uptime,rack=3 3660
`))
	m.apply("pi-later.txt")
	m.up += time.Minute
	got, err := m.poll()
	if err != nil {
		t.Error(err)
	}
	var moved []string // what counters give
	for _, text := range got {
		for _, key := range []string{"cpu.", "core.", "pressure", "disk.", "net.", "memory.oom", "process.cpu", "throttling"} {
			if strings.HasPrefix(text, key) {
				moved = append(moved, strings.Replace(text, ",rack=3", "", 1))
			}
		}
	}
	// Of 5,900 ticks 5,400 were idle; waiting for the disk went back, which is none.
	want := `
core.usage,core=0 16.67
core.usage,core=1 0
cpu.mode,mode=iowait 0
cpu.mode,mode=nice 0
cpu.mode,mode=softirq 1.69
cpu.mode,mode=system 1.69
cpu.mode,mode=user 5.08
cpu.usage 8.47
disk.busy,disk=mmcblk0 10
disk.busy,disk=mmcblk1 0
disk.read_bytes,disk=mmcblk0 51200
disk.read_bytes,disk=mmcblk1 0
disk.reads,disk=mmcblk0 10
disk.reads,disk=mmcblk1 0
disk.writes,disk=mmcblk0 100
disk.writes,disk=mmcblk1 0
disk.written_bytes,disk=mmcblk0 512000
disk.written_bytes,disk=mmcblk1 0
memory.oom_kills 1
net.bytes_in,interface=eth0 1000
net.bytes_out,interface=eth0 10000
net.bytes_out,interface=ppp0 100
net.dropped_in,interface=eth0 3
net.packets_in,interface=eth0 100
net.packets_out,interface=eth0 100
net.packets_out,interface=ppp0 1
net.up,interface=eth0 1
net.up,interface=ppp0 1
net.up,interface=wlan0 0
pressure,resource=cpu,tasks=some 10
pressure,resource=io,tasks=full 0
pressure,resource=io,tasks=some 0
pressure,resource=memory,tasks=full 0
pressure,resource=memory,tasks=some 0
process.cpu 1
throttling,reason=frequency_capped 0
throttling,reason=temperature_limit 0
throttling,reason=throttled 1
throttling,reason=under_voltage 1`
	if strings.Join(moved, "\n") != strings.TrimSpace(want) {
		t.Errorf("points\n%s\nexpected%s", strings.Join(moved, "\n"), want)
	}
	if gaps := m.probe.PollStats().Gaps; gaps != 2 { // the modem has dialled again
		t.Errorf("%d gaps", gaps)
	}
	m.write("sys/devices/platform/soc/soc:firmware/get_throttled", "70000\n")
	m.up += time.Minute
	got, _ = m.poll()
	for reason, want := range map[string]int{"under_voltage": 0, "frequency_capped": 1, "throttled": 0} { // capped, and over already
		if text := fmt.Sprintf("throttling,rack=3,reason=%s %d", reason, want); !slices.Contains(got, text) {
			t.Errorf("no %s", text)
		}
	}
}

func TestX86(t *testing.T) {
	m := newMachine(t, "x86.txt", Options{Groups: []string{"disk", "filesystem", "network", "temperature", "wear"}})
	m.is(`
filesystem.available,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 300
filesystem.available,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 300
filesystem.available,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 300
filesystem.inodes_usage,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 20
filesystem.inodes_usage,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 20
filesystem.inodes_usage,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 20
filesystem.read_only,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 0
filesystem.read_only,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 0
filesystem.read_only,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 0
filesystem.size,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 1000
filesystem.size,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 1000
filesystem.size,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 1000
filesystem.usage,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 66.67
filesystem.usage,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 66.67
filesystem.usage,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 66.67
net.up,interface=eno1 1
temperature,zone=x86_pkg_temp 61
`)
	m.is(strings.Join(append(usualOfX86, ""), "\n"))
}

// usualOfX86 are the points of the second poll, with what has not moved.
var usualOfX86 = strings.Split(strings.TrimSpace(`
disk.busy,disk=nvme0n1 0
disk.read_bytes,disk=nvme0n1 0
disk.reads,disk=nvme0n1 0
disk.writes,disk=nvme0n1 0
disk.written_bytes,disk=nvme0n1 0
filesystem.available,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 300
filesystem.available,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 300
filesystem.available,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 300
filesystem.inodes_usage,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 20
filesystem.inodes_usage,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 20
filesystem.inodes_usage,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 20
filesystem.read_only,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 0
filesystem.read_only,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 0
filesystem.read_only,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 0
filesystem.size,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 1000
filesystem.size,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 1000
filesystem.size,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 1000
filesystem.usage,filesystem.source=/dev/mapper/vg-root,filesystem.type=ext4,mount=/ 66.67
filesystem.usage,filesystem.source=/dev/nvme0n1p1,filesystem.type=vfat,mount=/boot/efi 66.67
filesystem.usage,filesystem.source=/dev/sdb1,filesystem.type=btrfs,mount=/srv 66.67
net.bytes_in,interface=eno1 0
net.bytes_out,interface=eno1 0
net.packets_in,interface=eno1 0
net.packets_out,interface=eno1 0
net.up,interface=eno1 1
temperature,zone=x86_pkg_temp 61
`), "\n")

func TestFilters(t *testing.T) {
	m := newMachine(t, "x86.txt", Options{
		Groups: []string{"disk", "filesystem", "network"}, InterfaceFilter: "$eq(bond0)", MountFilter: "$prefix(/boot)", DiskFilter: "$prefix(dm-)",
	})
	m.up += time.Minute
	if _, err := m.poll(); err != nil {
		t.Fatal(err)
	}
	m.up += time.Minute
	got, err := m.poll()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range got {
		if !strings.Contains(text, "mount=/boot/efi") && !strings.Contains(text, "interface=bond0") && !strings.Contains(text, "disk=dm-0") {
			t.Errorf("%s came through the filters", text)
		}
	}
	if len(got) != 5+5+5 {
		t.Errorf("%q", got)
	}
}

func TestContainer(t *testing.T) {
	m := newMachine(t, "container.txt", Options{})
	m.up += time.Minute
	if _, err := m.poll(); err != nil {
		t.Error(err)
	}
	m.write("proc/stat", "cpu  150 0 100 1300\n")
	m.is(`
cpu.mode,mode=system 12.5
cpu.mode,mode=user 12.5
cpu.usage 25
filesystem.available,filesystem.source=overlay,filesystem.type=overlay,mount=/ 300
filesystem.inodes_usage,filesystem.source=overlay,filesystem.type=overlay,mount=/ 20
filesystem.read_only,filesystem.source=overlay,filesystem.type=overlay,mount=/ 0
filesystem.size,filesystem.source=overlay,filesystem.type=overlay,mount=/ 1000
filesystem.usage,filesystem.source=overlay,filesystem.type=overlay,mount=/ 66.67
load1 0
load15 0.05
load5 0.01
memory.available 2.048e+08
memory.total 5.24288e+08
memory.usage 60.94
net.bytes_in,interface=eth0 0
net.bytes_out,interface=eth0 0
net.packets_in,interface=eth0 0
net.packets_out,interface=eth0 0
net.up,interface=eth0 1
threads 7
threads.blocked 0
threads.running 1
uptime 3720
`)
}

// A missing tree is told, and nothing of it is a crash.
func TestMissing(t *testing.T) {
	m := newMachine(t, "container.txt", Options{Groups: []string{"cpu", "memory", "system", "pressure", "process"}})
	m.write("proc/stat", "nothing\n")
	m.write("proc/loadavg", "nothing\n")
	if err := os.Remove(filepath.Join(m.folder, "proc/meminfo")); err != nil {
		t.Fatal(err)
	}
	_, err := m.poll()
	if probes.StatusOf(err) != probes.StatusWarning {
		t.Fatal(err)
	}
	for _, words := range []string{"stat: no processors", "meminfo", "loadavg", "psi=1"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%v does not say %q", err, words)
		}
	}
	if text, err := m.probe.read(m.folder, "proc"); err == nil {
		t.Errorf("a folder is read as %q", text)
	}
	m.probe.proc = filepath.Join(m.folder, "none")
	m.probe.chosen = []string{groupMemory}
	if _, err = m.poll(); probes.StatusOf(err) != probes.StatusGenericError {
		t.Error(err)
	}
}

// Counters are not told over a reboot or a long sleep.
func TestBaselines(t *testing.T) {
	m := newMachine(t, "pi.txt", Options{Groups: []string{"cpu", "disk", "network"}})
	for name, change := range map[string]func(){
		"a reboot":     func() { m.boot++ },
		"a long sleep": func() { m.up += 24 * time.Hour },
	} {
		m.apply("pi.txt")
		if _, err := m.poll(); err != nil {
			t.Fatal(err)
		}
		m.up += time.Minute
		m.apply("pi-later.txt")
		change()
		got, err := m.poll()
		if err != nil || len(got) != 3 || m.probe.PollStats().Gaps != 1 { // the states of interfaces
			t.Errorf("%s: %q, %v, %+v", name, got, err, m.probe.PollStats())
		}
	}
}

// With another name of the machine its series are others.
func TestRenamed(t *testing.T) {
	m := newMachine(t, "pi.txt", Options{Groups: []string{"memory"}})
	one, err := m.probe.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, _ := m.probe.Poll(t.Context())
	if one.Points[0].Series != two.Points[0].Series {
		t.Error("series are made anew by each poll")
	}
	m.write("proc/sys/kernel/hostname", "gateway-2\n")
	three, _ := m.probe.Poll(t.Context())
	if got := three.Points[0].Series.Dim("host.name"); got != "gateway-2" {
		t.Errorf("the name is %q", got)
	}
}

// A share whose server is gone holds up nothing, and is asked once at a time.
func TestHungMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "pi.txt", Options{Groups: []string{"filesystem"}})
		var asked atomic.Int64
		free := make(chan struct{})
		m.probe.space.statfs = func(path string) (space, error) {
			if path == "/boot/firmware" {
				return space{}, errors.New("input/output error")
			}
			if path == "/mnt/hub" {
				asked.Add(1)
				<-free
			}
			return space{size: 10, free: 5, available: 5}, nil
		}
		begin := time.Now()
		for range 3 {
			m.up += time.Minute
			got, err := m.poll()
			if len(got) != 2*4 || probes.StatusOf(err) != probes.StatusWarning || !strings.Contains(err.Error(), "/mnt/hub: it does not answer") ||
				!strings.Contains(err.Error(), "/boot/firmware: input/output error") {
				t.Errorf("%q, %v", got, err)
			}
		}
		if took := time.Since(begin); took != patience || asked.Load() != 1 { // no time but for the first
			t.Errorf("it took %v, and was asked %d times", took, asked.Load())
		}
		close(free)
		synctest.Wait()
		m.up += time.Minute
		if got, err := m.poll(); len(got) != 3*4 || strings.Contains(err.Error(), "hub") || asked.Load() != 2 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Other kernels tell under-voltage alone.
func TestUnderVoltage(t *testing.T) {
	m := newMachine(t, "container.txt", Options{Groups: []string{"temperature"}})
	m.write("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
	m.write("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
	m.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
	m.is("throttling,reason=under_voltage 1")
	m.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
	m.is("throttling,reason=under_voltage 0")
}

func TestEnded(t *testing.T) {
	m := newMachine(t, "pi.txt", Options{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := m.probe.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The machine that the test runs on has all that every machine has.
func TestThisMachine(t *testing.T) {
	o := Kind().Options().(*Options)
	o.Groups = []string{"all"}
	p, err := newProbe(o, probes.Deps{Clock: &machine{up: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Poll(t.Context())
	if err != nil {
		t.Log(err)
	}
	found := map[string]bool{}
	for _, point := range b.Points {
		found[point.Series.Key()] = true
		if point.Value.Check() != nil {
			t.Errorf("%s: %v", point.Series.Key(), point.Value)
		}
	}
	for _, key := range []int{memoryTotal, memoryUsage, load1, threads, uptime, processMemory, processFiles} {
		if !found[metrics[key].key] {
			t.Errorf("no %s", metrics[key].key)
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	for _, groups := range [][]string{nil, {"all"}} {
		b.Run(strings.Join(append(groups, "groups"), "-"), func(b *testing.B) {
			o := Kind().Options().(*Options)
			o.Groups = groups
			clock := &machine{up: time.Hour}
			p, err := newProbe(o, probes.Deps{Clock: clock})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			points := 0
			for b.Loop() {
				clock.up += time.Minute
				batch, _ := p.Poll(b.Context())
				points = len(batch.Points)
			}
			b.ReportMetric(float64(points), "points/op")
		})
	}
}
