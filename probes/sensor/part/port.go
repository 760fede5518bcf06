package part

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// port is one part on its bus for the time of one reading.
type port struct {
	ctx     context.Context
	bus     i2c.Bus
	address uint16
}

// write sends bytes in a transaction of their own.
func (p port) write(b ...byte) error { return p.transfer(b, nil) }

// read takes bytes in a transaction of their own.
func (p port) read(into []byte) error { return p.transfer(nil, into) }

// register reads from a register on.
func (p port) register(first byte, into []byte) error { return p.transfer([]byte{first}, into) }

// transfer does not begin a transaction once the poll has ended; one that has
// begun goes on, since a part that is left in the middle may hold the bus.
func (p port) transfer(w, r []byte) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	return p.bus.Tx(p.address, w, r)
}

// byteOf reads a register of 8 bits.
func (p port) byteOf(register byte) (byte, error) {
	var b [1]byte
	err := p.register(register, b[:])
	return b[0], err
}

// wordOf reads a register of 16 bits, the high byte first.
func (p port) wordOf(register byte) (uint16, error) {
	var b [2]byte
	err := p.register(register, b[:])
	return binary.BigEndian.Uint16(b[:]), err
}

// setWord writes a register of 16 bits.
func (p port) setWord(register byte, v uint16) error {
	return p.write(register, byte(v>>8), byte(v))
}

// wait gives the part time.
func (p port) wait(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// until asks a bounded number of times, with a pause between.
func (p port) until(times int, pause time.Duration, done func() (bool, error)) error {
	for i := range times {
		if i > 0 {
			if err := p.wait(pause); err != nil {
				return err
			}
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w after %v", quantity.ErrNotReady, time.Duration(times-1)*pause)
}

// command sends a command of 16 bits, waits, and reads words of 16 bits that
// have a checksum each.
func (p port) command(command uint16, pause time.Duration, words int) ([]uint16, error) {
	if err := p.write(byte(command>>8), byte(command)); err != nil {
		return nil, err
	}
	return p.words(pause, words)
}

func (p port) words(pause time.Duration, n int) ([]uint16, error) {
	if err := p.wait(pause); err != nil {
		return nil, err
	}
	b := make([]byte, 3*n)
	if err := p.read(b); err != nil {
		return nil, err
	}
	return decodeWords(b)
}

// decodeWords takes words of 16 bits apart, each with its checksum behind it.
func decodeWords(b []byte) ([]uint16, error) {
	words := make([]uint16, len(b)/3)
	for i := range words {
		w := b[3*i : 3*i+3]
		if crc8(w[:2]) != w[2] {
			return nil, quantity.ErrChecksum
		}
		words[i] = binary.BigEndian.Uint16(w)
	}
	return words, nil
}

// crc8 is that of Sensirion, Aosong and Texas Instruments: x^8+x^5+x^4+1,
// begun with all ones.
func crc8(b []byte) byte {
	crc := byte(0xff)
	for _, v := range b {
		crc ^= v
		for range 8 {
			carry := crc & 0x80
			crc <<= 1
			if carry != 0 {
				crc ^= 0x31
			}
		}
	}
	return crc
}
