package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
)

const (
	sector = 512 // bytes, whatever the disk has
	// patience is how long file systems may take to tell their space, together.
	patience = 2 * time.Second
)

// names lists a folder below a root, sorted.
func names(root, folder string) ([]string, error) {
	f, err := os.Open(filepath.Join(root, folder))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	slices.Sort(all)
	return all, err
}

// space is what a file system has, in bytes.
type space struct{ size, free, available, inodes, inodesFree uint64 }

func statfs(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, err
	}
	unit := uint64(s.Frsize)
	if unit == 0 {
		unit = uint64(s.Bsize)
	}
	return space{size: s.Blocks * unit, free: s.Bfree * unit, available: s.Bavail * unit, inodes: s.Files, inodesFree: s.Ffree}, nil
}

// spaceAsker asks file systems for their space, and waits for none that hangs: a
// share whose server is gone never answers. One question at a time is open for a
// mount; its goroutine ends when the kernel answers.
type spaceAsker struct {
	statfs   func(path string) (space, error)
	patience time.Duration
	open     map[string]chan spaceAnswer
}

type spaceAnswer struct {
	space space
	err   error
}

var errNoAnswer = errors.New("it does not answer; look at its disk, or the server that it is on")

func newSpaceAsker(statfs func(string) (space, error)) *spaceAsker {
	return &spaceAsker{statfs: statfs, patience: patience, open: map[string]chan spaceAnswer{}}
}

// ask gives an answer for each mount.
func (a *spaceAsker) ask(mounts []mount) []spaceAnswer {
	waiting := make([]chan spaceAnswer, len(mounts))
	for i, m := range mounts {
		if late := a.open[m.point]; late != nil {
			select {
			case <-late: // what it says is old
			default:
				continue
			}
		}
		answer := make(chan spaceAnswer, 1)
		waiting[i], a.open[m.point] = answer, answer
		go func() {
			s, err := a.statfs(m.point)
			answer <- spaceAnswer{s, err}
		}()
	}
	answers := make([]spaceAnswer, len(mounts))
	enough := time.NewTimer(a.patience)
	defer enough.Stop()
	over := false
	for i, m := range mounts {
		answers[i].err = errNoAnswer
		if waiting[i] == nil {
			continue
		}
		var came bool
		if answers[i], came = await(waiting[i], enough.C, &over); came {
			delete(a.open, m.point)
		}
	}
	return answers
}

// await waits for an answer until the time is over.
func await(from <-chan spaceAnswer, enough <-chan time.Time, over *bool) (spaceAnswer, bool) {
	if !*over {
		select {
		case answer := <-from:
			return answer, true
		case <-enough:
			*over = true
		}
	}
	select {
	case answer := <-from:
		return answer, true
	default:
		return spaceAnswer{err: errNoAnswer}, false
	}
}

func (p *Probe) filesystems() {
	text, ok := p.must("self/mountinfo")
	if !ok {
		return
	}
	mounts := slices.DeleteFunc(chooseMounts(text), func(m mount) bool { return !p.filters.mounts.Match(m.point) })
	for i, answer := range p.space.ask(mounts) {
		m, s := mounts[i], answer.space
		if answer.err != nil {
			p.miss("file system %s: %v", m.point, answer.err)
			continue
		}
		if s.size == 0 {
			continue // it has no storage
		}
		dims := []string{"mount", m.point, "filesystem.type", m.kind, "filesystem.source", m.source}
		used := s.size - min(s.free, s.size)
		p.add(spaceSize, probes.Uint(s.size), dims...)
		p.add(spaceAvailable, probes.Uint(s.available), dims...)
		p.add(spaceUsage, portion(used, used+s.available), dims...) // as df tells it, without what is root's
		if s.inodes > 0 {
			p.add(spaceInodes, portion(s.inodes-min(s.inodesFree, s.inodes), s.inodes), dims...)
		}
		state := int64(0)
		if m.readOnly {
			state = 1
		}
		p.add(spaceReadOnly, probes.Int(state), dims...)
	}
}

// places is what is found once: which disks and interfaces are hardware, and where
// flags lie.
type places struct {
	disks      map[string]bool
	interfaces map[string]bool
	throttled  string // below the root of /sys
	lowVoltage string
	searched   bool
}

func (p *Probe) disks() {
	text, ok := p.must("diskstats")
	if !ok {
		return
	}
	now := map[string]diskTimes{}
	lines(text, func(line string) bool {
		name, t, ok := parseDisk(line)
		if !ok || t == (diskTimes{}) || !p.isDisk(name) {
			return true
		}
		now[name] = t
		if before, known := p.before.disks[name]; known {
			p.disk(name, &t, &before)
		}
		return true
	})
	p.before.disks = now
}

func (p *Probe) disk(name string, now, before *diskTimes) {
	for _, c := range []struct {
		number      int
		now, before uint64
		unit        uint64
	}{
		{diskRead, now.sectorsRead, before.sectorsRead, sector},
		{diskWritten, now.sectorsWritten, before.sectorsWritten, sector},
		{diskReads, now.reads, before.reads, 1},
		{diskWrites, now.writes, before.writes, 1},
	} {
		delta, ok := growth(c.now, c.before, p.narrow)
		if !ok || delta > 1<<50 {
			p.now.Gaps++
			continue
		}
		p.add(c.number, probes.Uint(delta*c.unit), "disk", name)
	}
	if took, ok := growth(now.busy, before.busy, true); ok && took < 1<<40 {
		p.add(diskBusy, p.ofTime(time.Duration(took)*time.Millisecond), "disk", name)
	}
}

// isDisk tells whether a device is a whole disk that is wanted: without a filter
// each that is hardware, but no boot partition of a flash chip.
func (p *Probe) isDisk(name string) bool {
	is, known := p.places.disks[name]
	if known {
		return is
	}
	if p.places.disks == nil {
		p.places.disks = map[string]bool{}
	}
	is = p.exists("block/" + name)
	if p.filters.disks != nil {
		is = is && p.filters.disks.Match(name)
	} else {
		is = is && p.exists("block/"+name+"/device") && !strings.Contains(name, "boot") && !strings.HasSuffix(name, "rpmb")
	}
	p.places.disks[name] = is
	return is
}

func (p *Probe) exists(name string) bool {
	_, err := os.Stat(filepath.Join(p.sys, name))
	return err == nil
}

// wears tells of eMMC how much of its life is used.
func (p *Probe) wears() {
	all, err := names(p.sys, "block")
	if err != nil {
		return
	}
	for _, name := range all {
		if !strings.HasPrefix(name, "mmcblk") || strings.Contains(name, "boot") {
			continue
		}
		text, err := p.read(p.sys, "block/"+name+"/device/life_time")
		if err != nil {
			continue
		}
		for i, used := range parseLife(text) {
			if used > 0 {
				p.add(wear, probes.Uint(used), "disk", name, "memory", string(rune('a'+i)))
			}
		}
		text, _ = p.read(p.sys, "block/"+name+"/device/pre_eol_info")
		if state := strings.TrimPrefix(strings.TrimSpace(text), "0x0"); state >= "1" && state <= "3" && len(state) == 1 {
			p.add(wearReserve, probes.Int(int64(state[0]-'0')), "disk", name)
		}
	}
}
