package board

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// I2CBuses opens I2C adapters. Those who open the same one share it: one
// transaction runs at a time, and the file is closed with the last of them.
type I2CBuses struct {
	paths Paths
	mu    sync.Mutex
	open  map[int]*i2cBus
}

// I2CBuses makes the place where adapters are shared; one a process.
func (p Paths) I2CBuses() *I2CBuses { return &I2CBuses{paths: p, open: map[int]*i2cBus{}} }

// Open opens an adapter by its number ("1", "i2c-1", "/dev/i2c-1"), the name or
// the device that sysfs shows, or the path of its node in the device tree. An
// adapter that was unplugged is opened anew by the next transaction.
func (b *I2CBuses) Open(name string) (i2c.BusCloser, error) {
	bus, err := b.acquire(name)
	if err != nil {
		return nil, err
	}
	return &i2cUser{all: b, name: name, bus: bus}, nil
}

func (b *I2CBuses) acquire(name string) (*i2cBus, error) {
	a, err := b.paths.findI2C(name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if bus := b.open[a.Number]; bus != nil {
		bus.users++
		return bus, nil
	}
	dev, err := b.paths.ask().open(a.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: load the module by `modprobe i2c-dev`; the service sees it only with the drop-in i2c.conf (/usr/share/edgehold/dropins/README): %w", a.File, bare(err))
	}
	if err != nil {
		return nil, access(a.File, "i2c", err)
	}
	can, err := askFunctions(dev)
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("ask %s what it can do: %w", a.File, err)
	}
	bus := &i2cBus{number: a.Number, dev: dev, can: can, users: 1}
	b.open[a.Number] = bus
	return bus, nil
}

// release takes a user off. A bus that is gone is no longer shared with others.
func (b *I2CBuses) release(bus *i2cBus, gone bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	bus.users--
	if (gone || bus.users == 0) && b.open[bus.number] == bus {
		delete(b.open, bus.number)
	}
	if bus.users > 0 && !gone {
		return nil
	}
	return bus.close()
}

// i2cUser is one user's handle of a bus.
type i2cUser struct {
	all    *I2CBuses
	name   string
	mu     sync.Mutex
	bus    *i2cBus // nil: it was gone, and is opened by the next transaction
	closed bool
}

var errClosedBus = errors.New("the I2C bus was closed")

// Tx implements i2c.Bus for 7-bit addresses. An address that a driver of the
// kernel uses is refused.
func (u *i2cUser) Tx(addr uint16, w, r []byte) error {
	err := u.try(addr, w, r)
	if errors.Is(err, errGone) { // another user has found that out, and nothing was sent
		err = u.try(addr, w, r)
	}
	return err
}

func (u *i2cUser) try(addr uint16, w, r []byte) error {
	bus, err := u.current()
	if err != nil {
		return err
	}
	err = bus.tx(addr, w, r)
	if gone(err) {
		u.drop(bus)
	}
	return err
}

func (u *i2cUser) current() (*i2cBus, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, errClosedBus
	}
	if u.bus == nil {
		bus, err := u.all.acquire(u.name)
		if err != nil {
			return nil, err
		}
		u.bus = bus
	}
	return u.bus, nil
}

func (u *i2cUser) drop(bus *i2cBus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bus == bus {
		u.bus = nil
		_ = u.all.release(bus, true) // what is gone has nothing to lose
	}
}

// Close implements i2c.BusCloser; a second one does nothing.
func (u *i2cUser) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	bus := u.bus
	u.bus, u.closed = nil, true
	if bus == nil {
		return nil
	}
	return u.all.release(bus, false)
}

// SetSpeed implements i2c.Bus; Linux sets the speed in the device tree only.
func (u *i2cUser) SetSpeed(physic.Frequency) error {
	return errors.New("the speed of an I2C bus is set in the device tree, on a Raspberry Pi by dtparam=i2c_arm_baudrate")
}

func (u *i2cUser) String() string { return "I2C adapter " + u.name }

// i2cBus is an adapter that is open.
type i2cBus struct {
	number int
	can    functions
	users  int // under the lock of I2CBuses

	mu  sync.Mutex
	dev device // nil: closed
}

func (b *i2cBus) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dev == nil {
		return nil
	}
	dev := b.dev
	b.dev = nil
	return dev.Close()
}

// errGone is a bus that another user has found to be gone.
var errGone = errors.New("the adapter is gone")

func gone(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESHUTDOWN)
}

const maxTransfer = 8192 // bytes a message, as i2c-dev allows

func (b *i2cBus) tx(addr uint16, w, r []byte) error {
	switch {
	case addr > 0x7f:
		return fmt.Errorf("I2C address 0x%x: only 7-bit addresses up to 0x7f are spoken to", addr)
	case len(w) > maxTransfer || len(r) > maxTransfer:
		return fmt.Errorf("I2C transaction of %d and %d bytes: at most %d each way", len(w), len(r), maxTransfer)
	case len(w) == 0 && len(r) == 0:
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dev == nil {
		return fmt.Errorf("i2c-%d: %w", b.number, errGone)
	}
	// The kernel lets I2C_RDWR interfere with its own drivers; this asks first.
	if err := b.dev.Set(ioctlSlave, uintptr(addr)); err != nil {
		return b.explain(addr, err)
	}
	if b.can&canI2C != 0 {
		return b.explain(addr, transfer(b.dev, addr, w, r))
	}
	return b.explain(addr, smbusTransfer(b.dev, b.can, w, r))
}

func (b *i2cBus) explain(addr uint16, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("i2c-%d: a driver of the kernel uses the part at 0x%02x (`edgehold board` names it): read its hwmon or iio sensor instead, or unbind the driver: %w", b.number, addr, err)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.EREMOTEIO):
		return fmt.Errorf("i2c-%d: nothing answers at 0x%02x: check address, wiring and power of the part: %w", b.number, addr, err)
	case errors.Is(err, unix.ETIMEDOUT):
		return fmt.Errorf("i2c-%d: no answer from 0x%02x in time: check address and wiring; a part without power may hold the bus: %w", b.number, addr, err)
	}
	return fmt.Errorf("i2c-%d: speak to 0x%02x: %w", b.number, addr, err)
}

// The commands of linux/i2c-dev.h.
const (
	ioctlSlave     = 0x0703
	ioctlFunctions = 0x0705
	ioctlReadWrite = 0x0707
	ioctlSMBus     = 0x0720
)

// i2cMessage is struct i2c_msg.
type i2cMessage struct {
	address, flags, length uint16
	buffer                 *byte
}

const messageRead = 1 // I2C_M_RD

// i2cMessages is struct i2c_rdwr_ioctl_data.
type i2cMessages struct {
	first *i2cMessage
	count uint32
}

func transfer(dev device, addr uint16, w, r []byte) error {
	messages := make([]i2cMessage, 0, 2)
	if len(w) > 0 {
		messages = append(messages, i2cMessage{address: addr, length: uint16(len(w)), buffer: &w[0]})
	}
	if len(r) > 0 {
		messages = append(messages, i2cMessage{address: addr, flags: messageRead, length: uint16(len(r)), buffer: &r[0]})
	}
	data := &i2cMessages{first: &messages[0], count: uint32(len(messages))}
	err := dev.Ioctl(ioctlReadWrite, unsafe.Pointer(data))
	runtime.KeepAlive(data)
	return err
}
