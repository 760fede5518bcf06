package buffer

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// A new record begins where these are exceeded.
const (
	maxRecordPoints = arc.MaxPoints
	maxRecordSpan   = int64(time.Minute / time.Millisecond)
)

// A new segment begins where these are exceeded. Each segment starts with a
// coder that knows nothing of its series, which costs about eight bytes a
// series; and to read a point, all before it in its segment must be decoded.
const (
	segmentPolls      = 60 // of each series; twice as many where the tail is not sealed then
	maxSegmentRecords = 4096
	maxSegmentPoints  = 2 << 20
	maxSegmentBytes   = 2 << 20
)

// packer makes records of points, in the segment that is open.
type packer struct {
	enc     *arc.Encoder
	codec   *arc.Codec
	most    int64 // bytes of a segment
	open    segment
	records uint32 // of the open segment; 0: the next record begins a new one
	sealed  bool   // all records of it
	bytes   int64
	kin     kin // of the stamps in the open segment
}

func newPacker(codec *arc.Codec, quota int64) *packer {
	return &packer{enc: arc.NewEncoder(), codec: codec, most: min(maxSegmentBytes, quota/32)}
}

// seal ends the open segment.
func (p *packer) seal() { p.records = 0 }

// turn ends the open segment where its stamps are of another kind.
func (p *packer) turn(to kin) {
	if p.kin != to {
		p.seal()
	}
	p.kin = to
}

// full tells when to begin a new segment. If it can it waits for the tail to be
// sealed: a segment that ends soon after would leave a chunk of few records.
func (p *packer) full() bool {
	polls := segmentPolls
	if !p.sealed {
		polls *= 2
	}
	return p.records >= maxSegmentRecords || p.bytes >= p.most ||
		p.enc.Points() >= maxSegmentPoints || p.enc.Points() >= polls*p.enc.Series() && p.enc.Points() > 0
}

// draft is a record that is not in the file yet.
type draft struct {
	record
	framed []byte
	boot   probes.BootID // of guesses
	ahead  int64         // what their wall times are more than the uptime, milliseconds
	groups []arc.Group   // what it was packed from; nil for entries
}

// draft packs one record. With names it says which dictionary it needs.
func (p *packer) draft(number uint64, r record, pack func(dst []byte) ([]byte, error)) (draft, error) {
	if p.records == 0 || p.full() {
		p.enc.Reset()
		p.open, p.records, p.bytes = segment{base: number, nonce: rand.Uint32()}, 0, 0
		r.hasNames = true
	}
	r.segment, r.index, r.guess = p.open, p.records, p.kin.guess
	var err error
	if r.payload, err = pack(nil); err != nil {
		p.seal()
		return draft{}, err
	}
	d := draft{record: r, framed: appendRecord(nil, r)}
	p.records++
	p.sealed = false
	p.bytes += int64(len(d.framed))
	return d, nil
}

// points packs points, which must be sorted by wall time, into records with
// the numbers from next on.
func (p *packer) points(next uint64, groups []arc.Group, names dictionaryState) ([]draft, error) {
	var out []draft
	for len(groups) > 0 {
		r, n := record{min: groups[0].Stamp.Wall, names: names.print, hasNames: names.grown && len(out) == 0}, 0
		for n < len(groups) && int(r.count)+len(groups[n].IDs) <= maxRecordPoints && near(r.min, groups[n].Stamp.Wall) {
			r.max = groups[n].Stamp.Wall
			r.count += uint32(len(groups[n].IDs))
			n++
		}
		d, err := p.draft(next+uint64(len(out)), r, func(dst []byte) ([]byte, error) { return p.enc.Encode(dst, groups[:n]) })
		if err != nil {
			return nil, fmt.Errorf("pack points: %w", err)
		}
		d.groups = groups[:n]
		out, groups = append(out, d), groups[n:]
	}
	return out, nil
}

// near tells whether a record may reach from one wall time to a later one.
// They may lie further apart than the greatest number with sign.
func near(from, to int64) bool { return uint64(to-from) <= uint64(maxRecordSpan) }

// dictionaryState is the dictionary that a record needs.
type dictionaryState struct {
	print uint32
	grown bool // since the commit before
}

// entries packs events and log records, sorted by wall time.
func (p *packer) entries(next uint64, entries []arc.Entry, names dictionaryState) ([]draft, error) {
	var out []draft
	for len(entries) > 0 {
		r, n, size := record{min: entries[0].Stamp.Wall, entries: true, names: names.print}, 0, 0
		for n < len(entries) && n < arc.MaxEntries && near(r.min, entries[n].Stamp.Wall) {
			size += len(entries[n].Data) + entryHead
			if n > 0 && size > arc.MaxEntryBytes {
				break
			}
			r.max = entries[n].Stamp.Wall
			r.count++
			n++
		}
		d, err := p.draft(next+uint64(len(out)), r, func(dst []byte) ([]byte, error) { return p.codec.EncodeEntries(dst, entries[:n]) })
		if err != nil {
			return nil, fmt.Errorf("pack events and log records: %w", err)
		}
		out, entries = append(out, d), entries[n:]
	}
	return out, nil
}

// entryHead is the most that the head of an entry takes.
const entryHead = 64
