package arc

// A prob is an adaptive probability: 22 bits of the chance that the next bit
// is 1, over 10 bits that count the bits seen, up to a limit. The more it has
// seen, the less it moves.
type prob uint32

const (
	probBits  = 22
	countBits = 10
	evenProb  = prob(1 << (probBits - 1) << countBits)
	maxCount  = 255
)

// rates holds, for each count n, 2^16/(n+1.5): the share of the way that a
// prob goes towards the bit it has seen.
var rates = func() (r [maxCount + 1]uint32) {
	for n := range r {
		r[n] = uint32((2 << 16) / (2*n + 3))
	}
	return r
}()

// see moves the probability towards the bit.
func (p *prob) see(bit uint32) {
	v := *p
	n := v & (1<<countBits - 1)
	q := uint64(v >> countBits)
	if bit != 0 {
		q += (1<<probBits - q) * uint64(rates[n&maxCount]) >> 16
	} else {
		q -= q * uint64(rates[n&maxCount]) >> 16
	}
	if n < maxCount {
		n++
	}
	*p = prob(q)<<countBits | n
}

// minRange is where coder and decoder shift out a byte.
const minRange = 1 << 24

// rangeEncoder is a binary range coder: low and size are the part of the
// interval that the bits so far have chosen. A carry runs back into out.
type rangeEncoder struct {
	out       []byte
	low, size uint32
}

func (e *rangeEncoder) begin(out []byte) { *e = rangeEncoder{out: out, size: 1<<32 - 1} }

func (e *rangeEncoder) bit(p *prob, bit uint32) {
	bound := uint32(uint64(e.size) * uint64(*p>>countBits) >> probBits)
	p.see(bit)
	if bit != 0 {
		e.size = bound
	} else {
		e.size -= bound
		e.add(bound)
	}
	for e.size < minRange {
		e.shift()
	}
}

// bits codes the n low bits of v, all equally likely.
func (e *rangeEncoder) bits(v uint64, n int) {
	for n > 0 {
		k := min(n, 16)
		n -= k
		e.size >>= k
		e.add(e.size * (uint32(v>>n) & (1<<k - 1)))
		for e.size < minRange {
			e.shift()
		}
	}
}

func (e *rangeEncoder) add(n uint32) {
	e.low += n
	if e.low < n {
		e.carry()
	}
}

func (e *rangeEncoder) carry() {
	for i := len(e.out) - 1; ; i-- {
		e.out[i]++
		if e.out[i] != 0 {
			return
		}
	}
}

func (e *rangeEncoder) shift() {
	e.out = append(e.out, byte(e.low>>24))
	e.low <<= 8
	e.size <<= 8
}

// end chooses the number of the interval that takes the fewest bytes: none
// where the bytes so far name one already, else one.
func (e *rangeEncoder) end() []byte {
	if e.low == 0 {
		return e.out
	}
	if e.low+(e.size-1) < e.low {
		e.carry()
		return e.out
	}
	e.add(minRange - 1)
	return append(e.out, byte(e.low>>24))
}

// rangeDecoder is the inverse of rangeEncoder. Behind the end of in it reads
// zeros; done tells whether that was in order.
type rangeDecoder struct {
	in         []byte
	pos        int
	code, size uint32
	bad        bool
}

func (d *rangeDecoder) begin(in []byte) {
	*d = rangeDecoder{in: in, size: 1<<32 - 1}
	for range 4 {
		d.code = d.code<<8 | d.next()
	}
}

func (d *rangeDecoder) next() uint32 {
	d.pos++
	if d.pos > len(d.in) {
		return 0
	}
	return uint32(d.in[d.pos-1])
}

func (d *rangeDecoder) bit(p *prob) uint32 {
	bound := uint32(uint64(d.size) * uint64(*p>>countBits) >> probBits)
	var bit uint32
	if d.code < bound {
		d.size = bound
		bit = 1
	} else {
		d.size -= bound
		d.code -= bound
	}
	p.see(bit)
	for d.size < minRange {
		d.shift()
	}
	return bit
}

func (d *rangeDecoder) bits(n int) (v uint64) {
	for n > 0 {
		k := min(n, 16)
		n -= k
		d.size >>= k
		part := d.code / d.size
		if part >= 1<<k {
			d.bad = true
			part = 0
		}
		d.code -= part * d.size
		v = v<<k | uint64(part)
		for d.size < minRange {
			d.shift()
		}
	}
	return v
}

func (d *rangeDecoder) shift() {
	d.code = d.code<<8 | d.next()
	d.size <<= 8
}

// short tells that more was read than the encoder can have left out.
func (d *rangeDecoder) short() bool { return d.bad || d.pos > len(d.in)+4 }

// done tells that the input ends where the encoder ends it.
func (d *rangeDecoder) done() bool {
	shifts := d.pos - 4
	if d.bad {
		return false
	}
	return len(d.in) == shifts || len(d.in) == shifts+1 && d.in[shifts] != 0
}
