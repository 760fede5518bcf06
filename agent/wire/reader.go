package wire

import (
	"fmt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Reader reads blocks. What it takes in memory is bounded, whatever it reads;
// its memory serves for the next block. It is not safe for concurrent use.
type Reader struct {
	dec   *arc.Decoder
	codec arc.Codec
}

// NewReader makes a reader.
func NewReader() *Reader { return &Reader{dec: arc.NewDecoder()} }

// Points gives the points of a block, in the order in which the writer got
// them. The function names names that the block does not bring; nil: it knows
// none. The error is a *MissingError where a name cannot be had; otherwise
// IsMalformed tells whether the block is to blame.
func (r *Reader) Points(block []byte, names func(id uint32) *probes.Series) ([]probes.Point, error) {
	p, err := openPacked(block)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	if p.h.Kind != Points {
		return nil, fmt.Errorf("read block: %w", malformed("kind %d has no points", p.h.Kind))
	}
	if p.h.Codec == Text {
		return readText(block)
	}
	series, err := p.name(names)
	if err != nil {
		return nil, err
	}
	r.dec.Reset(p.series)
	groups, err := r.dec.Decode(p.payload)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", malformed("its points cannot be read: %v", err))
	}
	points := make([]probes.Point, 0, p.h.Count)
	for i := range groups {
		if points, err = p.h.add(points, &groups[i], series); err != nil {
			return nil, err
		}
	}
	return points, p.h.agrees(points)
}

// add appends the points of a group.
func (h *Header) add(points []probes.Point, g *arc.Group, series []*probes.Series) ([]probes.Point, error) {
	if len(points)+len(g.IDs) > h.Count {
		return nil, fmt.Errorf("read block: %w", malformed("it has more than its %d points", h.Count))
	}
	stamp := fromStamp(g.Stamp, h.Guess)
	for i, id := range g.IDs {
		points = append(points, probes.Point{Series: series[id], Value: fromValue(g.Values[i]), Stamp: stamp})
	}
	return points, nil
}

// agrees tells whether the header says of the points what is so.
func (h *Header) agrees(points []probes.Point) error {
	if len(points) != h.Count {
		return fmt.Errorf("read block: %w", malformed("it has %d of its %d points", len(points), h.Count))
	}
	first, last := points[0].Stamp.Wall, points[0].Stamp.Wall
	for i := range points {
		first, last = min(first, points[i].Stamp.Wall), max(last, points[i].Stamp.Wall)
	}
	return h.agreesTimes(first, last)
}

func (h *Header) agreesTimes(first, last int64) error {
	if first != h.First || last != h.Last {
		return fmt.Errorf("read block: %w", malformed("its times are %d to %d, not %d to %d", first, last, h.First, h.Last))
	}
	return nil
}

// name gives the series by local number.
func (p *packedBlock) name(names func(id uint32) *probes.Series) ([]*probes.Series, error) {
	var own map[uint32]*probes.Series
	var err error
	if len(p.names) > 0 {
		if own, err = ReadNames(p.names); err != nil {
			return nil, fmt.Errorf("read block: %w", err)
		}
	}
	series := make([]*probes.Series, p.series)
	var missing []uint32
	for i := range series {
		id := uint32(i)
		if p.ids != nil {
			id = p.ids[i]
		}
		s := own[id]
		if s == nil && p.ids != nil && names != nil {
			s = names(id)
		}
		if s == nil {
			missing = append(missing, id)
		}
		series[i] = s
	}
	if len(missing) == 0 {
		return series, nil
	}
	if p.h.Local {
		return nil, fmt.Errorf("read block: %w", malformed("it lacks %d of its names", len(missing)))
	}
	return nil, &MissingError{missing}
}
