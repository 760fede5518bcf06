package board

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
)

// workbench stands for the kernel: adapters with one part of 256 registers each.
type workbench struct {
	can    functions
	opened map[string]int
	mu     sync.Mutex
	parts  []*part
	fails  map[string]error // by path
}

func (b *workbench) wrap(*os.File) device { return nil }

func (b *workbench) open(path string) (device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fails[path]; err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if b.opened == nil {
		b.opened = map[string]int{}
	}
	b.opened[path]++
	p := &part{can: b.can, address: 0x48}
	for i := range p.registers {
		p.registers[i] = byte(i*7 + 1)
	}
	b.parts = append(b.parts, p)
	return p, nil
}

func (b *workbench) opens(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened[path]
}

// part has a pointer that a write sets and each byte moves on, as most parts do.
type part struct {
	can       functions
	address   uintptr
	slave     uintptr
	pointer   byte
	registers [256]byte
	busy      atomic.Int32
	closed    atomic.Bool
	trouble   error // of each transfer
	bound     bool  // to a driver of the kernel
	short     bool  // gives one byte less than asked
}

func (p *part) Close() error {
	if p.closed.Swap(true) {
		return os.ErrClosed
	}
	return nil
}

func (p *part) Set(op uint, value uintptr) error {
	if op != ioctlSlave {
		return unix.ENOTTY
	}
	if p.bound {
		return unix.EBUSY
	}
	p.slave = value
	return nil
}

func (p *part) Ioctl(op uint, arg unsafe.Pointer) error {
	if op == ioctlFunctions {
		*(*functions)(arg) = p.can
		return nil
	}
	if p.busy.Add(1) != 1 {
		panic("two transactions at once")
	}
	defer p.busy.Add(-1)
	switch {
	case p.closed.Load():
		return os.ErrClosed
	case p.trouble != nil:
		return p.trouble
	case op == ioctlReadWrite && p.can&canI2C != 0:
		return p.messages((*i2cMessages)(arg))
	case op == ioctlSMBus:
		return p.smbus((*smbusCall)(arg))
	}
	return unix.EOPNOTSUPP
}

func (p *part) write(data []byte) {
	p.pointer = data[0]
	for _, b := range data[1:] {
		p.registers[p.pointer] = b
		p.pointer++
	}
}

func (p *part) read(data []byte) {
	for i := range data {
		data[i] = p.registers[p.pointer]
		p.pointer++
	}
}

func (p *part) messages(all *i2cMessages) error {
	for _, m := range unsafe.Slice(all.first, all.count) {
		if uintptr(m.address) != p.address {
			return unix.ENXIO
		}
		data := unsafe.Slice(m.buffer, m.length)
		if m.flags == messageRead {
			p.read(data)
		} else {
			p.write(data)
		}
	}
	return nil
}

// smbus does what the kernel's documentation of SMBus says that goes over the wire.
func (p *part) smbus(c *smbusCall) error {
	if p.slave != p.address {
		return unix.EREMOTEIO
	}
	d := c.data.bytes[:]
	sizes := map[uint32]int{smbusByte: 1, smbusByteData: 1, smbusWordData: 2, smbusI2CBlock: int(d[0])}
	n := sizes[c.size]
	if c.size == smbusI2CBlock {
		d = d[1:]
	}
	if c.size == smbusI2CBlock && p.short {
		c.data.bytes[0]--
	}
	switch {
	case c.size == smbusByte && c.read == 1:
		p.read(d[:1])
	case c.size == smbusByte:
		p.write([]byte{c.command})
	case c.read == 1:
		p.write([]byte{c.command})
		p.read(d[:n])
	default:
		p.write(append([]byte{c.command}, d[:n]...))
	}
	return nil
}

const canAllSMBus = canReadByte | canWriteByte | canReadByteD | canWriteByteD | canReadWord | canWriteWord | canReadBlock | canWriteBlock

// oneBus is a machine with i2c-1 and what stands behind it.
func oneBus(t *testing.T, can functions) (Paths, *workbench) {
	p := plant(t, pi4...)
	b := &workbench{can: can}
	p.kernel = b
	return p, b
}

