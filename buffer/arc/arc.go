// Package arc packs points into few bytes and back, without loss. It knows
// series by number only. The payloads of points of one segment share a state:
// each can be decoded only after those before it. Payloads of names and of
// entries stand alone. FORMAT.md, one folder up, has the bytes.
package arc

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync/atomic"
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

// Codec packs and unpacks. The zero Codec is ready, and safe for concurrent use.
type Codec struct {
	packer   atomic.Pointer[packer]
	unpacker atomic.Pointer[unpacker]
	used     atomic.Bool // since the last Rest
}

// packer compresses into out, with 0.8 MB of its own.
type packer struct {
	deflate *flate.Writer
	out     bytes.Buffer
}

// unpacker takes 40 KB.
type unpacker struct {
	in      bytes.Reader
	inflate io.ReadCloser // a flate.Resetter too
}

// packLevel is the first that finds nearly all that there is to find.
const packLevel = 6

// Rest gives the buffers back where none was used since the call before: names
// and entries come in bursts.
func (c *Codec) Rest() {
	if !c.used.Swap(false) {
		c.packer.Store(nil)
		c.unpacker.Store(nil)
	}
}

// The first byte of a payload tells what follows.
const (
	bodyPlain  = 0x11
	bodyPacked = 0x13
)

// pack appends body to dst, compressed where that is shorter.
func (c *Codec) pack(dst, body []byte) []byte {
	c.used.Store(true)
	p := c.packer.Swap(nil)
	if p == nil {
		p = &packer{}
		p.deflate, _ = flate.NewWriter(nil, packLevel) // the level is valid
	}
	start := len(dst)
	p.out = *bytes.NewBuffer(append(dst, bodyPacked))
	p.deflate.Reset(&p.out)
	_, _ = p.deflate.Write(body) // a buffer takes everything
	_ = p.deflate.Close()
	dst = p.out.Bytes()
	p.out = bytes.Buffer{}
	c.packer.Store(p)
	if len(dst)-start <= len(body) {
		return dst
	}
	return append(append(dst[:start], bodyPlain), body...)
}

// unpack gives the body of a payload, of at most so many bytes.
func (c *Codec) unpack(payload []byte, most int) (body []byte, err error) {
	if len(payload) == 0 {
		return nil, errShort
	}
	switch payload[0] {
	case bodyPlain:
		body = payload[1:]
	case bodyPacked:
		if body, err = c.inflate(payload[1:], most); err != nil {
			return nil, fmt.Errorf("decompress payload: %w", err)
		}
	default:
		return nil, fmt.Errorf("payload starts with unknown byte %#x", payload[0])
	}
	if len(body) > most {
		return nil, fmt.Errorf("payload unpacks to more than %d bytes", most)
	}
	return body, nil
}

// inflate stops one byte behind the most.
func (c *Codec) inflate(stream []byte, most int) ([]byte, error) {
	c.used.Store(true)
	u := c.unpacker.Swap(nil)
	if u == nil {
		u = &unpacker{}
		u.inflate = flate.NewReader(&u.in)
	}
	defer c.unpacker.Store(u)
	u.in.Reset(stream)
	if err := u.inflate.(flate.Resetter).Reset(&u.in, nil); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(u.inflate, int64(most)+1))
	left := u.in.Len()
	u.in.Reset(nil)
	if err == nil && left > 0 && len(body) <= most {
		err = fmt.Errorf("%d bytes follow the end of the stream", left)
	}
	return body, err
}
