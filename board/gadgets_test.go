package board

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	return asJSON(t, a) == asJSON(t, b)
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// ledFile is what was written: a file of sysfs takes each write as a whole, a
// plain file of a test keeps what is beyond it.
func wrote(t *testing.T, p Paths, name, want string) {
	t.Helper()
	if got := content(t, p.sys("class/leds", name)); !strings.HasPrefix(got, want) {
		t.Errorf("%s is %q, want %q first", name, got, want)
	}
}

func TestLEDs(t *testing.T) {
	p := plant(t, pi4...)
	leds := p.LEDs()
	if len(leds) != 2 || leds[0].Trigger != "mmc0" || leds[1].Trigger != "none" || leds[1].Brightness != 128 || !leds[0].Writable || len(leds[0].Triggers) != 7 {
		t.Fatalf("got %+v", leds)
	}
	act, err := p.OpenLED("ACT")
	if err != nil {
		t.Fatal(err)
	}
	wrote(t, p, "ACT/trigger", "none")
	wrote(t, p, "ACT/brightness", "0")
	if err := act.Set(true); err != nil {
		t.Fatal(err)
	}
	wrote(t, p, "ACT/brightness", "255")
	if err := act.Close(); err != nil {
		t.Fatal(err)
	}
	wrote(t, p, "ACT/trigger", "mmc0")

	pwr, err := p.OpenLED("PWR")
	if err != nil {
		t.Fatal(err)
	}
	wrote(t, p, "PWR/brightness", "0")
	if err := errors.Join(pwr.Set(true), pwr.Set(false), pwr.Close()); err != nil {
		t.Fatal(err)
	}
	wrote(t, p, "PWR/brightness", "128")
	wrote(t, p, "PWR/trigger", "[none]")
}

func TestLEDThatIsNotThere(t *testing.T) {
	if _, err := plant(t, pi4...).OpenLED("nope"); err == nil || !strings.Contains(err.Error(), "ACT, PWR") {
		t.Errorf("got %v", err)
	}
	if _, err := plant(t).OpenLED("ACT"); err == nil || !strings.Contains(err.Error(), "shows none") {
		t.Errorf("got %v", err)
	}
}

func TestLEDOfRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everything")
	}
	p := plant(t, pi4...)
	if err := os.Chmod(p.sys("class/leds/ACT/trigger"), 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := p.OpenLED("ACT"); err == nil || !strings.Contains(err.Error(), "udev") {
		t.Errorf("got %v", err)
	}
}

// dog stands for the kernel's side of a watchdog: the file keeps what is written,
// the ioctl answers.
type dog struct {
	realKernel
	asked int32
	grant int32 // seconds; 0: the timeout is refused
}

func (d *dog) wrap(*os.File) device { return d }
func (d *dog) Close() error         { return nil }

func (d *dog) Set(uint, uintptr) error { return unix.ENOTTY }

func (d *dog) Ioctl(op uint, arg unsafe.Pointer) error {
	if op != 0xc0045706 { // WDIOC_SETTIMEOUT
		return unix.ENOTTY
	}
	d.asked = *(*int32)(arg)
	if d.grant == 0 {
		return unix.EINVAL
	}
	*(*int32)(arg) = d.grant
	return nil
}

func kennel(t *testing.T, d *dog, nowayout string) Paths {
	p := plant(t, files{"dev/watchdog1": "", "sys/class/watchdog/watchdog1/nowayout": nowayout})
	p.kernel = d
	return p
}

func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name, nowayout string
		want           string // bytes written
	}{
		{"is stopped by the sign", "0\n", "\x00\x00V"},
		{"without a way out is fed a last time", "1\n", "\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &dog{grant: 16}
			p := kennel(t, d, c.nowayout)
			w, err := p.OpenWatchdog("watchdog1", 14100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if d.asked != 15 || w.Timeout() != 16*time.Second {
				t.Errorf("asked for %d s, took %v", d.asked, w.Timeout())
			}
			if err := errors.Join(w.Kick(), w.Kick(), w.Close()); err != nil {
				t.Fatal(err)
			}
			if got := content(t, p.dev("watchdog1")); got != c.want {
				t.Errorf("wrote %q, want %q", got, c.want)
			}
			if err := w.Kick(); err == nil {
				t.Error("fed after the end")
			}
		})
	}
}

func TestWatchdogThatRefusesTheTimeoutIsStopped(t *testing.T) {
	p := kennel(t, &dog{}, "0\n")
	_, err := p.OpenWatchdog("/dev/watchdog1", time.Hour)
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "3600 s") {
		t.Errorf("got %v", err)
	}
	if got := content(t, p.dev("watchdog1")); got != "V" {
		t.Errorf("wrote %q: it would reset the machine", got)
	}
}

func TestWatchdogThatCannotBeOpened(t *testing.T) {
	p := kennel(t, &dog{grant: 1}, "0\n")
	for name, want := range map[string]string{"": "watchdog0 is not there", "7": "watchdog7 is not there", "../x": "write watchdog0"} {
		if _, err := p.OpenWatchdog(name, time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
	if got := explainWatchdog("/dev/watchdog0", &os.PathError{Op: "open", Err: unix.EBUSY}).Error(); !strings.Contains(got, "RuntimeWatchdogSec") {
		t.Errorf("got %s", got)
	}
}

func TestNumbers(t *testing.T) {
	p := plant(t, files{"dev/i2c-10": "", "dev/i2c-2": "", "dev/i2c-": "", "dev/i2c-02": "", "dev/i2c--1": "", "dev/i2c-x": ""})
	if got := numbers(p.dev(), "i2c-"); len(got) != 2 || got[0] != 2 || got[1] != 10 {
		t.Errorf("got %v", got)
	}
	if got := numbers(filepath.Join(p.dev(), "nope"), "i2c-"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// A fresh machine file is opened by the real way: a FIFO stands for the device.
func TestRealDeviceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	dev, err := realKernel{}.open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := askFunctions(dev); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a FIFO has no I2C: %v", err)
	}
	if err := dev.Set(ioctlSlave, 0x48); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a FIFO has no I2C: %v", err)
	}
	pending := new(int32) // TIOCINQ writes through the pointer
	*pending = -1
	if err := dev.Ioctl(unix.TIOCINQ, unsafe.Pointer(pending)); err != nil || *pending != 0 {
		t.Errorf("got %d, %v", *pending, err)
	}
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := io.WriteString(w, "abc"); err != nil {
		t.Fatal(err)
	}
	if err := (realKernel{}).wrap(r).Ioctl(unix.TIOCINQ, unsafe.Pointer(pending)); err != nil || *pending != 3 {
		t.Errorf("got %d, %v", *pending, err)
	}
}
