package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// Limits of the lines of one block, in bytes.
const (
	maxText = 16 << 20
	maxLine = 50_000 // the protocol's
)

// lines are points as text. What they work in serves for the next block.
type lines struct {
	mint mint.Writer
	text []byte
	ends []int // of the line of each point
	gzip *gzip.Writer
	out  bytes.Buffer
}

func (x *lines) begin() { x.text, x.ends = x.text[:0], x.ends[:0] }

// extend takes in those of the points that it does not have yet; fewer, where
// one has no line or the text gets too long.
func (x *lines) extend(points []probes.Point) error {
	for i := len(x.ends); i < len(points); i++ {
		text, err := x.mint.AppendLine(x.text, points[i])
		if err != nil {
			return err
		}
		if x.text = append(text, '\n'); len(x.text) > maxText {
			x.text = x.text[:x.ends[i-1]] // no single line is so long
			return fmt.Errorf("its text is longer than %d bytes", maxText)
		}
		x.ends = append(x.ends, len(x.text))
	}
	return nil
}

// tryText makes a block of the first n points, or of those before the first
// that has no line.
func (w *Writer) tryText(h Header, points []probes.Point, n int) (fill, error) {
	x := &w.lines
	if err := x.extend(points[:n]); err != nil {
		if n = len(x.ends); n == 0 {
			return fill{}, &PointError{err}
		}
	}
	h.Count, h.First, h.Last = n, points[0].Stamp.Wall, points[0].Stamp.Wall
	for i := range points[:n] {
		h.First, h.Last = min(h.First, points[i].Stamp.Wall), max(h.Last, points[i].Stamp.Wall)
	}
	if x.gzip == nil {
		x.gzip = gzip.NewWriter(nil)
	}
	x.out = *bytes.NewBuffer(appendHeader(w.work[:0], h))
	x.gzip.Reset(&x.out)
	_, _ = x.gzip.Write(x.text[:x.ends[n-1]]) // a buffer takes everything
	_ = x.gzip.Close()
	w.work = x.out.Bytes()
	x.out = bytes.Buffer{}
	seal(w.work)
	return fill{n, len(w.work)}, nil
}

// readText reads a block of lines.
func readText(block []byte) ([]probes.Point, error) {
	h, body, err := parse(block)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	in := bytes.NewReader(body)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", malformed("its text does not decompress: %v", err))
	}
	z.Multistream(false)
	points, err := h.readLines(bufio.NewReaderSize(io.LimitReader(z, maxText+1), maxLine+1))
	if err != nil {
		return nil, fmt.Errorf("read block: %w", malformed("its text cannot be read: %v", err))
	}
	if in.Len() > 0 {
		return nil, fmt.Errorf("read block: %w", malformed("%d bytes follow its text", in.Len()))
	}
	return points, h.agrees(points)
}

// readLines reads as many lines as there are points, and the end. Points of one
// series have the same Series.
func (h *Header) readLines(text *bufio.Reader) ([]probes.Point, error) {
	points := make([]probes.Point, 0, min(h.Count, 1<<12)) // a line is no promise of more
	series := make(map[[16]byte]*probes.Series)
	for size := 0; ; {
		line, err := text.ReadSlice('\n')
		size += len(line)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return points, nil
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", len(points)+1, err)
		case size > maxText:
			return nil, fmt.Errorf("it is longer than %d bytes", maxText)
		case len(points) == h.Count:
			return nil, fmt.Errorf("it has more than its %d lines", h.Count)
		}
		p, err := mint.Parse(string(line[:len(line)-1]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(points)+1, err)
		}
		id := p.Series.ID()
		if s := series[id]; s != nil {
			p.Series = s
		} else {
			series[id] = p.Series
		}
		p.Stamp.Guess = h.Guess
		points = append(points, p)
	}
}
