package powercut

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// span is the points From..To-1, by number.
type span struct{ From, To uint64 }

func (s span) String() string { return fmt.Sprintf("%d-%d", s.From, s.To-1) }

// spansOf joins sorted numbers.
func spansOf(numbers []uint64) (out []span) {
	for _, n := range numbers {
		if k := len(out) - 1; k >= 0 && out[k].To == n {
			out[k].To++
		} else {
			out = append(out, span{n, n + 1})
		}
	}
	return out
}

// The operations that the child tells of, each before it goes on.
const (
	opOffer  = "offer"  // the points are about to be handed over
	opAck    = "ack"    // Append has returned: the points are durable
	opSettle = "settle" // the points are about to be settled
	opCommit = "commit" // a commit has ended that began after all that was said before; with the account
	opClock  = "clock"  // the clock is about to be turned
	opKill   = "kill"   // the process is about to kill itself
)

// event is what the child says.
type event struct {
	Op        string
	Points    span            `json:",omitzero"` // offer, ack
	Series    int             `json:",omitzero"` // offer: of the first point; the others have the following ones
	Noise     bool            `json:",omitzero"` // offer: values that do not compress
	Wall      int64           `json:",omitzero"` // offer: when measured
	Delivered []span          `json:",omitzero"`
	Refused   []span          `json:",omitzero"`
	Account   *buffer.Account `json:",omitzero"`
	Clock     int64           `json:",omitzero"`
	Left      int             `json:",omitzero"` // kill: operations that were still to be done
	Held      bool            `json:",omitzero"` // offer: other points are leased meanwhile

	Pos int // requests that the disk had been sent by then
}

// history is all that the children of one run have said.
type history []event

// until cuts off what was said after a number of requests.
func (h history) until(at int) history {
	n, _ := slices.BinarySearchFunc(h, at+1, func(e event, at int) int { return e.Pos - at })
	return h[:n]
}

func (h history) points() (n uint64) {
	for _, e := range h {
		n = max(n, e.Points.To)
	}
	return n
}

// epoch is where the clock of every run begins.
const epoch = int64(1_767_225_600_000)

const (
	noiseBit = 1 << 62
	noise    = noiseBit - 1
	odd      = 0x1d8e4e27c47d124f
)

// value is one to one, so that a value read back names its point.
func value(n uint64, noisy bool) probes.Value {
	if !noisy {
		return probes.Uint(n)
	}
	x := n
	x ^= x >> 31
	x = x * odd & noise
	x ^= x >> 31
	x = x * odd & noise
	x ^= x >> 31
	return probes.Uint(x | noiseBit)
}

// numberOf is the inverse of value.
func numberOf(v probes.Value) (n uint64, noisy bool) {
	x := v.Uint64()
	if x&noiseBit == 0 {
		return x, false
	}
	inverse := uint64(1)
	for range 6 {
		inverse *= 2 - odd*inverse
	}
	x &= noise
	x ^= x >> 31
	x = x * inverse & noise
	x ^= x >> 31
	x = x * inverse & noise
	x ^= x >> 31
	return x, true
}

// catalog makes each series once.
type catalog []*probes.Series

func (c *catalog) get(n int) *probes.Series {
	for len(*c) <= n {
		*c = append(*c, probes.NewSeries("power.cut", probes.Gauge,
			probes.Dimension{Key: "device", Value: "switch-" + strconv.Itoa(len(*c)/64)},
			probes.Dimension{Key: "n", Value: strconv.Itoa(len(*c))}))
	}
	return (*c)[n]
}
