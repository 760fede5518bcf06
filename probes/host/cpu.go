package host

import (
	"os"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// tick is the unit of times under /proc on all processors that Linux has.
const tick = 10 * time.Millisecond

func (p *Probe) cpu() {
	s, ok := p.stat()
	if !ok {
		return
	}
	before := p.before.all
	p.before.all = &s.all
	if before == nil {
		return
	}
	shares, ok := s.all.shares(*before)
	if !ok {
		return
	}
	p.add(cpuUsage, percent(busy(shares)))
	for i, share := range shares {
		// What a machine never had, such as stolen time, is not worth a point.
		if i != modeIdle && s.all[i] > 0 {
			p.add(cpuMode, percent(share), "mode", modeNames[i])
		}
	}
}

func (p *Probe) cores() {
	s, ok := p.stat()
	if !ok {
		return
	}
	now := make(map[string]times, len(s.cores))
	for _, c := range s.cores {
		now[c.number] = c.times
		before, known := p.before.cores[c.number]
		if shares, ok := c.shares(before); known && ok {
			p.add(coreUsage, percent(busy(shares)), "core", c.number)
		}
	}
	p.before.cores = now
}

// stat reads /proc/stat once a poll: it is the dearest file.
func (p *Probe) stat() (*stat, bool) {
	if p.status != nil {
		return p.status, true
	}
	text, ok := p.must("stat")
	if !ok {
		return nil, false
	}
	s, ok := parseStat(text)
	if !ok {
		p.miss("read stat: no processors found in it")
		return nil, false
	}
	p.status = &s
	return p.status, true
}

// pressures tells how long tasks waited. All tasks waiting for a processor is
// no state of a whole machine.
func (p *Probe) pressures() {
	now := map[string]uint64{}
	for _, resource := range []string{"cpu", "memory", "io"} {
		text, err := p.read(p.proc, "pressure/"+resource)
		if err != nil {
			continue
		}
		for _, kind := range []string{"some", "full"} {
			total, ok := parsePressure(text, kind)
			if !ok || resource == "cpu" && kind == "full" {
				continue
			}
			key := resource + kind
			now[key] = total
			before, known := p.before.waits[key]
			if known && total >= before {
				p.add(pressure, p.ofTime(time.Duration(total-before)*time.Microsecond), "resource", resource, "tasks", kind)
			}
		}
	}
	if len(now) == 0 && p.named {
		p.miss("pressure: this kernel does not tell it; boot with psi=1, or take the group away")
	}
	p.before.waits = now
}

func (p *Probe) memory() {
	text, ok := p.must("meminfo")
	if !ok {
		return
	}
	var total, free, buffers, cached, swapTotal, swapFree uint64
	available := ^uint64(0)
	parseFields(text, map[string]*uint64{
		"MemTotal": &total, "MemAvailable": &available, "MemFree": &free, "Buffers": &buffers, "Cached": &cached,
		"SwapTotal": &swapTotal, "SwapFree": &swapFree,
	})
	if available == ^uint64(0) { // before Linux 3.14
		available = free + buffers + cached
	}
	if total == 0 {
		p.miss("read meminfo: no MemTotal found in it")
		return
	}
	available = min(available, total)
	p.add(memoryTotal, probes.Uint(total))
	p.add(memoryAvailable, probes.Uint(available))
	p.add(memoryUsage, portion(total-available, total))
	if swapTotal > 0 {
		used := swapTotal - min(swapFree, swapTotal)
		p.add(swapUsed, probes.Uint(used))
		p.add(swapUsage, portion(used, swapTotal))
	}
	p.kills()
}

// kills tells how many processes the kernel ended for want of memory.
func (p *Probe) kills() {
	text, err := p.read(p.proc, "vmstat")
	if err != nil {
		return
	}
	now := ^uint64(0)
	parseFields(text, map[string]*uint64{"oom_kill": &now})
	if now == ^uint64(0) { // before Linux 4.13
		return
	}
	if before := p.before.kills; before != nil {
		p.grown(memoryKills, now, *before)
	}
	p.before.kills = &now
}

func (p *Probe) system() {
	if text, ok := p.must("loadavg"); ok {
		loads, running, total, ok := parseLoad(text)
		if !ok {
			p.miss("read loadavg: it is not as expected")
		} else {
			p.add(load1, probes.Float(loads[0]))
			p.add(load5, probes.Float(loads[1]))
			p.add(load15, probes.Float(loads[2]))
			p.add(threads, probes.Uint(total))
			p.add(threadsRunning, probes.Uint(running))
		}
	}
	if s, ok := p.stat(); ok {
		p.add(threadsBlocked, probes.Uint(s.blocked))
	}
	p.add(uptime, probes.Float(p.stamp.Uptime.Truncate(tick).Seconds()))
	if text, err := p.read(p.proc, "sys/fs/file-nr"); err == nil {
		var n [1]uint64
		if numbers(text, n[:]) == 1 {
			p.add(filesOpen, probes.Uint(n[0]))
		}
	}
}

// process measures the agent itself.
func (p *Probe) process() {
	text, ok := p.must("self/stat")
	if !ok {
		return
	}
	ticks, number, pages, ok := parseProcess(strings.TrimSpace(text))
	if !ok {
		p.miss("read self/stat: it is not as expected")
		return
	}
	p.add(processMemory, probes.Uint(pages*uint64(os.Getpagesize())))
	p.add(processThreads, probes.Uint(number))
	if before := p.before.own; before != nil && ticks >= *before {
		p.add(processCPU, percent(100*float64(time.Duration(ticks-*before)*tick)/float64(p.elapsed)))
	}
	p.before.own = &ticks
	if open, err := names(p.proc, "self/fd"); err == nil {
		p.add(processFiles, probes.Int(int64(len(open))))
	}
}
