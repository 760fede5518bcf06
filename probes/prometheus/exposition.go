package prometheus

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// The bounds of one scrape.
const (
	maxBody    = 64 << 20 // bytes, uncompressed
	maxLine    = 64 << 10 // bytes
	maxSamples = 50_000   // that are wanted
)

// What a sample takes beside its texts: in the list, which grows by parts, and for
// the points that are made of it; and each of its labels.
const sampleBytes, dimensionBytes = 256, 32

// sampleSize is about what a sample takes whose texts have so many bytes.
func sampleSize(s *plan.Sample, texts int) int64 {
	return int64(sampleBytes + dimensionBytes*cap(s.Labels) + texts)
}

// Why an exposition was not read to its end.
var (
	errBodyTooLong = fmt.Errorf("the answer is longer than %d MiB", maxBody>>20)
	errTooMany     = fmt.Errorf("more than %d samples are wanted", maxSamples)
	errNoEnd       = errors.New("the answer ends before its line # EOF")
)

// exposition is what was read of one answer.
type exposition struct {
	open    bool // OpenMetrics; else the text format
	names   wanted
	hold    *probes.Hold // for the samples
	samples []plan.Sample

	lines     int
	malformed int
	first     string // the first malformed line, its number and why
	ended     bool   // # EOF was read
	grown     int64  // bytes that samples take and that are not held yet
	seen      int    // samples of any name
}

// wanted tells which samples are kept.
type wanted interface{ Has(name []byte) bool }

// isOpenMetrics reads the content type of an answer.
func isOpenMetrics(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/openmetrics-text"
}

// read takes the samples that are wanted out of r, line by line. What cannot be
// read as a sample is counted and left out. The error says why it stopped before
// the end; what was read until then is kept.
func (x *exposition) read(ctx context.Context, r io.Reader) error {
	bounded := &io.LimitedReader{R: r, N: maxBody + 1}
	lines := bufio.NewReaderSize(bounded, maxLine)
	for !x.ended {
		line, err := lines.ReadSlice('\n')
		switch {
		case bounded.N <= 0:
			return errBodyTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			err = x.tooLong(lines)
		case err == nil || errors.Is(err, io.EOF) && len(line) > 0:
			x.line(bytes.TrimRight(line, "\r\n"))
		}
		switch {
		case errors.Is(err, io.EOF):
			return x.end()
		case err != nil:
			return err
		case len(x.samples) > maxSamples:
			x.samples = x.samples[:maxSamples]
			return errTooMany
		}
		if err := x.keep(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keep takes what the last line added of the memory that there is for answers.
func (x *exposition) keep(ctx context.Context) error {
	grown := x.grown
	x.grown = 0
	if grown == 0 {
		return nil
	}
	err := x.hold.Take(ctx, grown)
	if err != nil {
		x.samples = x.samples[:len(x.samples)-1]
	}
	return err
}

// end is where there is no more to read.
func (x *exposition) end() error {
	if x.open && !x.ended {
		return errNoEnd
	}
	return nil
}

// tooLong leaves out the rest of a line.
func (x *exposition) tooLong(lines *bufio.Reader) error {
	x.lines++
	x.fault(fmt.Sprintf("it is longer than %d KiB", maxLine>>10))
	for {
		_, err := lines.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (x *exposition) fault(why string) {
	if x.malformed++; x.malformed == 1 {
		x.first = fmt.Sprintf("line %d: %s", x.lines, why)
	}
}

// line reads one line.
func (x *exposition) line(line []byte) {
	x.lines++
	line = bytes.Trim(line, " \t")
	switch {
	case len(line) == 0:
		return
	case line[0] == '#':
		x.ended = x.open && string(line) == "# EOF"
		return
	}
	if name := bareName(line); len(name) > 0 && !x.names.Has(name) {
		x.seen++
		return
	}
	sample, err := parseSample(string(line), x.open)
	if err != nil {
		x.fault(err.Error())
		return
	}
	x.seen++
	if x.names.Has([]byte(sample.Name)) {
		x.grown = sampleSize(&sample, compact(&sample, len(line)))
		x.samples = append(x.samples, sample)
	}
}

// bareName is the name that a line begins with, none where it is in quotes or
// no sample follows it.
func bareName(line []byte) []byte {
	n := 0
	for n < len(line) && isName(line[n], n == 0) {
		n++
	}
	if n == len(line) || !strings.ContainsRune(" \t{", rune(line[n])) {
		return nil
	}
	return line[:n]
}

// isName tells whether a letter may stand in the name of a metric.
func isName(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || !first && c >= '0' && c <= '9'
}

// number reads a value as both formats write it.
func number(text string) (float64, error) {
	if strings.ContainsAny(text, "xXpP_") {
		return 0, fmt.Errorf("found %.40q, expected a number", text)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("found %.40q, expected a number", text)
	}
	return f, nil
}
