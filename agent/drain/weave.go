package drain

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// The limits of DEFLATE (RFC 1951).
const (
	shortestMatch = 3
	longestMatch  = 258
	farthestMatch = 32 << 10
)

// goodMatch is the shortest match that costs less than its letters: most of
// what differs from line to line is digits, which cost little.
const goodMatch = 5

// weaver compresses lines that resemble the line before, as gzip. What a line
// shares with it is found by going along both at once, word by word, and not by
// search, which takes a fifth of the time. Only words that differ are looked for
// where they came last.
type weaver struct {
	out    []byte
	tokens []uint32
	seen   [1 << 12]int32 // where a word began last, plus one
	plan   huffmanPlan
}

// A token is a letter, or a match: this bit, its length and its distance
// less one.
const isMatch = 1 << 31

// gzip gives the compressed text. It holds until the next call.
func (w *weaver) gzip(text []byte) []byte {
	w.tokens = w.tokens[:0]
	w.weave(text)
	w.out = append(w.out[:0], 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
	w.out = w.plan.append(w.out, w.tokens)
	w.out = binary.LittleEndian.AppendUint32(w.out, crc32.ChecksumIEEE(text))
	return binary.LittleEndian.AppendUint32(w.out, uint32(len(text)))
}

// weave makes tokens of a text. behind is how far back the text lies that it is
// compared with.
func (w *weaver) weave(text []byte) {
	clear(w.seen[:])
	behind, lost := 0, true
	for at := 0; at < len(text); {
		n := 0
		if behind > 0 {
			n = shared(text, at-behind, at)
		}
		if n < goodMatch && lost {
			if before, m := w.recall(text, at); m > max(n, goodMatch) {
				behind, n = at-before, m
			}
		}
		if n >= goodMatch {
			w.match(n, behind)
		} else {
			n = max(n, 1)
			w.letters(text[at : at+n])
		}
		at += n
		at, behind, lost = w.realign(text, at, behind)
	}
}

// realign goes on to where a word ends, in the text and in what it is compared
// with. Where one of them has more words than the other, they meet at the end
// of the greater part: dimension, payload, line.
func (w *weaver) realign(text []byte, at, behind int) (next, back int, lost bool) {
	end := wordEnd(text, at)
	w.word(text, at, end)
	if behind == 0 || end == len(text) {
		return end, behind, true
	}
	before := wordEnd(text, at-behind)
	at = end
	for at < len(text) && before < at && text[at] != text[before] {
		lost = lost || min(rank[text[at]], rank[text[before]]) > 1
		if rank[text[at]] > rank[text[before]] {
			before = wordEnd(text, before+1)
			continue
		}
		end := wordEnd(text, at+1)
		w.word(text, at, end)
		at = end
	}
	if before >= at || at-before > farthestMatch {
		return at, 0, true
	}
	return at, at - before, lost
}

// word writes a word, or the rest of one, that does not stand in the line before.
func (w *weaver) word(text []byte, at, end int) {
	if end-at > goodMatch {
		before, n := w.recall(text, at)
		if n = min(n, end-at); n > goodMatch {
			w.match(n, at-before)
			at += n
		}
	}
	w.letters(text[at:end])
}

// rank orders what stands behind a word.
var rank = [256]uint8{'.': 1, '=': 2, ',': 3, ' ': 4, '\n': 5}

// wordEnd is where the word that a place is in ends.
func wordEnd(text []byte, at int) int {
	for at < len(text) && rank[text[at]] == 0 {
		at++
	}
	return at
}

// recall finds where the next eight letters were looked for last, and how many
// are the same from there on.
func (w *weaver) recall(text []byte, at int) (before, n int) {
	if at+8 > len(text) {
		return 0, 0
	}
	slot := &w.seen[binary.LittleEndian.Uint64(text[at:])*0x9e3779b97f4a7c15>>52]
	before = int(*slot) - 1
	*slot = int32(at + 1)
	if before < 0 || at-before > farthestMatch {
		return 0, 0
	}
	return before, shared(text, before, at)
}

// shared is how many letters from two places on are the same.
func shared(text []byte, a, b int) (n int) {
	for b+n+8 <= len(text) {
		if x := binary.LittleEndian.Uint64(text[a+n:]) ^ binary.LittleEndian.Uint64(text[b+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for b+n < len(text) && text[a+n] == text[b+n] {
		n++
	}
	return n
}

func (w *weaver) letters(text []byte) {
	for _, c := range text {
		w.tokens = append(w.tokens, uint32(c))
	}
}

func (w *weaver) match(n, behind int) {
	for n > 0 {
		part := min(n, longestMatch)
		if rest := n - part; rest > 0 && rest < shortestMatch {
			part -= shortestMatch
		}
		w.tokens = append(w.tokens, isMatch|uint32(part)<<15|uint32(behind-1))
		n -= part
	}
}
