package main

import (
	"bufio"
	"compress/gzip"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/edgehold/edgehold/probes"
)

// A recording is a gzip of gobs, one round after the other.
type round struct {
	New    []recordedSeries // numbered from where the last round ended
	Stamps []probes.Stamp
	Points []recordedPoint
}

type recordedSeries struct {
	Key  string
	Type probes.Type
	Dims []probes.Dimension
}

type recordedPoint struct {
	Series, Stamp uint32
	Form          probes.Form
	Bits          uint64
	Summary       *probes.Summary
}

// recorder writes a recording.
type recorder struct {
	file    *os.File
	zip     *gzip.Writer
	encoder *gob.Encoder
	numbers map[[16]byte]uint32
}

func newRecorder(path string) (*recorder, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	r := &recorder{file: f, zip: gzip.NewWriter(f), numbers: map[[16]byte]uint32{}}
	r.encoder = gob.NewEncoder(r.zip)
	return r, nil
}

func (r *recorder) add(points []probes.Point) error {
	var out round
	stamps := map[probes.Stamp]uint32{}
	for _, p := range points {
		id, ok := r.numbers[p.Series.ID()]
		if !ok {
			id = uint32(len(r.numbers))
			r.numbers[p.Series.ID()] = id
			out.New = append(out.New, recordedSeries{p.Series.Key(), p.Series.Type(), p.Series.Dims()})
		}
		at, ok := stamps[p.Stamp]
		if !ok {
			at = uint32(len(out.Stamps))
			stamps[p.Stamp] = at
			out.Stamps = append(out.Stamps, p.Stamp)
		}
		x := recordedPoint{Series: id, Stamp: at, Form: p.Value.Form()}
		if x.Form == probes.FormSummary {
			s := p.Value.Summary()
			x.Summary = &s
		} else {
			x.Bits = bits(p.Value)
		}
		out.Points = append(out.Points, x)
	}
	return r.encoder.Encode(out)
}

func (r *recorder) close() error { return errors.Join(r.zip.Close(), r.file.Close()) }

// recording is a source that reads one.
type recording struct {
	decoder *gob.Decoder
	series  []*probes.Series
}

func openRecording(path string) (*recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("open recording %s: %w", path, err)
	}
	return &recording{decoder: gob.NewDecoder(zip)}, nil
}

func (r *recording) next() ([]probes.Point, error) {
	var in round
	if err := r.decoder.Decode(&in); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	for _, s := range in.New {
		r.series = append(r.series, probes.NewSeries(s.Key, s.Type, s.Dims...))
	}
	points := make([]probes.Point, len(in.Points))
	for i, x := range in.Points {
		points[i] = probes.Point{Series: r.series[x.Series], Value: x.value(), Stamp: in.Stamps[x.Stamp]}
	}
	return points, nil
}

func (x recordedPoint) value() probes.Value {
	switch x.Form {
	case probes.FormSummary:
		return probes.Summarize(*x.Summary)
	case probes.FormInt:
		return probes.Int(int64(x.Bits))
	case probes.FormUint:
		return probes.Uint(x.Bits)
	}
	return probes.Float(math.Float64frombits(x.Bits))
}
