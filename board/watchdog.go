package board

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// WatchdogInfo is a timer that resets this machine when nobody feeds it.
type WatchdogInfo struct {
	Name     string `json:"name"` // watchdog0
	Identity string `json:"identity,omitempty"`
	State    string `json:"state,omitempty"`   // active: it is fed by somebody; inactive
	Timeout  int    `json:"timeout,omitempty"` // seconds; so are the bounds
	Min      int    `json:"min_timeout,omitempty"`
	Max      int    `json:"max_timeout,omitempty"`
	NoWayOut bool   `json:"nowayout"`      // once started it cannot be stopped
	CausedIt bool   `json:"reset_by_this"` // it was what reset the machine last, where it knows
}

const bootedByWatchdog = 0x20 // WDIOF_CARDRESET

// Watchdogs lists the timers by number, and opens none: that would start it.
func (p Paths) Watchdogs() []WatchdogInfo {
	all := []WatchdogInfo{}
	for _, n := range numbers(p.sys("class/watchdog"), "watchdog") {
		name := "watchdog" + strconv.Itoa(n)
		dir := p.sys("class/watchdog", name)
		number := func(file string) int {
			n, _ := readNumber(filepath.Join(dir, file))
			return int(n)
		}
		all = append(all, WatchdogInfo{
			Name:     name,
			Identity: readText(filepath.Join(dir, "identity")),
			State:    readText(filepath.Join(dir, "state")),
			Timeout:  number("timeout"),
			Min:      number("min_timeout"),
			Max:      number("max_timeout"),
			NoWayOut: number("nowayout") != 0,
			CausedIt: number("bootstatus")&bootedByWatchdog != 0,
		})
	}
	return all
}

// Watchdog is a timer that runs: this machine is reset unless Kick comes within
// each Timeout.
type Watchdog struct {
	path     string
	timeout  time.Duration
	nowayout bool

	mu   sync.Mutex
	file *os.File
	dev  device
}

// OpenWatchdog starts a timer: "watchdog0", "/dev/watchdog0" or "0"; "" is the
// first one. timeout is rounded up to seconds, and the hardware may round it
// further: Timeout tells.
func (p Paths) OpenWatchdog(name string, timeout time.Duration) (*Watchdog, error) {
	number := strings.TrimPrefix(strings.TrimPrefix(name, "/dev/"), "watchdog")
	if number == "" {
		number = "0"
	}
	if _, err := strconv.ParseUint(number, 10, 16); err != nil {
		return nil, fmt.Errorf("watchdog %q: write watchdog0 or another that `edgehold board` lists", name)
	}
	w := &Watchdog{path: p.dev("watchdog" + number)}
	if no, ok := readNumber(p.sys("class/watchdog", "watchdog"+number, "nowayout")); ok {
		w.nowayout = no != 0
	}
	f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, explainWatchdog(w.path, err)
	}
	w.file, w.dev = f, p.ask().wrap(f)
	if err := w.setTimeout(timeout); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func explainWatchdog(path string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s is fed by somebody else: if that is systemd, take RuntimeWatchdogSec= out of /etc/systemd/system.conf: %w", path, bare(err))
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("no right to open %s, which belongs to root: give it to the user's group by a udev rule, and in the service allow the device: %w", path, bare(err))
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s is not there: `edgehold board` lists the watchdogs: %w", path, bare(err))
	}
	return fmt.Errorf("open %s: %w", path, bare(err))
}

func (w *Watchdog) setTimeout(timeout time.Duration) error {
	seconds := new(int32)
	*seconds = int32(max(1, min((timeout+time.Second-1)/time.Second, 1<<31-1)))
	asked := *seconds
	if err := w.dev.Ioctl(unix.WDIOC_SETTIMEOUT, unsafe.Pointer(seconds)); err != nil {
		return fmt.Errorf("set %s to %d s: %w; `edgehold board` tells what it can do", w.path, asked, err)
	}
	w.timeout = time.Duration(*seconds) * time.Second
	return nil
}

// Timeout is what the hardware has taken.
func (w *Watchdog) Timeout() time.Duration { return w.timeout }

// Kick starts the time anew.
func (w *Watchdog) Kick() error { return w.write(0) }

func (w *Watchdog) write(b byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.file.Write([]byte{b}); err != nil {
		return fmt.Errorf("feed %s: %w", w.path, bare(err))
	}
	return nil
}

// Close stops the timer. One that cannot be stopped is fed a last time, so that
// who comes next has the whole Timeout.
func (w *Watchdog) Close() error {
	last := byte('V') // the kernel's sign that this end is wanted
	if w.nowayout {
		last = 0
	}
	return firstError(w.write(last), w.file.Close())
}
