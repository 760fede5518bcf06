package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// mostOfFile is far above what is read of any file, in bytes: of /proc/stat only
	// interrupts are long, and they come behind the processors.
	mostOfFile = 1 << 20
	maxReasons = 5
	manySeries = 10_000
)

// Probe measures this machine. It is a probes.Probe.
type Probe struct {
	proc, sys string
	chosen    []string
	named     bool // the groups were named
	filters   filters
	interval  time.Duration
	own       []probes.Dimension // of the entry
	deps      probes.Deps
	narrow    bool // the kernel's counters have 32 bits
	space     *spaceAsker

	host   string // its name
	series map[string]*probes.Series
	key    []byte
	buffer []byte
	before baseline
	places places

	stamp   probes.Stamp // of the poll that runs
	status  *stat        // /proc/stat, read once; nil: not yet, or it cannot be read
	elapsed time.Duration
	points  []probes.Point
	reasons []string
	now     probes.PollStats

	statsMu sync.Mutex
	stats   probes.PollStats
}

// baseline is what the last poll read of counters.
type baseline struct {
	stamp    probes.Stamp
	all      *times
	cores    map[string]times
	waits    map[string]uint64
	kills    *uint64
	disks    map[string]diskTimes
	traffic  map[string]traffic
	throttle *uint64
	own      *uint64 // processor time of the agent
}

// readers measure one group each.
var readers = map[string]func(*Probe){
	groupCPU: (*Probe).cpu, groupCores: (*Probe).cores, groupPressure: (*Probe).pressures, groupMemory: (*Probe).memory,
	groupFilesystem: (*Probe).filesystems, groupDisk: (*Probe).disks, groupNetwork: (*Probe).network,
	groupTemperature: (*Probe).temperatures, groupSystem: (*Probe).system, groupProcess: (*Probe).process, groupWear: (*Probe).wears,
}

func newProbe(o *Options, deps probes.Deps) (*Probe, error) {
	f, err := o.filters()
	if err != nil {
		return nil, err
	}
	p := &Probe{
		proc: deps.Procfs, sys: deps.Sysfs, chosen: o.chosen(), named: len(o.Groups) > 0 && !slices.Contains(o.Groups, groupAll),
		filters: f, interval: o.Interval.Std(), deps: deps, narrow: narrowKernel(),
		space: newSpaceAsker(statfs), series: map[string]*probes.Series{},
	}
	if p.proc == "" {
		p.proc = "/proc"
	}
	if p.sys == "" {
		p.sys = "/sys"
	}
	for key, value := range o.Dimensions {
		p.own = append(p.own, probes.Dimension{Key: key, Value: value})
	}
	return p, nil
}

// narrowKernel tells whether the kernel has words of 32 bits, which a program of 32
// bits cannot know of itself.
func narrowKernel() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	machine := unix.ByteSliceToString(u.Machine[:])
	return !strings.Contains(machine, "64") && machine != "s390x"
}

// Poll reads all groups. What is missing on this machine gives no points; what
// cannot be read is a WARNING.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	p.stamp = p.deps.Clock.Now()
	p.points, p.reasons, p.now, p.status = nil, nil, probes.PollStats{}, nil
	if len(p.series) > manySeries {
		clear(p.series) // devices come and go
	}
	p.elapsed = p.stamp.Uptime - p.before.stamp.Uptime
	if p.before.stamp.Boot != p.stamp.Boot || p.elapsed <= 0 || p.elapsed > plan.AbsenceAfter(p.interval) {
		if p.before.stamp.Uptime > 0 {
			p.now.Gaps++
		}
		p.before = baseline{}
	}
	p.name()
	for _, group := range p.chosen {
		if err := ctx.Err(); err != nil {
			return probes.Batch{Points: p.points}, probes.WithStatus(probes.StatusWarning, fmt.Errorf("measure this machine: %w", err))
		}
		readers[group](p)
	}
	p.before.stamp = p.stamp
	p.now.Partial = p.reasons
	p.statsMu.Lock()
	p.stats = p.now
	p.statsMu.Unlock()
	return probes.Batch{Points: p.points}, p.verdict()
}

