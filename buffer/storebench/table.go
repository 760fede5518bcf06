package main

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"time"
)

// table makes all measurements and prints them in Markdown.
type table struct {
	disk                       disk
	why, scratch, fleet, snmpd string
	days                       float64
	cycles, rounds             int
	out                        io.Writer
}

// bar is what a figure is held against; 0: nothing.
type bar float64

// of gives the figure with its bar.
func (b bar) of(x float64) string {
	switch {
	case b == 0:
		return fmt.Sprintf("%.3g", x)
	case x <= float64(b):
		return fmt.Sprintf("%.3f (bar %.3g: reached)", x, float64(b))
	}
	return fmt.Sprintf("**%.3f** (bar %.3g: not reached)", x, float64(b))
}

func (t *table) print(w io.Writer) error {
	t.out = w
	t.say("Counted on %s/%s. Bytes and flushes are exact: those of the device are counted at a loop device below ext4, its",
		runtime.GOOS, runtime.GOARCH)
	t.say("journal included, after %d polls that are not counted. Times and rates are a guide, the machine is shared. \"Quiet\"", warmup)
	t.say("lets the file system settle after each commit, as it does by itself within a minute: it then also writes the file's")
	t.say("time stamps through its journal. Disk is the pages in use, in brackets the whole file.")
	if t.disk.Device == "" {
		t.say("\nThe device was not measured: %s.", t.why)
	}
	for _, part := range []func() error{t.layouts, t.rhythms, t.sizes, t.recordings, t.month} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

const (
	warmup     = 64
	longWindow = 60 * 24 * time.Hour // nothing becomes late
)

func (t *table) trial(layout, mode string, m mixOptions) trial {
	return trial{
		Layout: layout, Mode: mode, Mix: m, Warmup: warmup, Cycles: t.cycles, Window: longWindow, Disk: t.disk,
		Quiet: false,
	}
}

func perPoint(bytes int64, points int) float64 { return float64(bytes) / float64(max(points, 1)) }

func (r result) flushes() float64 { return perPoint(r.Device.Flushes, r.Commits) }

func (t *table) device(r result, b bar) string {
	if t.disk.Device == "" {
		return "not measured"
	}
	return b.of(perPoint(r.Device.Bytes, r.Points))
}

// flushes are those of a commit. The file system adds a few of its own to the
// whole run, so the bar is held against tenths.
func (t *table) flushes(r result, b bar) string {
	if t.disk.Device == "" {
		return "not measured"
	}
	x := r.flushes()
	switch {
	case b == 0:
		return fmt.Sprintf("%.2f", x)
	case math.Round(x*10)/10 <= float64(b):
		return fmt.Sprintf("%.2f (bar %.3g: reached)", x, float64(b))
	}
	return fmt.Sprintf("**%.2f** (bar %.3g: not reached)", x, float64(b))
}

// commit is the bytes that one commit costs at the device.
func (t *table) commit(r result) string {
	if t.disk.Device == "" {
		return "not measured"
	}
	return fmt.Sprintf("%.0f", perPoint(r.Device.Bytes, r.Commits))
}

func onDisk(r result, b bar) string {
	return fmt.Sprintf("%s [%.3g]", b.of(perPoint(r.Used, r.Stored)), perPoint(r.File, r.Stored))
}

func rate(points int, d time.Duration) string {
	if points == 0 || d == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f M", float64(points)/d.Seconds()/1e6)
}

// layouts puts the store beside naive layouts and an append log.
func (t *table) layouts() error {
	for _, c := range []struct {
		name string
		mix  mixOptions
		disk bar
	}{{"normal", normal(40), 0.55}, {"busy", busy(40), 1.05}} {
		t.say("\n### Layouts, %s mix: %d series, one commit a poll\n", c.name, c.mix.series())
		t.say("| layout | disk B/pt | device B/pt offline | flushes a commit | device B/pt online | flushes a commit | append pt/s | drain pt/s | RssAnon MB |")
		t.say("|---|---|---|---|---|---|---|---|---|")
		record := 0
		for _, layout := range []string{layoutStore, layoutLog, layoutByTime, layoutLines, layoutBySeries} {
			off, on, err := t.both(layout, c.mix, record)
			if err != nil {
				return err
			}
			if layout == layoutStore {
				record = int(off.Payload) / (warmup + t.cycles)
			}
			diskBar, offBar, onBar, flushBar := c.disk, bar(2.3), bar(1.75), bar(2)
			if layout != layoutStore {
				diskBar, offBar, onBar, flushBar = 0, 0, 0, 0
			}
			if c.name == "busy" { // the bars of the device are for the normal mix
				offBar, onBar = 0, 0
			}
			t.say("| %s | %s | %s | %s | %s | %s | %s | %s | %.1f |", layout, onDisk(off, diskBar), t.device(off, offBar), t.flushes(off, flushBar),
				t.device(on, onBar), t.flushes(on, flushBar), rate(off.Points, off.Append), rate(off.DrainedPoints, off.Drain), mb(off.Anonymous))
		}
	}
	return nil
}

func mb(n int64) float64 { return float64(n) / 1e6 }

// both measures a layout offline, drained at the end, and online.
func (t *table) both(layout string, m mixOptions, record int) (off, on result, err error) {
	o := t.trial(layout, offline, m)
	o.RecordBytes = record
	o.Keep = layout == layoutStore
	if layout == layoutBySeries {
		o.Warmup, o.Cycles = 8, min(o.Cycles, 56) // each commit writes most of the file
	}
	if off, err = o.start(); err != nil {
		return off, on, err
	}
	if o.Keep {
		drained, err := t.drainKept(o, &off)
		if err != nil {
			return off, on, err
		}
		off.Anonymous = max(off.Anonymous, drained.Anonymous)
	}
	o.Mode, o.Keep = online, false
	on, err = o.start()
	return off, on, err
}

// drainKept drains the file that a trial left, in another process, and holds
// all values and the account against what was written.
func (t *table) drainKept(o trial, off *result) (result, error) {
	o.Mode, o.Keep, o.Cycles = drain, false, off.Commits
	d, err := o.start()
	if err != nil {
		return d, err
	}
	off.Drain, off.DrainedPoints, off.DrainDevice = d.Drain, d.DrainedPoints, d.DrainDevice
	a := d.Account
	if d.DrainedPoints != off.Stored || a.Delivered != int64(off.Stored) || a.Accepted != a.Delivered {
		return d, fmt.Errorf("%d points were written, %d drained, the account is %+v", off.Stored, d.DrainedPoints, a)
	}
	return d, nil
}

// rhythms measures what a minute of quiet adds, the shipped default and points
// that become late.
func (t *table) rhythms() error {
	spread := mixOptions{Devices: 200, Ports: 4, Active: 0.35, Idle: 0.30, Slots: 6}
	t.say("\n### Rhythms of the store, normal mix\n")
	t.say("| | disk B/pt | device B/pt offline | bytes a commit | flushes a commit | device B/pt online | bytes a commit | flushes a commit |")
	t.say("|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		name   string
		mix    mixOptions
		change func(o *trial)
	}{
		{"one commit a minute, 9,920 series in step, quiet", normal(40), func(o *trial) { o.Quiet = true }},
		{"the same, points late after an hour", normal(40), func(o *trial) { o.Window = time.Hour }},
		{"append log, quiet", normal(40), func(o *trial) { o.Layout, o.RecordBytes, o.Quiet = layoutLog, 5500, true }},
		{"shipped default: six commits a minute, 200 devices of 48 series", spread, func(o *trial) { o.Warmup, o.Cycles = 6*warmup, 6*o.Cycles }},
		{"the same, quiet", spread, func(o *trial) { o.Warmup, o.Cycles, o.Quiet = 6*warmup, 6*o.Cycles, true }},
	} {
		o := t.trial(layoutStore, offline, c.mix)
		c.change(&o)
		o.Keep = true
		if o.Layout == layoutLog {
			o.Keep = false
		}
		off, err := o.start()
		if err != nil {
			return err
		}
		o.Mode, o.Keep = online, false
		on, err := o.start()
		if err != nil {
			return err
		}
		t.say("| %s | %s | %s | %s | %s | %s | %s | %s |", c.name, onDisk(off, 0),
			t.device(off, 0), t.commit(off), t.flushes(off, 0), t.device(on, 0), t.commit(on), t.flushes(on, 0))
	}
	return nil
}

func (t *table) sizes() error {
	t.say("\n### Sizes of site, store, normal mix, one commit a poll\n")
	t.say("| series | disk B/pt | payload B/pt | device B/cycle offline | device B/cycle online | flushes a commit | append pt/s | drain pt/s |")
	t.say("|---|---|---|---|---|---|---|---|")
	for _, m := range []mixOptions{
		{Devices: 1, Ports: 19, Active: 0.35, Idle: 0.30}, normal(4), normal(40), normal(160),
	} {
		off, on, err := t.both(layoutStore, m, 0)
		if err != nil {
			return err
		}
		t.say("| %d | %s | %.3f | %s | %s | %s | %s | %s |", m.series(), onDisk(off, 0), perPoint(off.Payload, off.Stored),
			t.commit(off), t.commit(on), t.flushes(on, 0), rate(off.Points, off.Append), rate(off.DrainedPoints, off.Drain))
	}
	return nil
}

// recordings replays what the product's own polling gave.
func (t *table) recordings() error {
	t.say("\n### Points of the product's own polling, one commit a round\n")
	t.say("| recording | points | series | disk B/pt | payload B/pt | device B/pt offline | bytes a commit | device B/pt online | bytes a commit |")
	t.say("|---|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		name, path string
		record     func(path string, rounds int) error
	}{
		{"simulated fleet: 40 switches, 8 UPSs, a minute a round, each device its own stamp", t.fleet, recordFleet},
		{"snmpd of a machine that compiles, a second stands for a minute", t.snmpd, recordSnmpd},
	} {
		if c.path == "" {
			c.path = filepath.Join(t.scratch, "recording")
			if err := c.record(c.path, t.rounds); err != nil {
				t.say("| %s | not measured: %v | | | | | | | |", c.name, err)
				continue
			}
		}
		if err := t.replay(c.name, c.path); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) replay(name, path string) error {
	o := t.trial(layoutStore, offline, mixOptions{})
	o.Recording, o.Keep, o.Warmup, o.Cycles = path, true, 8, 1<<20
	off, err := o.start()
	if err != nil {
		return err
	}
	if _, err := t.drainKept(o, &off); err != nil {
		return err
	}
	o.Mode, o.Keep = online, false
	on, err := o.start()
	if err != nil {
		return err
	}
	t.say("| %s | %d | %d | %s | %.3f | %s | %s | %s | %s |", name, off.Stored, off.Series, onDisk(off, 0), perPoint(off.Payload, off.Stored),
		t.device(off, 0), t.commit(off), t.device(on, 0), t.commit(on))
	return nil
}

// month is the long outage: written, opened again, drained and verified.
func (t *table) month() error {
	mix := normal(40)
	base := t.trial(layoutStore, online, mix)
	base.Warmup, base.Cycles = 0, 2
	empty, err := base.start()
	if err != nil {
		return err
	}
	o := t.trial(layoutStore, offline, mix)
	o.Warmup, o.Cycles, o.Keep = 0, int(t.days*24*60), true
	off, err := o.start()
	if err != nil {
		return err
	}
	d, err := t.drainKept(o, &off)
	if err != nil {
		return err
	}
	short := o
	short.Cycles = 2
	few, err := short.start()
	if err != nil {
		return err
	}
	opened, err := t.drainKept(short, &few)
	if err != nil {
		return err
	}
	t.say("\n### %.3g days offline: %d series at one minute, %.1f M points\n", t.days, mix.series(), float64(off.Stored)/1e6)
	t.say("| | |\n|---|---|")
	size := bar(250).of(mb(off.File))
	if t.days < 30 {
		size = fmt.Sprintf("%.1f (%.1f in 30 days)", mb(off.File), mb(off.File)*30/t.days)
	}
	t.say("| file, MB | %s |", size)
	t.say("| pages in use, B/pt | %s |", bar(0.55).of(perPoint(off.Used, off.Stored)))
	if t.disk.Device != "" {
		t.say("| written to the device, MB | %.0f |", mb(off.Device.Bytes))
		t.say("| the same while draining, B/pt | %.3f |", perPoint(d.DrainDevice.Bytes, d.DrainedPoints))
	}
	t.say("| written to the device, B/pt, with all growth of the file | %s |", t.device(off, 2.3))
	t.say("| flushes a commit | %s |", t.flushes(off, 2))
	t.say("| append pt/s; longest commit | %s; %.0f ms |", rate(off.Points, off.Append), off.LongestAppend.Seconds()*1e3)
	t.say("| reopen, ms | %.0f |", d.Open.Seconds()*1e3)
	t.say("| drained, every value, stamp and form verified | %d points, %s pt/s |", d.DrainedPoints, rate(d.DrainedPoints, d.Drain))
	t.say("| file after the drain, MB | %.1f |", mb(d.File))
	t.say("| account | accepted %d = delivered %d |", d.Account.Accepted, d.Account.Delivered)
	t.say("| RssAnon after collection of an empty store of these series, the bench included | %.1f MB |", mb(empty.Collected))
	t.say("| above that while writing, after collections, MB | median %s, most %.1f; with garbage %.1f |", bar(8).of(mb(off.Collected-empty.Collected)), mb(off.CollectedMost-empty.Collected), mb(off.Anonymous-empty.Collected))
	t.say("| the same of a store with two polls, opened, with the points that are wanted | %.1f MB |", mb(opened.Opened))
	t.say("| above that with the backlog, opened, MB | %.3f |", mb(d.Opened-opened.Opened))
	t.say("| above that while draining, after collections, MB | median %s, most %.1f; with garbage %.1f |", bar(8).of(mb(d.Collected-opened.Opened)), mb(d.CollectedMost-opened.Opened), mb(d.Anonymous-opened.Opened))
	return nil
}