// What SMBus can say at all gives the same bytes and leaves the part the same as
// full I2C does.
func TestSMBusSaysWhatI2CSays(t *testing.T) {
	for _, c := range []struct {
		name string
		can  functions
		w, r []int // lengths that must work
	}{
		{"all", canAllSMBus, []int{0, 1, 1, 1, 1, 1, 1, 2, 3, 4, 33}, []int{1, 0, 1, 2, 3, 17, 32, 0, 0, 0, 0}},
		{"blocks alone", canReadBlock | canWriteBlock, []int{1, 1, 1, 2, 3, 9}, []int{1, 2, 32, 0, 0, 0}},
		{"no blocks", canAllSMBus &^ (canReadBlock | canWriteBlock), []int{0, 1, 1, 1, 2, 3}, []int{1, 0, 1, 2, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			full, fullBench := oneBus(t, canI2C|canAllSMBus)
			poor, poorBench := oneBus(t, c.can)
			a, errA := full.I2CBuses().Open("1")
			b, errB := poor.I2CBuses().Open("1")
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			for i := range c.w {
				w := make([]byte, c.w[i])
				for j := range w {
					w[j] = byte(rand.Uint32())
				}
				x, y := make([]byte, c.r[i]), make([]byte, c.r[i])
				if err := errors.Join(a.Tx(0x48, w, x), b.Tx(0x48, w, y)); err != nil {
					t.Fatalf("write %d read %d: %v", len(w), len(x), err)
				}
				if !bytes.Equal(x, y) {
					t.Errorf("write %x read %d: I2C gives %x, SMBus %x", w, len(x), x, y)
				}
				if fullBench.parts[0].registers != poorBench.parts[0].registers {
					t.Fatalf("write %x read %d left the part otherwise", w, len(x))
				}
			}
		})
	}
}

func TestSMBusRefusesWhatItCannotSay(t *testing.T) {
	p, b := oneBus(t, canAllSMBus)
	bus, err := p.I2CBuses().Open("1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{0, 2}, {2, 6}, {2, 1}, {34, 0}, {1, 33}} {
		before := b.parts[0].registers
		err := bus.Tx(0x48, make([]byte, c[0]), make([]byte, c[1]))
		want := fmt.Sprintf("SMBus only and cannot write %d and read %d bytes", c[0], c[1])
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if before != b.parts[0].registers {
			t.Errorf("%v reached the part", c)
		}
	}
	b.parts[0].short = true
	if err := bus.Tx(0x48, []byte{1}, make([]byte, 5)); err == nil || !strings.Contains(err.Error(), "4 of 5 bytes") {
		t.Errorf("short block: %v", err)
	}
}