// PollStats returns the cost of the last poll.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}

func (p *Probe) verdict() error {
	reasons := p.reasons
	switch {
	case len(reasons) == 0:
		return nil
	case len(p.points) == 0:
		return probes.WithStatus(probes.StatusGenericError, errors.New(strings.Join(reasons[:min(len(reasons), maxReasons)], "; ")))
	case len(reasons) > maxReasons:
		reasons = append(reasons[:maxReasons-1:maxReasons-1], fmt.Sprintf("and %d more", len(reasons)-maxReasons+1))
	}
	return probes.WithStatus(probes.StatusWarning, errors.New(strings.Join(reasons, "; ")))
}

// miss notes what cannot be read.
func (p *Probe) miss(format string, what ...any) {
	if reason := fmt.Sprintf(format, what...); !slices.Contains(p.reasons, reason) {
		p.reasons = append(p.reasons, reason)
	}
}

// name is that of the machine. With another one all series are made anew.
func (p *Probe) name() {
	text, err := p.read(p.proc, "sys/kernel/hostname")
	if name := strings.TrimSpace(text); err == nil && name != "" && name != p.host {
		p.host = name
		clear(p.series)
	}
}

// read gives a file below a root.
func (p *Probe) read(root, name string) (string, error) {
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if p.buffer == nil {
		p.buffer = make([]byte, 16<<10)
	}
	n := 0
	for {
		if n == len(p.buffer) && n < mostOfFile {
			p.buffer = append(p.buffer, make([]byte, n)...)
		}
		got, err := f.Read(p.buffer[n:])
		if n += got; got == 0 || err != nil {
			if n == 0 && err != nil && !errors.Is(err, io.EOF) {
				return "", err
			}
			return string(p.buffer[:n]), nil
		}
	}
}

// must reads a file that every machine has.
func (p *Probe) must(name string) (string, bool) {
	text, err := p.read(p.proc, name)
	if err != nil {
		p.miss("read %s: %v", name, err)
	}
	return text, err == nil
}

// add makes a point. dims are keys and values in turn.
func (p *Probe) add(number int, value probes.Value, dims ...string) {
	m := &metrics[number]
	p.key = append(p.key[:0], m.key...)
	for _, d := range dims {
		p.key = append(append(p.key, 0), d...)
	}
	s := p.series[string(p.key)]
	if s == nil {
		all := slices.Clone(p.deps.Constants)
		for i := 0; i+1 < len(dims); i += 2 {
			all = append(all, probes.Dimension{Key: dims[i], Value: strings.Clone(dims[i+1])})
		}
		all = append(append(all, p.own...), probes.Dimension{Key: "host.name", Value: p.host})
		s = probes.NewSeries(m.key, m.kind, all...)
		p.series[string(p.key)] = s
	}
	p.points = append(p.points, probes.Point{Series: s, Value: value, Stamp: p.stamp})
}

// grown makes a point of what a counter grew by. Where that cannot be told it
// counts a gap.
func (p *Probe) grown(number int, now, before uint64, dims ...string) {
	delta, ok := growth(now, before, p.narrow)
	if !ok {
		p.now.Gaps++
		return
	}
	p.add(number, probes.Uint(delta), dims...)
}

// percent is a number of percents, to a hundredth: more digits say nothing, and
// each leaves the machine.
func percent(f float64) probes.Value { return probes.Float(math.Round(f*100) / 100) }

// portion is a part of a whole.
func portion(part, whole uint64) probes.Value {
	if whole == 0 {
		return probes.Float(0)
	}
	return percent(100 * float64(min(part, whole)) / float64(whole))
}

// ofTime is how much of the time since the last poll something took.
func (p *Probe) ofTime(took time.Duration) probes.Value {
	return percent(min(100, 100*float64(took)/float64(p.elapsed)))
}
