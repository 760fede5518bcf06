package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// An event or a record as it is kept: one byte of version, then
//
//	event:  type, title, selector, timeout in ns, start, end, properties
//	record: severity, content, stamp, attributes, numbers
//
// where a number is a uvarint, a text is its length and its bytes, a list is
// its length and its items, and a stamp is one byte of flags followed, unless
// it is zero, by the boot's 16 bytes (left out with flag 4: those of the stamp
// before), uptime in ns and wall time in ms as varints. A number of a record is
// a text, one byte of form, and eight bytes (float, little endian), a varint
// (int) or a uvarint (uint).
const version = 1

// Flags of a stamp.
const (
	stampZero     = 1
	stampGuess    = 2
	stampSameBoot = 4
)

// AppendEvent appends the bytes that e is kept as, after FitEvent. They are
// less than a MiB.
func AppendEvent(dst []byte, e probes.Event) []byte {
	e = FitEvent(e)
	dst = append(dst, version)
	dst = appendText(dst, e.Type)
	dst = appendText(dst, e.Title)
	dst = appendText(dst, e.EntitySelector)
	dst = binary.AppendUvarint(dst, uint64(e.Timeout))
	dst = appendStamp(dst, e.Start, probes.BootID{})
	dst = appendStamp(dst, e.End, e.Start.Boot)
	return appendPairs(dst, e.Properties)
}

// ParseEvent reads what AppendEvent wrote, and nothing else.
func ParseEvent(data []byte) (probes.Event, error) {
	p := parser{rest: data}
	var e probes.Event
	p.version()
	e.Type, e.Title, e.EntitySelector = p.text(), p.text(), p.text()
	e.Timeout = time.Duration(p.uvarint())
	e.Start = p.stamp(probes.BootID{})
	e.End = p.stamp(e.Start.Boot)
	e.Properties = p.pairs()
	if err := p.end(); err != nil {
		return probes.Event{}, fmt.Errorf("read event: %w", err)
	}
	if !bytes.Equal(AppendEvent(nil, e), data) {
		return probes.Event{}, fmt.Errorf("read event: %w", errForm)
	}
	return e, nil
}

// AppendRecord appends the bytes that r is kept as, after FitRecord. They are
// less than a MiB.
func AppendRecord(dst []byte, r probes.Record) []byte {
	r = FitRecord(r)
	dst = append(dst, version)
	dst = appendText(dst, r.Severity)
	dst = appendText(dst, r.Content)
	dst = appendStamp(dst, r.Stamp, probes.BootID{})
	dst = appendPairs(dst, r.Attributes)
	dst = binary.AppendUvarint(dst, uint64(len(r.Numbers)))
	for _, n := range r.Numbers {
		dst = appendText(dst, n.Key)
		dst = appendValue(append(dst, byte(n.Value.Form())), n.Value)
	}
	return dst
}

// ParseRecord reads what AppendRecord wrote, and nothing else.
func ParseRecord(data []byte) (probes.Record, error) {
	p := parser{rest: data}
	var r probes.Record
	p.version()
	r.Severity, r.Content = p.text(), p.text()
	r.Stamp = p.stamp(probes.BootID{})
	r.Attributes = p.pairs()
	for range p.count() {
		r.Numbers = append(r.Numbers, probes.Number{Key: p.text(), Value: p.value()})
	}
	if err := p.end(); err != nil {
		return probes.Record{}, fmt.Errorf("read log record: %w", err)
	}
	if !bytes.Equal(AppendRecord(nil, r), data) {
		return probes.Record{}, fmt.Errorf("read log record: %w", errForm)
	}
	return r, nil
}

// DateEvent gives the times of e that were guesses their true wall time, where
// by is a true stamp of the same boot: the stamp that the store gives back with
// the entry.
func DateEvent(e probes.Event, by probes.Stamp) probes.Event {
	e.Start, e.End = date(e.Start, by), date(e.End, by)
	return e
}

// DateRecord does as DateEvent does.
func DateRecord(r probes.Record, by probes.Stamp) probes.Record {
	r.Stamp = date(r.Stamp, by)
	return r
}

func date(s, by probes.Stamp) probes.Stamp {
	if s.Guess && !by.Guess && s.Boot == by.Boot {
		s.Wall, s.Guess = by.Wall+(s.Uptime-by.Uptime).Milliseconds(), false
	}
	return s
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendPairs(dst []byte, dims []probes.Dimension) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(dims)))
	for _, d := range dims {
		dst = appendText(appendText(dst, d.Key), d.Value)
	}
	return dst
}

func appendStamp(dst []byte, s probes.Stamp, before probes.BootID) []byte {
	if s == (probes.Stamp{}) {
		return append(dst, stampZero)
	}
	flags := byte(0)
	if s.Guess {
		flags |= stampGuess
	}
	if s.Boot == before {
		dst = append(dst, flags|stampSameBoot)
	} else {
		dst = append(append(dst, flags), s.Boot[:]...)
	}
	dst = binary.AppendVarint(dst, int64(s.Uptime))
	return binary.AppendVarint(dst, s.Wall)
}

func appendValue(dst []byte, v probes.Value) []byte {
	switch v.Form() {
	case probes.FormInt:
		return binary.AppendVarint(dst, v.Int64())
	case probes.FormUint:
		return binary.AppendUvarint(dst, v.Uint64())
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float64()))
}

var (
	errShort   = errors.New("it ends too early")
	errForm    = errors.New("it is not in the form that is written")
	errVersion = errors.New("its version is not known")
)

// parser eats bytes from their start; the first error stays.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err, p.rest = err, nil
	}
}

func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail(errShort)
		return make([]byte, min(n, 16))
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) version() {
	if p.take(1)[0] != version {
		p.fail(errVersion)
	}
}

func (p *parser) uvarint() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.fail(errShort)
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *parser) varint() int64 {
	n, size := binary.Varint(p.rest)
	if size <= 0 {
		p.fail(errShort)
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

// count reads the length of a list; each item takes a byte at least.
func (p *parser) count() uint64 {
	n := p.uvarint()
	if n > uint64(len(p.rest)) {
		p.fail(errShort)
		return 0
	}
	return n
}

func (p *parser) text() string {
	n := p.count()
	return string(p.take(n))
}

func (p *parser) pairs() (dims []probes.Dimension) {
	for range p.count() {
		dims = append(dims, probes.Dimension{Key: p.text(), Value: p.text()})
	}
	return dims
}

func (p *parser) stamp(before probes.BootID) (s probes.Stamp) {
	flags := p.take(1)[0]
	if flags&stampZero != 0 {
		return s
	}
	s.Guess = flags&stampGuess != 0
	if s.Boot = before; flags&stampSameBoot == 0 {
		s.Boot = probes.BootID(p.take(16))
	}
	s.Uptime = time.Duration(p.varint())
	s.Wall = p.varint()
	return s
}

func (p *parser) value() probes.Value {
	switch probes.Form(p.take(1)[0]) {
	case probes.FormInt:
		return probes.Int(p.varint())
	case probes.FormUint:
		return probes.Uint(p.uvarint())
	case probes.FormFloat:
		return probes.Float(math.Float64frombits(binary.LittleEndian.Uint64(p.take(8))))
	}
	p.fail(errForm)
	return probes.Value{}
}

func (p *parser) end() error {
	if len(p.rest) > 0 {
		p.fail(errForm)
	}
	return p.err
}
