package courier

import (
	"slices"
	"time"
)

// What may be under way without an answer of a relay.
const (
	mostBlocks = 8
	mostBytes  = 512 << 10
)

const (
	// leastPatience is how long the answer to a block may take at least.
	leastPatience = 10 * time.Second
	mostPatience  = 5 * time.Minute
	jitter        = 0.25 // of the patience, at most, on top of it
	trips         = 64   // that the patience rests on
)

// window bounds what is under way: it grows by one with each block that is
// taken over, and is halved when an answer does not come.
type window struct {
	blocks int       // 0: all of it
	halved time.Time // when last
	took   []time.Duration
	next   int // of took, to be replaced
}

// size is how many blocks may be under way.
func (w *window) size() int {
	if w.blocks == 0 {
		return mostBlocks
	}
	return w.blocks
}

// admits tells whether one more block may leave beside those under way. One
// always may, whatever its size.
func (w *window) admits(blocks, bytes, size int) bool {
	return blocks == 0 || blocks < w.size() && bytes+size <= mostBytes
}

// answered notes that a block was taken over, so long after it left first.
func (w *window) answered(took time.Duration) {
	w.blocks = min(w.size()+1, mostBlocks)
	if len(w.took) < trips {
		w.took = append(w.took, took)
		return
	}
	w.took[w.next] = took
	w.next = (w.next + 1) % trips
}

// missed notes that the answer to a block did not come. Blocks that are missed
// together count once.
func (w *window) missed(now time.Time) {
	if now.Sub(w.halved) < leastPatience {
		return
	}
	w.halved, w.blocks = now, max(1, w.size()/2)
}

// usual is the time within which 95 of 100 answers come.
func (w *window) usual() time.Duration {
	if len(w.took) == 0 {
		return 0
	}
	sorted := slices.Clone(w.took)
	slices.Sort(sorted)
	return sorted[(len(sorted)*95+99)/100-1]
}

// patience is how long to wait for an answer before a block leaves again.
// random is in [0, 1).
func (w *window) patience(random float64) time.Duration {
	wait := min(max(2*w.usual(), leastPatience), mostPatience)
	return wait + time.Duration(random*jitter*float64(wait))
}

// rate measures the link by the bytes that were acknowledged while some were
// under way all the time.
type rate struct {
	flying int
	begin  time.Time
	bytes  int
	known  float64 // bytes a second; 0: not yet
}

// enough bytes in a row tell of the link, and not of its round trips.
const enoughBytes = 16 << 10

func (r *rate) left(now time.Time) {
	if r.flying == 0 {
		r.begin, r.bytes = now, 0
	}
	r.flying++
}

func (r *rate) arrived(now time.Time, bytes int) {
	r.flying = max(0, r.flying-1)
	r.bytes += bytes
	took := now.Sub(r.begin).Seconds()
	if r.bytes < enoughBytes || took <= 0 {
		return
	}
	if seen := float64(r.bytes) / took; r.known == 0 {
		r.known = seen
	} else {
		r.known += 0.3 * (seen - r.known)
	}
	r.begin, r.bytes = now, 0
}

// broken forgets what was under way.
func (r *rate) broken() { r.flying, r.bytes = 0, 0 }
