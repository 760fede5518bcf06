package drain

import (
	"math/bits"
	"slices"
)

// Symbols of DEFLATE (RFC 1951, 3.2).
const (
	endOfBlock  = 256
	firstLength = 257
	letterCodes = 286
	offsetCodes = 30
	metaCodes   = 19
)

// huffmanPlan writes tokens as one block with codes of its own.
type huffmanPlan struct {
	letters huffman
	offsets huffman
	meta    huffman
	out     []byte
	pending uint64
	count   uint
}

// huffman is one code.
type huffman struct {
	uses   [letterCodes]uint32 // how often each symbol comes
	length [letterCodes]uint8  // of its code, in bits
	code   [letterCodes]uint16 // its bits reversed, as they are written
	order  []uint64            // symbols with their uses, the rarest first
	tree   []int
}

// append appends the block, the last and only one.
func (p *huffmanPlan) append(dst []byte, tokens []uint32) []byte {
	p.out, p.pending, p.count = dst, 0, 0
	p.tally(tokens)
	p.letters.assign(15)
	p.offsets.assign(15)
	p.bits(0b101, 3) // the last block, with its own codes
	p.head()
	for _, t := range tokens {
		if t&isMatch == 0 {
			p.symbol(&p.letters, int(t))
			continue
		}
		code, extra, more := lengthCode(int(t &^ isMatch >> 15))
		p.symbol(&p.letters, code)
		p.bits(uint64(more), extra)
		code, extra, more = offsetCode(int(t&(1<<15-1)) + 1)
		p.symbol(&p.offsets, code)
		p.bits(uint64(more), extra)
	}
	p.symbol(&p.letters, endOfBlock)
	p.flush()
	return p.out
}

func (p *huffmanPlan) tally(tokens []uint32) {
	clear(p.letters.uses[:])
	clear(p.offsets.uses[:])
	p.letters.uses[endOfBlock] = 1
	for _, t := range tokens {
		if t&isMatch == 0 {
			p.letters.uses[t]++
			continue
		}
		code, _, _ := lengthCode(int(t &^ isMatch >> 15))
		p.letters.uses[code]++
		code, _, _ = offsetCode(int(t&(1<<15-1)) + 1)
		p.offsets.uses[code]++
	}
	p.letters.pad()
	p.offsets.pad()
}

// pad makes it a code of two symbols at least: some readers take no other.
func (h *huffman) pad() {
	kinds := 0
	for _, n := range h.uses {
		kinds += min(int(n), 1)
	}
	for s := 0; kinds < 2; s++ {
		if h.uses[s] == 0 {
			h.uses[s], kinds = 1, kinds+1
		}
	}
}

// lengthCode is the symbol of a match's length, and how many bits with which
// value follow it.
func lengthCode(n int) (code int, extra uint, more int) {
	n -= shortestMatch
	if n == longestMatch-shortestMatch {
		return 285, 0, 0
	}
	if n < 8 {
		return firstLength + n, 0, 0
	}
	extra = uint(bits.Len(uint(n))) - 3
	return firstLength + int(extra)<<2 + n>>extra, extra, n & (1<<extra - 1)
}

// offsetCode is the same of a match's distance.
func offsetCode(n int) (code int, extra uint, more int) {
	n--
	if n < 4 {
		return n, 0, 0
	}
	extra = uint(bits.Len(uint(n))) - 2
	return int(extra)<<1 + n>>extra, extra, n & (1<<extra - 1)
}

func (p *huffmanPlan) symbol(h *huffman, s int) { p.bits(uint64(h.code[s]), uint(h.length[s])) }

func (p *huffmanPlan) bits(value uint64, n uint) {
	p.pending |= value << p.count
	if p.count += n; p.count >= 32 {
		p.out = append(p.out, byte(p.pending), byte(p.pending>>8), byte(p.pending>>16), byte(p.pending>>24))
		p.pending >>= 32
		p.count -= 32
	}
}

func (p *huffmanPlan) flush() {
	for ; p.count > 0; p.count -= min(p.count, 8) {
		p.out = append(p.out, byte(p.pending))
		p.pending >>= 8
	}
}

