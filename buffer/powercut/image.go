package powercut

import (
	"math/rand/v2"
	"os"
)

const chunkSize = 64 << 10

// image is the content of a disk. Chunks that were never written are zero, or
// those of the image under it.
type image struct {
	size   int64
	chunks map[int64][]byte
	under  *image
}

func newImage(size int64) *image {
	return &image{size: size, chunks: make(map[int64][]byte)}
}

// fork gives an image that starts with the content of this one, which must not
// change while the fork is in use.
func (m *image) fork() *image {
	return &image{size: m.size, chunks: make(map[int64][]byte), under: m}
}

// chunk is the content of one chunk, nil for zeros.
func (m *image) chunk(n int64) []byte {
	for ; m != nil; m = m.under {
		if c := m.chunks[n]; c != nil {
			return c
		}
	}
	return nil
}

// own gives a chunk that may be written.
func (m *image) own(n int64) []byte {
	c := m.chunks[n]
	if c == nil {
		c = make([]byte, chunkSize)
		copy(c, m.chunk(n))
		m.chunks[n] = c
	}
	return c
}

func (m *image) readAt(p []byte, off int64) {
	for len(p) > 0 {
		n, from := off/chunkSize, off%chunkSize
		part := p[:min(int64(len(p)), chunkSize-from)]
		if c := m.chunk(n); c != nil {
			copy(part, c[from:])
		} else {
			clear(part)
		}
		p, off = p[len(part):], off+int64(len(part))
	}
}

func (m *image) writeAt(p []byte, off int64) {
	for len(p) > 0 {
		n := copy(m.own(off / chunkSize)[off%chunkSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

func (m *image) zero(off, size int64) {
	for end := off + size; off < end; {
		n, from := off/chunkSize, off%chunkSize
		to := min(chunkSize, from+end-off)
		if m.chunk(n) != nil {
			clear(m.own(n)[from:to])
		}
		off += to - from
	}
}

// save writes the image to a new file, sparse.
func (m *image) save(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(m.size); err != nil {
		return err
	}
	done := make(map[int64]bool)
	for layer := m; layer != nil; layer = layer.under {
		for n := range layer.chunks {
			if done[n] {
				continue
			}
			done[n] = true
			c := m.chunk(n)
			if _, err := f.WriteAt(c[:min(chunkSize, m.size-n*chunkSize)], n*chunkSize); err != nil {
				return err
			}
		}
	}
	return f.Close()
}

// request is one write, discard or flush that the disk was sent.
type request struct {
	off   int64
	data  []byte // written
	zeros int64  // bytes discarded, which read as zeros afterwards
	flush bool
}

func (r request) size() int64 { return max(int64(len(r.data)), r.zeros) }

// apply does the part of a request from byte from to byte to.
func (r request) apply(m *image, from, to int64) {
	if r.data == nil {
		m.zero(r.off+from, to-from)
		return
	}
	m.writeAt(r.data[from:to], r.off+from)
}

// cut is one moment at which the power goes.
type cut struct {
	At      int     `json:"at"`      // requests that had been sent
	Flushed int     `json:"flushed"` // of them: were on the disk for good
	Tear    int64   `json:"tear"`    // what is kept or lost as one, in bytes; 0: whole requests
	Keep    float64 `json:"keep"`    // the chance of each to be kept
	Seed    uint64  `json:"seed"`
}

// window is how many requests a disk that ignores flushes may hold back.
const window = 64

// newCut picks what is left of the requests at one moment. A disk that lies
// ignores flushes.
func newCut(log []request, at int, lies bool, random *rand.Rand) cut {
	c := cut{At: at, Keep: random.Float64(), Seed: random.Uint64()}
	c.Tear = []int64{0, 512, 4096}[random.IntN(3)]
	switch random.IntN(8) { // all is lost or all is kept more often than by chance
	case 0:
		c.Keep = 0
	case 1:
		c.Keep = 1
	}
	if lies {
		c.Flushed = max(0, at-window)
		return c
	}
	for c.Flushed = at; c.Flushed > 0 && !log[c.Flushed-1].flush; {
		c.Flushed--
	}
	return c
}

// torn gives the disk after the cut; flushed is the disk with all requests up
// to c.Flushed.
func (c cut) torn(flushed *image, log []request) *image {
	m, random := flushed.fork(), rand.New(rand.NewPCG(c.Seed, 0))
	for _, r := range log[c.Flushed:c.At] {
		step := c.Tear
		if step == 0 {
			step = max(1, r.size())
		}
		for from := int64(0); from < r.size(); from += step {
			if random.Float64() < c.Keep {
				r.apply(m, from, min(from+step, r.size()))
			}
		}
	}
	return m
}
