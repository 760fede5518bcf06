package export

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/edgehold/edgehold/probes"
)

const (
	runSamples = 128 << 10 // 3 MB
	mergeRoom  = 16 << 20  // bytes, shared by the readers of all runs
	frameRun   = 'R'

	sampleBytes = 12 // of a sample in the spill file, about
)

// sorter sorts samples by metric and time through a spill file, which is frames
// (stream.go):
//
//	S  part, then a series: the next metric is this part of it
//	R  a sorted run: samples, each metric (uvarint), time (uvarint: the zigzag
//	   distance to the sample before), form, 8 bytes
type sorter struct {
	metrics *metrics
	samples []sample // of the next run
	limit   int
	runs    []run
	at      int64 // end of the spill file
	merged  int64 // bytes of it that the merge is through with
}

// run is where in the spill file a run is.
type run struct{ from, size int64 }

func newSorter() *sorter { return &sorter{metrics: newMetrics(), limit: runSamples} }

// order brings samples into the order of the text. Samples of one metric and
// time stay in the order in which they came.
func (s *sorter) order(a, b sample) int {
	return cmp.Or(cmp.Compare(s.metrics.rank(a.metric), s.metrics.rank(b.metric)), cmp.Compare(a.ms, b.ms))
}

// appendRun ends the run.
func (s *sorter) appendRun(dst []byte) []byte {
	if len(s.samples) == 0 {
		return dst
	}
	slices.SortStableFunc(s.samples, s.order)
	content := make([]byte, 0, sampleBytes*len(s.samples))
	last := int64(0)
	for _, x := range s.samples {
		content = binary.AppendUvarint(content, uint64(x.metric))
		content = binary.AppendVarint(content, x.ms-last)
		content = binary.LittleEndian.AppendUint64(append(content, byte(x.form)), x.bits)
		last = x.ms
	}
	s.samples = s.samples[:0]
	return appendFrame(dst, frameRun, content)
}

// wrote notes what has been written to the spill file, whole frames.
func (s *sorter) wrote(frames []byte) {
	for len(frames) > 0 {
		size, n := binary.Uvarint(frames[1:])
		end := int64(1+n) + int64(size)
		if frames[0] == frameRun {
			s.runs = append(s.runs, run{s.at + int64(1+n), int64(size)})
		}
		s.at += end
		frames = frames[end:]
	}
}

var errSpill = errors.New("the file of an interrupted export is malformed; delete it with its .part and .state files and begin again")

// load reads the spill file of an interrupted export up to its end.
func (s *sorter) load(f io.ReaderAt, end int64) error {
	for s.at < end {
		in := bufio.NewReader(io.NewSectionReader(f, s.at, end-s.at))
		kind, err := in.ReadByte()
		if err != nil {
			return fmt.Errorf("read the spill file: %w", noEnd(err))
		}
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return fmt.Errorf("read the spill file: %w", noEnd(err))
		}
		head := int64(1 + len(binary.AppendUvarint(nil, size)))
		if size > uint64(end-s.at-head) {
			return errSpill
		}
		switch kind {
		case frameRun:
			s.runs = append(s.runs, run{s.at + head, int64(size)})
		case frameSeries:
			if err := s.loadSeries(in, size); err != nil {
				return err
			}
		default:
			return errSpill
		}
		s.at += head + int64(size)
	}
	return nil
}

func (s *sorter) loadSeries(in io.Reader, size uint64) error {
	content := make([]byte, min(size, maxFrame))
	if _, err := io.ReadFull(in, content); err != nil {
		return fmt.Errorf("read the spill file: %w", noEnd(err))
	}
	d := decoder{rest: content}
	part := int(d.byte())
	series := d.series()
	if d.bad || len(d.rest) > 0 || part >= len(partSuffixes) {
		return errSpill
	}
	if _, fresh := s.metrics.number(series, part); !fresh {
		return errSpill
	}
	return nil
}

// runReader reads one run.
type runReader struct {
	in   *bufio.Reader
	next sample
	rank uint64
	age  int // number of the run
}

func (r *runReader) advance(m *metrics) error {
	number, err := binary.ReadUvarint(r.in)
	if err != nil {
		return err // io.EOF at the end of the run
	}
	step, err := binary.ReadVarint(r.in)
	if err != nil {
		return noEnd(err)
	}
	var rest [9]byte
	if _, err := io.ReadFull(r.in, rest[:]); err != nil {
		return noEnd(err)
	}
	if number >= uint64(len(m.list)) {
		return errSpill
	}
	r.next = sample{bits: binary.LittleEndian.Uint64(rest[1:]), ms: r.next.ms + step, metric: uint32(number), form: probes.Form(rest[0])}
	r.rank = m.rank(r.next.metric)
	return nil
}

// runHeap has the reader with the first sample on top; of equal ones the
// older run's.
type runHeap []*runReader

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].rank, h[j].rank), cmp.Compare(h[i].next.ms, h[j].next.ms), cmp.Compare(h[i].age, h[j].age)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*runReader)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// merge gives all samples of the spill file in order. Of several of one metric
// and time the last to come is given; double counts the others.
func (s *sorter) merge(f io.ReaderAt, fn func(sample) error) (double int64, err error) {
	readers := make(runHeap, 0, len(s.runs))
	room := min(64<<10, max(4<<10, mergeRoom/max(1, len(s.runs))))
	for i, at := range s.runs {
		r := &runReader{in: bufio.NewReaderSize(io.NewSectionReader(f, at.from, at.size), room), age: i}
		if err := r.advance(s.metrics); err != nil {
			return 0, fmt.Errorf("read the spill file: %w", noEnd(err))
		}
		readers = append(readers, r)
	}
	heap.Init(&readers)
	var held sample
	holds := false
	for len(readers) > 0 {
		next := readers[0].next
		same := holds && next.metric == held.metric && next.ms == held.ms
		if same {
			double++
		}
		if holds && !same {
			err = fn(held)
		}
		if err != nil {
			return double, err
		}
		held, holds = next, true
		s.merged += sampleBytes
		if err := readers.step(s.metrics); err != nil {
			return double, err
		}
	}
	if holds {
		err = fn(held)
	}
	return double, err
}

// step takes the first sample away.
func (h *runHeap) step(m *metrics) error {
	err := (*h)[0].advance(m)
	switch {
	case err == nil:
		heap.Fix(h, 0)
		return nil
	case errors.Is(err, io.EOF):
		heap.Pop(h)
		return nil
	}
	return fmt.Errorf("read the spill file: %w", err)
}
