package board

import (
	"fmt"
	"runtime"
	"unsafe"
)

// functions are what an adapter can do: I2C_FUNC_* of linux/i2c.h.
type functions uintptr

const (
	canI2C        functions = 0x00000001
	canReadByte   functions = 0x00020000
	canWriteByte  functions = 0x00040000
	canReadByteD  functions = 0x00080000
	canWriteByteD functions = 0x00100000
	canReadWord   functions = 0x00200000
	canWriteWord  functions = 0x00400000
	canReadBlock  functions = 0x04000000
	canWriteBlock functions = 0x08000000
)

func (f functions) word() string {
	if f&canI2C != 0 {
		return "i2c"
	}
	return "smbus"
}

func askFunctions(dev device) (functions, error) {
	can := new(functions)
	err := dev.Ioctl(ioctlFunctions, unsafe.Pointer(can))
	return *can, err
}

// The sizes of an SMBus transfer (I2C_SMBUS_* of linux/i2c.h).
const (
	smbusByte     = 1
	smbusByteData = 2
	smbusWordData = 3
	smbusI2CBlock = 8

	smbusBlockMax = 32
)

// smbusCall is struct i2c_smbus_ioctl_data.
type smbusCall struct {
	read    uint8 // 1: from the part
	command uint8
	size    uint32
	data    *smbusData
}

// smbusData is union i2c_smbus_data: a byte, a word in the order of this
// machine, or a block behind its length.
type smbusData struct {
	_     [0]uint16 // aligned as the word is
	bytes [smbusBlockMax + 2]byte
}

func (d *smbusData) word() *uint16 { return (*uint16)(unsafe.Pointer(&d.bytes)) }

// smbusPlan is how a transaction goes over an adapter that speaks SMBus alone:
// its few shapes look on the wire as those of I2C do.
type smbusPlan struct {
	size  uint32
	needs functions
}

// planSMBus knows no shape for writing nothing and reading more than a byte,
// nor for writing more than a register and reading then.
func planSMBus(can functions, w, r int) (smbusPlan, bool) {
	var shapes []smbusPlan
	switch {
	case w == 0 && r == 1:
		shapes = []smbusPlan{{smbusByte, canReadByte}}
	case w == 1 && r == 0:
		shapes = []smbusPlan{{smbusByte, canWriteByte}}
	case w == 1 && r == 1:
		shapes = []smbusPlan{{smbusByteData, canReadByteD}, {smbusI2CBlock, canReadBlock}}
	case w == 1 && r == 2:
		shapes = []smbusPlan{{smbusWordData, canReadWord}, {smbusI2CBlock, canReadBlock}}
	case w == 1 && r <= smbusBlockMax:
		shapes = []smbusPlan{{smbusI2CBlock, canReadBlock}}
	case w == 2 && r == 0:
		shapes = []smbusPlan{{smbusByteData, canWriteByteD}, {smbusI2CBlock, canWriteBlock}}
	case w == 3 && r == 0:
		shapes = []smbusPlan{{smbusWordData, canWriteWord}, {smbusI2CBlock, canWriteBlock}}
	case w >= 4 && w <= smbusBlockMax+1 && r == 0:
		shapes = []smbusPlan{{smbusI2CBlock, canWriteBlock}}
	}
	for _, s := range shapes {
		if can&s.needs != 0 {
			return s, true
		}
	}
	return smbusPlan{}, false
}

func smbusTransfer(dev device, can functions, w, r []byte) error {
	plan, ok := planSMBus(can, len(w), len(r))
	if !ok {
		return fmt.Errorf("this adapter speaks SMBus only and cannot write %d and read %d bytes in one transaction: use an adapter with full I2C, or the kernel's driver for the part", len(w), len(r))
	}
	call := &smbusCall{size: plan.size, data: new(smbusData)}
	if len(w) > 0 {
		call.command = w[0]
		call.fill(w[1:])
	}
	if len(r) > 0 {
		call.read = 1
	}
	if len(r) > 0 && plan.size == smbusI2CBlock {
		call.data.bytes[0] = byte(len(r))
	}
	err := dev.Ioctl(ioctlSMBus, unsafe.Pointer(call))
	runtime.KeepAlive(call)
	if err != nil {
		return err
	}
	return call.take(r)
}

// fill puts what is written behind the register in its place.
func (c *smbusCall) fill(w []byte) {
	switch c.size {
	case smbusByteData:
		copy(c.data.bytes[:1], w)
	case smbusWordData:
		if len(w) == 2 {
			*c.data.word() = uint16(w[0]) | uint16(w[1])<<8
		}
	case smbusI2CBlock:
		c.data.bytes[0] = byte(len(w))
		copy(c.data.bytes[1:], w)
	}
}

func (c *smbusCall) take(r []byte) error {
	switch {
	case len(r) == 0:
	case c.size == smbusWordData:
		r[0], r[1] = byte(*c.data.word()), byte(*c.data.word()>>8)
	case c.size == smbusI2CBlock:
		if n := int(c.data.bytes[0]); n != len(r) {
			return fmt.Errorf("the part gave %d of %d bytes", n, len(r))
		}
		copy(r, c.data.bytes[1:])
	default:
		r[0] = c.data.bytes[0]
	}
	return nil
}
