package export

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// A stream begins with its magic; the rest is frames: kind, uvarint length, content. A series is told once,
// before its first point, and known by how many came before it. Numbers are
// uvarints, texts have their length before them.
//
//	S  type, key, number of dimensions, then key and value of each
//	P  record, done, of, entries, points, then each point:
//	   head (form | state << 3 | same stamp << 6), series,
//	   unless the same stamp: wall time as the zigzag distance to the one before,
//	   number (8 bytes of a float; zigzag; uvarint; min, max, sum as floats, count)
//	E  the hint as JSON; the end
const (
	magic = "EhX1"

	frameSeries = 'S'
	framePage   = 'P'
	frameEnd    = 'E'

	maxFrame   = 16 << 20 // a page of 65,536 statistics takes 3 MB
	maxEntries = 1 << 16

	formMask, stateShift, stateMask = 7, 3, 7
	sameStamp                       = 1 << 6
	guessBit                        = 1 << 7 // the time is a guess
)

var errStream = errors.New("the stream of points is malformed")

// streamWriter writes pages, each with one Write.
type streamWriter struct {
	w       io.Writer
	known   map[[16]byte]uint64
	out     []byte
	payload []byte
}

// newStreamWriter begins the stream at once: the first page may take a while.
func newStreamWriter(w io.Writer) (*streamWriter, error) {
	_, err := io.WriteString(w, magic)
	return &streamWriter{w: w, known: map[[16]byte]uint64{}}, err
}

func (s *streamWriter) page(p buffer.Page) error {
	s.out, s.payload = s.out[:0], s.payload[:0]
	b := s.payload
	for _, n := range []uint64{p.Record, uint64(p.Done), uint64(p.Of), uint64(min(len(p.Entries), maxEntries)), uint64(len(p.Points))} {
		b = binary.AppendUvarint(b, n)
	}
	wall := int64(0)
	for i, point := range p.Points {
		head := byte(point.Value.Form()) | byte(p.State[i])<<stateShift
		if i > 0 && point.Stamp.Wall == wall {
			head |= sameStamp
		}
		if point.Stamp.Guess {
			head |= guessBit
		}
		b = append(b, head)
		b = binary.AppendUvarint(b, s.number(point.Series))
		if head&sameStamp == 0 {
			b = binary.AppendVarint(b, point.Stamp.Wall-wall)
			wall = point.Stamp.Wall
		}
		b = appendNumber(b, point.Value)
	}
	s.payload = b
	s.out = appendFrame(s.out, framePage, b)
	return s.flush()
}

func (s *streamWriter) end(h Hint) error {
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the hint: %w", err)
	}
	s.out = appendFrame(s.out[:0], frameEnd, text)
	return s.flush()
}

func (s *streamWriter) flush() error {
	_, err := s.w.Write(s.out)
	return err
}

// number names a series, which is told first if it is new.
func (s *streamWriter) number(series *probes.Series) uint64 {
	n, ok := s.known[series.ID()]
	if !ok {
		n = uint64(len(s.known))
		s.known[series.ID()] = n
		s.out = appendFrame(s.out, frameSeries, appendSeries(nil, series))
	}
	return n
}

func appendFrame(b []byte, kind byte, content []byte) []byte {
	b = binary.AppendUvarint(append(b, kind), uint64(len(content)))
	return append(b, content...)
}

