package main

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// source gives the points of one commit after the other, nil at its end.
type source interface {
	next() ([]probes.Point, error)
}

// verifier holds what is drained against a second run of the source: every
// point once, commit by commit, with its value, its form and its stamp.
type verifier struct {
	source  source
	numbers map[[16]byte]int32
	want    []probes.Point // by number; no series: not in this commit, or seen
	open    int            // points of this commit that did not come yet
	spent   time.Duration
}

func newVerifier(s source) *verifier {
	return &verifier{source: s, numbers: map[[16]byte]int32{}}
}

func (v *verifier) points(points []probes.Point) error {
	from := time.Now()
	defer func() { v.spent += time.Since(from) }()
	for i := range points {
		if err := v.point(&points[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) point(p *probes.Point) error {
	if v.open == 0 {
		if err := v.advance(); err != nil {
			return err
		}
	}
	i, ok := v.numbers[p.Series.ID()]
	if !ok {
		return fmt.Errorf("drained a series that was never written: %s %v", p.Series.Key(), p.Series.Dims())
	}
	w := &v.want[i]
	if w.Series == nil || w.Stamp != p.Stamp || !w.Value.Equal(p.Value) {
		return fmt.Errorf("drained %s %v = %v at %+v, wanted %v at %+v (seen before: %v)",
			p.Series.Key(), p.Series.Dims(), p.Value.Float64(), p.Stamp, w.Value.Float64(), w.Stamp, w.Series == nil)
	}
	w.Series = nil
	v.open--
	return nil
}

// prime takes the memory that the verifier needs, so that it can be told from
// that of the store.
func (v *verifier) prime() error {
	if v.open > 0 {
		return nil
	}
	return v.advance()
}

func (v *verifier) advance() error {
	points, err := v.source.next()
	if err != nil {
		return err
	}
	if points == nil {
		return fmt.Errorf("drained more points than were written")
	}
	for _, p := range points {
		i, ok := v.numbers[p.Series.ID()]
		if !ok {
			i = int32(len(v.want))
			v.numbers[p.Series.ID()] = i
			v.want = append(v.want, probes.Point{})
		}
		if v.want[i].Series != nil {
			return fmt.Errorf("the source gives %s %v twice in one commit", p.Series.Key(), p.Series.Dims())
		}
		v.want[i] = p
	}
	v.open = len(points)
	return nil
}
