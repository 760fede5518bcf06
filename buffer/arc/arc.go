// Package arc packs points into few bytes and back, without loss. It knows
// series by number only. The payloads of points of one segment share a state:
// each can be decoded only after those before it. Payloads of names and of
// entries stand alone. FORMAT.md, one folder up, has the bytes.
package arc

import (
	"fmt"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// MaxPoints is the most points that one payload holds.
const MaxPoints = 1 << 16

// Stamp says when the points of a group were measured.
type Stamp struct {
	Boot   [16]byte
	Uptime int64 // milliseconds since boot
	Wall   int64 // Unix time, milliseconds
}

// Form says how the bits of a Value are meant.
type Form uint8

// The forms of a value.
const (
	Float   Form = 1 // Bits are those of a float64
	Int     Form = 2 // Bits are those of an int64
	Uint    Form = 3 // Bits are the number
	Summary Form = 4 // the number is in Stats
)

// Stats is the value of Form Summary.
type Stats struct {
	Min, Max, Sum float64
	Count         uint64
}

// Value is one number or one summary.
type Value struct {
	Form  Form
	Bits  uint64
	Stats *Stats
}

// Group is the points of one stamp. IDs and Values have the same length, which
// is at least 1; the ids ascend, so that a series comes once.
type Group struct {
	Stamp  Stamp
	IDs    []uint32
	Values []Value
}

// Codec packs and unpacks. It is safe for concurrent use.
type Codec struct {
	enc   atomic.Pointer[zstd.Encoder]
	dec   atomic.Pointer[zstd.Decoder]
	used  atomic.Bool // since the last Rest
	dirty atomic.Bool // there are buffers
}

// Limits of the compressor: the window bounds the memory of both sides, the
// body bounds what a hostile payload can make of itself.
const (
	window  = 128 << 10
	maxBody = 8 << 20
)

// NewCodec makes a codec. Its buffers are made at the first use.
func NewCodec() (*Codec, error) {
	c := &Codec{}
	return c, c.renew()
}

func (c *Codec) renew() error {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return fmt.Errorf("make compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return fmt.Errorf("make decompressor: %w", err)
	}
	c.enc.Store(enc)
	c.dec.Store(dec)
	return nil
}

// Rest gives the buffers back, 1.5 MB, where none was used since the call
// before: names and entries come in bursts.
func (c *Codec) Rest() {
	if !c.used.Swap(false) && c.dirty.Swap(false) {
		_ = c.renew() // as it did before
	}
}

// The first byte of a payload tells what follows.
const (
	bodyPlain  = 0x11
	bodyPacked = 0x12
)

// pack appends body to dst, compressed where that is shorter.
func (c *Codec) pack(dst, body []byte) []byte {
	start := len(dst)
	c.used.Store(true)
	c.dirty.Store(true)
	dst = c.enc.Load().EncodeAll(body, append(dst, bodyPacked))
	if len(dst)-start <= len(body) {
		return dst
	}
	return append(append(dst[:start], bodyPlain), body...)
}

func (c *Codec) unpack(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, errShort
	}
	switch payload[0] {
	case bodyPlain:
		if len(payload) > maxBody {
			return nil, fmt.Errorf("payload of %d bytes is too long", len(payload))
		}
		return payload[1:], nil
	case bodyPacked:
		c.used.Store(true)
		c.dirty.Store(true)
		body, err := c.dec.Load().DecodeAll(payload[1:], nil)
		if err != nil {
			return nil, fmt.Errorf("decompress payload: %w", err)
		}
		return body, nil
	}
	return nil, fmt.Errorf("payload starts with unknown byte %#x", payload[0])
}