func TestI2CByAllItsNames(t *testing.T) {
	for _, name := range []string{"1", "i2c-1", "/dev/i2c-1", "bcm2835 (i2c@7e804000)", "fe804000.i2c", "/soc/i2c@7e804000"} {
		p, b := oneBus(t, canI2C)
		bus, err := p.I2CBuses().Open(name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		r := make([]byte, 2)
		if err := bus.Tx(0x48, []byte{3}, r); err != nil || r[0] != 22 || r[1] != 29 {
			t.Errorf("%q: read %v, %v", name, r, err)
		}
		if b.opens(p.dev("i2c-1")) != 1 {
			t.Errorf("%q opened %v", name, b.opened)
		}
	}
}

func TestI2CThatCannotBeFound(t *testing.T) {
	p, _ := oneBus(t, canI2C)
	for name, want := range map[string]string{
		"7":   "i2c-1 (bcm2835 (i2c@7e804000)), i2c-20 (fef04500.i2c)",
		"":    "this machine has i2c-1",
		"foo": `no I2C adapter "foo"`,
	} {
		if _, err := p.I2CBuses().Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
	if _, err := plant(t).I2CBuses().Open("1"); err == nil || !strings.Contains(err.Error(), "dtparam=i2c_arm=on") {
		t.Errorf("got %v", err)
	}
	twins := plant(t, i2cBusTree("3", "a.i2c", "twin", "/a"), i2cBusTree("4", "b.i2c", "twin", "/b"))
	if _, err := twins.I2CBuses().Open("twin"); err == nil || !strings.Contains(err.Error(), `2 I2C adapters are called "twin"`) {
		t.Errorf("got %v", err)
	}
}

func TestI2CErrorsTellTheMend(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*part)
		addr uint16
		want string
		is   error
	}{
		{"no part", func(*part) {}, 0x49, "i2c-1: nothing answers at 0x49", unix.ENXIO},
		{"a kernel driver has it", func(p *part) { p.bound = true }, 0x48, "a driver of the kernel uses the part at 0x48", unix.EBUSY},
		{"stuck", func(p *part) { p.trouble = unix.ETIMEDOUT }, 0x48, "may hold the bus", unix.ETIMEDOUT},
		{"other", func(p *part) { p.trouble = unix.EIO }, 0x48, "i2c-1: speak to 0x48", unix.EIO},
		{"ten bits", func(*part) {}, 0x148, "only 7-bit addresses", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, b := oneBus(t, canI2C)
			bus, err := p.I2CBuses().Open("1")
			if err != nil {
				t.Fatal(err)
			}
			c.set(b.parts[0])
			err = bus.Tx(c.addr, []byte{0}, make([]byte, 1))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	p, _ := oneBus(t, canI2C)
	bus, _ := p.I2CBuses().Open("1")
	if err := bus.Tx(0x48, make([]byte, maxTransfer+1), nil); err == nil || !strings.Contains(err.Error(), "at most 8192") {
		t.Errorf("got %v", err)
	}
	if err := bus.SetSpeed(400000); err == nil {
		t.Error("the speed cannot be set")
	}
}

func TestI2CWithoutRight(t *testing.T) {
	p, b := oneBus(t, canI2C)
	b.fails = map[string]error{p.dev("i2c-1"): unix.EACCES, p.dev("i2c-20"): unix.ENOENT}
	for name, want := range map[string]string{
		"1":  "put the user in the group i2c; the service needs the drop-in i2c.conf",
		"20": "modprobe i2c-dev",
	} {
		if _, err := p.I2CBuses().Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	all, notes := p.I2CAdapters()
	if len(all) != 2 || len(notes) != 2 || !strings.Contains(notes[0], "no right to open "+p.dev("i2c-1")) || !strings.Contains(notes[1], "1 I2C adapters have no device file") {
		t.Errorf("got %+v, notes %q", all, notes)
	}
}

func TestI2CList(t *testing.T) {
	p, b := oneBus(t, canAllSMBus)
	all, notes := p.I2CAdapters()
	dev := p.dev()
	want := `[{"number":1,"name":"bcm2835 (i2c@7e804000)","device":"fe804000.i2c","node":"/soc/i2c@7e804000","file":"` + dev + `/i2c-1","transfers":"smbus",` +
		`"clients":[{"address":"0x48","name":"tmp102","driver":"tmp102"}]},` +
		`{"number":20,"name":"fef04500.i2c","device":"fef04500.i2c","node":"/soc/i2c@7ef04500","file":"` + dev + `/i2c-20","transfers":"smbus","clients":[]}]`
	if got := asJSON(t, all); got != want || len(notes) != 0 {
		t.Errorf("got  %s\nwant %s, notes %q", got, want, notes)
	}
	for _, part := range b.parts {
		if !part.closed.Load() {
			t.Error("left open")
		}
	}
	p = plant(t, pc...)
	p.kernel = &workbench{can: canI2C}
	if all, _ := p.I2CAdapters(); len(all) != 1 || all[0].Device != "0000:00:1f.3" || all[0].Node != "" || all[0].Transfers != "i2c" {
		t.Errorf("got %+v", all)
	}
}

func TestI2CIsShared(t *testing.T) {
	p, b := oneBus(t, canI2C)
	buses := p.I2CBuses()
	var all []i2c.BusCloser
	for _, name := range []string{"1", "fe804000.i2c", "i2c-1", "/dev/i2c-1"} {
		bus, err := buses.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bus)
	}
	var users sync.WaitGroup
	for _, bus := range all {
		users.Go(func() {
			for range 200 {
				if err := bus.Tx(0x48, []byte{0}, make([]byte, 4)); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(bus.Close(), bus.Close()); err != nil {
				t.Error(err)
			}
			if err := bus.Tx(0x48, []byte{0}, nil); !errors.Is(err, errClosedBus) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
	users.Wait()
	if n := b.opens(p.dev("i2c-1")); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if !b.parts[0].closed.Load() || len(buses.open) != 0 {
		t.Error("the last user left it open")
	}
	if _, err := buses.Open("1"); err != nil || b.opens(p.dev("i2c-1")) != 2 {
		t.Errorf("opened anew: %v, %v", err, b.opened)
	}
}

// A USB adapter that is pulled out and put in again: its file is closed at once,
// since the kernel waits for that, and both users find the new one.
func TestI2CThatWasUnplugged(t *testing.T) {
	p, b := oneBus(t, canI2C)
	buses := p.I2CBuses()
	one, _ := buses.Open("1")
	two, err := buses.Open("1")
	if err != nil {
		t.Fatal(err)
	}
	b.parts[0].trouble = unix.ENODEV
	if err := one.Tx(0x48, []byte{0}, nil); !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v", err)
	}
	if !b.parts[0].closed.Load() {
		t.Error("the file of an adapter that is gone is still open")
	}
	b.fails = map[string]error{p.dev("i2c-1"): unix.ENOENT}
	if err := one.Tx(0x48, []byte{0}, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("while it is away: %v", err)
	}
	b.fails = nil
	if err := one.Tx(0x48, []byte{0}, nil); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	if err := two.Tx(0x48, []byte{0}, nil); err != nil {
		t.Errorf("the other user, who has not heard of it: %v", err)
	}
	if n := b.opens(p.dev("i2c-1")); n != 2 {
		t.Errorf("opened %d times", n)
	}
	if err := errors.Join(one.Close(), two.Close()); err != nil || !b.parts[1].closed.Load() || len(buses.open) != 0 {
		t.Errorf("left open: %v", err)
	}
}

func FuzzTreeStrings(f *testing.F) {
	f.Add([]byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00"))
	f.Add([]byte("\x00\x00 x\n\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all := treeStrings(data)
		again := treeStrings([]byte(strings.Join(all, "\x00") + "\x00"))
		if asJSON(t, all) != asJSON(t, again) {
			t.Errorf("%q became %q", all, again)
		}
		for _, s := range all {
			if s == "" || strings.ContainsRune(s, 0) {
				t.Errorf("%q in %q", s, all)
			}
		}
		if g := piGeneration(all); g < 0 || g > 9 {
			t.Errorf("generation %d of %q", g, all)
		}
	})
}

func FuzzWear(f *testing.F) {
	f.Add("0x01 0x0b", "0x03")
	f.Add("", "0x00")
	f.Add("0x0c 99999999999 -1 x", "urgent")
	f.Fuzz(func(t *testing.T, life, preEOL string) {
		w := parseWear(life, preEOL)
		if w == nil {
			return
		}
		if w.UsedPercent < 0 || w.UsedPercent > 110 || w.UsedPercent%10 != 0 {
			t.Errorf("%q: %+v", life, w)
		}
		if step := w.UsedPercent / 10; step > 0 { // what it is understood as gives the same again
			if again := parseWear(fmt.Sprintf("0x00 0x%02x", step), preEOL); again == nil || *again != *w {
				t.Errorf("%q: %+v, again %+v", life, w, again)
			}
		}
	})
}

func FuzzThrottled(f *testing.F) {
	f.Add("50005")
	f.Add("0x80008")
	f.Fuzz(func(t *testing.T, text string) {
		power, ok := parseThrottled(text)
		if !ok {
			return
		}
		bits := uint64(0)
		for i, word := range PowerWords {
			for j, list := range [][]string{power.Now, power.SinceBoot} {
				if strings.Contains(" "+strings.Join(list, " ")+" ", " "+word+" ") {
					bits |= 1 << (i + 16*j)
				}
			}
		}
		again, ok := parseThrottled(fmt.Sprintf("%x", bits))
		if !ok || asJSON(t, again) != asJSON(t, power) {
			t.Errorf("%q is %+v, then %+v", text, power, again)
		}
	})
}
