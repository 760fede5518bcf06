package arc

import "math/bits"

// tables holds the adaptive probabilities of one sort of numbers.
type tables struct {
	zero [2][512 + 4]prob
	size [scales][64]prob
	sign [64]prob
	top  [64][4]prob // the two bits below the highest
}

const scales = 18

func (t *tables) reset() {
	for i := range t.zero {
		even(t.zero[i][:])
	}
	for i := range t.size {
		even(t.size[i][:])
	}
	even(t.sign[:])
	for i := range t.top {
		even(t.top[i][:])
	}
}

func even(probs []prob) {
	for i := range probs {
		probs[i] = evenProb
	}
}

// zeroFlag is the probability that the error is not 0: by the last eight
// errors, or by how long all were 0.
func (t *tables) zeroFlag(c *channel, left *neighbour) *prob {
	if c.calm >= 16 {
		return &t.zero[left.moved][512+bits.Len8(c.calm)-5]
	}
	return &t.zero[left.moved][1<<min(c.seen, 8)|uint(c.past)]
}

// sizes are the probabilities of the length of the error, and by how many bits
// lengths are less there than they are: large errors of all scales share.
func (t *tables) sizes(c *channel) (tree *[64]prob, less int) {
	half := int(c.scale >> 5)
	if half < scales {
		return &t.size[half], 0
	}
	return &t.size[scales-2+half&1], half/2 - (scales/2 - 1)
}

// put codes x.
func (t *tables) put(e *rangeEncoder, c *channel, left *neighbour, x int64) (g guess) {
	c.predict(&g, left)
	flag := t.zeroFlag(c, left)
	if x == g.best {
		e.bit(flag, 0)
	} else {
		e.bit(flag, 1)
		t.putError(e, c, x-g.best)
	}
	c.update(&g, x)
	return g
}

// get is the inverse of put.
func (t *tables) get(d *rangeDecoder, c *channel, left *neighbour) (x int64, g guess) {
	c.predict(&g, left)
	x = g.best
	if d.bit(t.zeroFlag(c, left)) != 0 {
		x += t.getError(d, c)
	}
	c.update(&g, x)
	return x, g
}

// putError codes an error that is not 0: the length in bits, the sign, and
// the bits below the highest.
func (t *tables) putError(e *rangeEncoder, c *channel, v int64) {
	a := absolute(v)
	n := bits.Len64(a)
	tree, less := t.sizes(c)
	size := n - less
	if size < 0 || size > 63 {
		size = 0
	}
	node := uint32(1)
	for i := 5; i >= 0; i-- {
		bit := uint32(size>>i) & 1
		e.bit(&tree[node&63], bit)
		node = node<<1 | bit
	}
	if size == 0 {
		e.bits(uint64(n-1), 6)
	}
	e.bit(&t.sign[size], uint32(uint64(v)>>63))
	rest, node := n-1, 1
	for range min(rest, 2) {
		rest--
		bit := uint32(a>>rest) & 1
		e.bit(&t.top[size][node&3], bit)
		node = node<<1 | bit
	}
	e.bits(a, rest)
}

// getError is the inverse of putError.
func (t *tables) getError(d *rangeDecoder, c *channel) int64 {
	tree, less := t.sizes(c)
	node := uint32(1)
	for range 6 {
		node = node<<1 | d.bit(&tree[node&63])
	}
	size := int(node & 63)
	n := size + less
	if size == 0 {
		n = int(d.bits(6)) + 1
		d.bad = d.bad || n > less && n-less < 64
	} else if n > 64 {
		d.bad, n = true, 64
	}
	negative := d.bit(&t.sign[size])
	a, rest, node := uint64(1), n-1, 1
	for range min(rest, 2) {
		rest--
		bit := d.bit(&t.top[size][node&3])
		a = a<<1 | uint64(bit)
		node = node<<1 | bit
	}
	a = a<<rest | d.bits(rest)
	if negative != 0 {
		return -int64(a)
	}
	return int64(a)
}