func appendSeries(b []byte, s *probes.Series) []byte {
	b = appendText(append(b, byte(s.Type())), s.Key())
	b = binary.AppendUvarint(b, uint64(len(s.Dims())))
	for _, d := range s.Dims() {
		b = appendText(appendText(b, d.Key), d.Value)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

func appendNumber(b []byte, v probes.Value) []byte {
	switch v.Form() {
	case probes.FormInt:
		return binary.AppendVarint(b, v.Int64())
	case probes.FormUint:
		return binary.AppendUvarint(b, v.Uint64())
	case probes.FormSummary:
		s := v.Summary()
		b = appendFloat(appendFloat(appendFloat(b, s.Min), s.Max), s.Sum)
		return binary.AppendUvarint(b, s.Count)
	}
	return appendFloat(b, v.Float64())
}

// readStream gives the pages of a stream to fn until its end.
func readStream(r io.Reader, fn func(buffer.Page) error) (Hint, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in, head); err != nil {
		return Hint{}, fmt.Errorf("read the agent's answer: %w", noEnd(err))
	}
	if string(head) != magic {
		return Hint{}, fmt.Errorf("read the agent's answer: %w; agent and command may be of different versions", errStream)
	}
	var series []*probes.Series
	var page buffer.Page
	var room []byte
	for {
		kind, content, err := readFrame(in, room)
		if err != nil {
			return Hint{}, fmt.Errorf("read the agent's answer: %w", err)
		}
		room = content
		d := decoder{rest: content}
		switch kind {
		case frameSeries:
			series = append(series, d.series())
		case framePage:
			d.page(&page, series)
		case frameEnd:
			var h Hint
			if err := json.Unmarshal(content, &h); err != nil {
				return h, fmt.Errorf("read the agent's answer: %w", err)
			}
			_, err := io.Copy(io.Discard, in) // the error that comes with the end
			return h, err
		default:
			d.fail()
		}
		if d.bad || len(d.rest) > 0 {
			return Hint{}, fmt.Errorf("read the agent's answer: %w; agent and command may be of different versions", errStream)
		}
		if kind == framePage {
			if err := fn(page); err != nil {
				return Hint{}, err
			}
		}
	}
}

// readFrame reads one frame into room, which grows with what arrives and not
// with what is announced.
func readFrame(in *bufio.Reader, room []byte) (kind byte, content []byte, err error) {
	kind, err = in.ReadByte()
	if err != nil {
		return 0, nil, noEnd(err)
	}
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, nil, noEnd(err)
	}
	if size > maxFrame {
		return 0, nil, errStream
	}
	content = room[:0]
	for left := int(size); left > 0; {
		n := min(left, max(cap(content)-len(content), 64<<10))
		at := len(content)
		content = append(content, make([]byte, n)...)
		if _, err := io.ReadFull(in, content[at:]); err != nil {
			return 0, nil, noEnd(err)
		}
		left -= n
	}
	return kind, content, nil
}

// noEnd: a stream that ends before its end was cut.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decoder takes a frame's content apart. After a failure all it gives is
// empty.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func (d *decoder) float() float64 {
	if b := d.take(8); len(b) == 8 {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) series() *probes.Series {
	typ, key := probes.Type(d.byte()), d.text()
	n := d.uvarint()
	if n > uint64(len(d.rest)) || typ != probes.Gauge && typ != probes.Count {
		d.fail()
		return nil
	}
	dims := make([]probes.Dimension, n)
	for i := range dims {
		dims[i] = probes.Dimension{Key: d.text(), Value: d.text()}
	}
	return probes.NewSeries(key, typ, dims...)
}

// page reads into p, whose room it uses again.
func (d *decoder) page(p *buffer.Page, series []*probes.Series) {
	p.Record, p.Done, p.Of = d.uvarint(), int64(d.uvarint()), int64(d.uvarint())
	entries, points := d.uvarint(), d.uvarint()
	if entries > maxEntries || points > uint64(len(d.rest)) {
		d.fail()
		return
	}
	p.Entries = make([]buffer.Entry, entries)
	p.Points, p.State = p.Points[:0], p.State[:0]
	wall := int64(0)
	for range points {
		head, n := d.byte(), d.uvarint()
		if n >= uint64(len(series)) {
			d.fail()
			return
		}
		if head&sameStamp == 0 {
			wall += d.varint()
		}
		v := d.number(probes.Form(head & formMask))
		p.Points = append(p.Points, probes.Point{Series: series[n], Value: v, Stamp: probes.Stamp{Wall: wall, Guess: head&guessBit != 0}})
		p.State = append(p.State, buffer.PointState(head>>stateShift&stateMask))
	}
}

func (d *decoder) number(form probes.Form) probes.Value {
	switch form {
	case probes.FormFloat:
		return probes.Float(d.float())
	case probes.FormInt:
		return probes.Int(d.varint())
	case probes.FormUint:
		return probes.Uint(d.uvarint())
	case probes.FormSummary:
		return probes.Summarize(probes.Summary{Min: d.float(), Max: d.float(), Sum: d.float(), Count: d.uvarint()})
	}
	d.fail()
	return probes.Value{}
}