// metaOrder is the order in which the lengths of the code for lengths come.
var metaOrder = [metaCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// head writes both codes, as the lengths of their symbols.
func (p *huffmanPlan) head() {
	letters, offsets := used(&p.letters, letterCodes, firstLength), used(&p.offsets, offsetCodes, 1)
	var room [letterCodes + offsetCodes]uint8
	lengths := append(append(room[:0], p.letters.length[:letters]...), p.offsets.length[:offsets]...)
	clear(p.meta.uses[:])
	runs(lengths, func(symbol int, _ uint, _ int) { p.meta.uses[symbol]++ })
	p.meta.assign(7)
	metas := metaCodes
	for metas > 4 && p.meta.length[metaOrder[metas-1]] == 0 {
		metas--
	}
	p.bits(uint64(letters-firstLength), 5)
	p.bits(uint64(offsets-1), 5)
	p.bits(uint64(metas-4), 4)
	for _, s := range metaOrder[:metas] {
		p.bits(uint64(p.meta.length[s]), 3)
	}
	runs(lengths, func(symbol int, extra uint, more int) {
		p.symbol(&p.meta, symbol)
		p.bits(uint64(more), extra)
	})
}

// used is how many symbols have to be told of.
func used(h *huffman, all, least int) int {
	for all > least && h.length[all-1] == 0 {
		all--
	}
	return all
}

// runs gives lengths as symbols of the code for them: 16 repeats the one
// before, 17 and 18 are zeros.
func runs(lengths []uint8, symbol func(symbol int, extra uint, more int)) {
	for at := 0; at < len(lengths); {
		n := 1
		for at+n < len(lengths) && lengths[at+n] == lengths[at] {
			n++
		}
		switch {
		case lengths[at] == 0 && n >= 11:
			n = min(n, 138)
			symbol(18, 7, n-11)
		case lengths[at] == 0 && n >= 3:
			symbol(17, 3, n-3)
		case n >= 4:
			n = min(n, 7)
			symbol(int(lengths[at]), 0, 0)
			symbol(16, 2, n-4)
		default:
			n = 1
			symbol(int(lengths[at]), 0, 0)
		}
		at += n
	}
}

// assign finds the code: lengths up to a limit by how often symbols are used,
// then the codes in the order that the format wants.
func (h *huffman) assign(limit int) {
	h.order = h.order[:0]
	for s, n := range h.uses {
		h.length[s] = 0
		if n > 0 {
			h.order = append(h.order, uint64(n)<<16|uint64(s))
		}
	}
	slices.Sort(h.order)
	var counts [33]int
	h.depths(&counts)
	shorten(&counts, limit)
	at := len(h.order)
	for length := 1; length <= limit; length++ {
		for range counts[length] {
			at--
			h.length[h.order[at]&0xffff] = uint8(length)
		}
	}
	var next [17]uint16
	for length := 1; length <= limit; length++ {
		next[length+1] = (next[length] + uint16(counts[length])) << 1
	}
	for s, n := range h.length {
		if n > 0 {
			h.code[s] = bits.Reverse16(next[n]) >> (16 - n)
			next[n]++
		}
	}
}

// depths counts how many symbols a code of the least redundancy has at each
// length (Moffat and Katajainen, In-Place Calculation of Minimum-Redundancy
// Codes, 1995). The array holds uses first, then parents, then depths.
func (h *huffman) depths(counts *[33]int) {
	a := h.tree[:0]
	for _, x := range h.order {
		a = append(a, int(x>>16))
	}
	h.tree = a
	n := len(a) // two or more
	leaf, root := 0, 0
	take := func(next int) int {
		if leaf >= n || root < next && a[root] < a[leaf] {
			x := a[root]
			a[root] = next
			root++
			return x
		}
		leaf++
		return a[leaf-1]
	}
	for next := range n - 1 {
		first := take(next)
		a[next] = first + take(next)
	}
	a[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		a[i] = a[a[i]] + 1
	}
	free, at := 1, n-2
	for depth := 0; free > 0; depth++ {
		inner := 0
		for ; at >= 0 && a[at] == depth; at-- {
			inner++
		}
		counts[min(depth, 32)] += free - inner
		free = 2 * inner
	}
}

// shorten brings codes down to a limit of length: what is too long becomes as
// long as that, and shorter ones make room for it.
func shorten(counts *[33]int, limit int) {
	for length := limit + 1; length < len(counts); length++ {
		counts[limit] += counts[length]
		counts[length] = 0
	}
	total := 0
	for length := 1; length <= limit; length++ {
		total += counts[length] << (limit - length)
	}
	for ; total > 1<<limit; total-- {
		counts[limit]--
		for length := limit - 1; ; length-- {
			if counts[length] > 0 {
				counts[length]--
				counts[length+1] += 2
				break
			}
		}
	}
}
