package emulated

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// errNoPower is what a disk without power answers.
var errNoPower = errors.New("the disk has no power")

const sectorSize = 512

// VolatileDisk is a disk with a write cache that forgets: a sector that was
// written but not flushed when the power goes holds afterwards what it held
// before, or any of what was written to it since the last flush, whatever
// became of its neighbours.
type VolatileDisk struct {
	Lies bool // flushes do nothing, though they are answered, and a cut loses all

	mu     sync.Mutex
	life   int // how often the power came back
	off    bool
	back   chan struct{} // closed when the power comes back
	left   int           // writes until the power goes, which random decides about; 0: it stays
	random *rand.Rand
	toll   Toll
	stable []byte
	cached map[int64][][]byte // what was written since the last flush, by sector, oldest first
}

// Toll is what became of the cache when the power went, in sectors.
type Toll struct{ Cached, Lost int }

// keptVersions bounds what is remembered of one sector, which matters for a
// disk that lies only.
const keptVersions = 4

// LoadDisk makes a disk with the content of a file, whole sectors.
func LoadDisk(path string) (*VolatileDisk, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return &VolatileDisk{
		stable: content[:len(content)/sectorSize*sectorSize],
		cached: map[int64][][]byte{},
		back:   make(chan struct{}),
	}, nil
}

// Size is in bytes.
func (d *VolatileDisk) Size() int64 { return int64(len(d.stable)) }

// session is what one emulator does to the disk. It ends with the power.
type session struct {
	*VolatileDisk
	born int
}

func (d *VolatileDisk) plug() session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return session{d, d.life}
}

// lock takes the disk. Without power there is no answer until it is back, and
// then what the session had still wanted is forgotten.
func (s session) lock() error {
	s.mu.Lock()
	if back := s.back; s.off {
		s.mu.Unlock()
		<-back
		return errNoPower
	}
	if s.born != s.life {
		s.mu.Unlock()
		return errNoPower
	}
	return nil
}

// read fills p, which covers whole sectors.
func (s session) read(p []byte, off int64) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	copy(p, s.stable[off:])
	if len(s.cached) == 0 {
		return nil
	}
	for at := int64(0); at < int64(len(p)); at += sectorSize {
		if versions := s.cached[(off+at)/sectorSize]; versions != nil {
			copy(p[at:], versions[len(versions)-1])
		}
	}
	return nil
}

// write takes whole sectors. With durable they survive at once.
func (s session) write(p []byte, off int64, durable bool) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if durable && !s.Lies {
		copy(s.stable[off:], p)
	}
	for at := int64(0); at < int64(len(p)); at += sectorSize {
		n := (off + at) / sectorSize
		if durable && !s.Lies {
			delete(s.cached, n)
			continue
		}
		versions := append(s.cached[n], slices.Clone(p[at:at+sectorSize]))
		s.cached[n] = versions[max(0, len(versions)-keptVersions):]
	}
	if s.left--; s.left == 0 {
		s.cut()
		return errNoPower
	}
	return nil
}

// flush makes durable what was written.
func (s session) flush() error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.Lies {
		return nil
	}
	for n, versions := range s.cached {
		copy(s.stable[n*sectorSize:], versions[len(versions)-1])
	}
	clear(s.cached)
	return nil
}

// cut takes the power and forgets: of the sectors in the cache a random part
// survives, in a random one of its versions.
func (d *VolatileDisk) cut() {
	d.off, d.left, d.toll = true, 0, Toll{Cached: len(d.cached)}
	keep := d.random.Float64()
	if d.Lies {
		keep = 0
	}
	for _, n := range slices.Sorted(maps.Keys(d.cached)) {
		versions := d.cached[n]
		if d.random.Float64() >= keep {
			d.toll.Lost++
			continue
		}
		copy(d.stable[n*sectorSize:], versions[d.random.IntN(len(versions))])
	}
	clear(d.cached)
}

// CutAfter takes the power away after so many writes from now, or now if that is
// 0. What the emulator asks for then is not answered.
func (d *VolatileDisk) CutAfter(writes int, random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.random, d.left = random, writes
	if writes == 0 {
		d.cut()
	}
}

// Dead tells whether the power is off, and what that has cost.
func (d *VolatileDisk) Dead() (Toll, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.toll, d.off
}

// PowerOn brings the disk back, with what has survived. The emulator that used
// it must have ended.
func (d *VolatileDisk) PowerOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
	d.life++
	close(d.back)
	d.back = make(chan struct{})
}
