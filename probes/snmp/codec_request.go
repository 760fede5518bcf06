package snmp

import (
	"math"
	"strings"
)

// writer writes BER from the end to the start, so that each length is known
// when its turn comes. The zero value is empty.
type writer struct {
	b  []byte
	at int // b[at:] is written
}

func (w *writer) reset() {
	w.b = w.b[:cap(w.b)]
	w.at = len(w.b)
}

func (w *writer) size() int     { return len(w.b) - w.at }
func (w *writer) bytes() []byte { return w.b[w.at:] }

// room makes sure that n bytes more can be written.
func (w *writer) room(n int) {
	if n <= w.at {
		return
	}
	size := w.size()
	b := make([]byte, 2*(size+n)+512)
	copy(b[len(b)-size:], w.bytes())
	w.b, w.at = b, len(b)-size
}

func (w *writer) byte(c byte) {
	w.room(1)
	w.at--
	w.b[w.at] = c
}

func (w *writer) raw(s string) {
	w.room(len(s))
	w.at -= len(s)
	copy(w.b[w.at:], s)
}

// head writes type and length of an element whose content was written since
// size was mark.
func (w *writer) head(tag byte, mark int) {
	n := w.size() - mark
	if n < 0x80 {
		w.byte(byte(n))
		w.byte(tag)
		return
	}
	octets := byte(0)
	for ; n > 0; n >>= 8 {
		w.byte(byte(n))
		octets++
	}
	w.byte(0x80 | octets)
	w.byte(tag)
}

func (w *writer) octets(s string) {
	mark := w.size()
	w.raw(s)
	w.head(berOctets, mark)
}

// integer writes a number that is not negative.
func (w *writer) integer(n uint32) {
	mark := w.size()
	w.byte(byte(n))
	for n >= 0x80 {
		n >>= 8
		w.byte(byte(n))
	}
	w.head(berInteger, mark)
}

// pdu writes a request; ok=false where an OID is none.
func (w *writer) pdu(r request, id uint32) (ok bool) {
	mark := w.size()
	for i := range r.oids {
		if !w.varbind(r.oids[len(r.oids)-1-i], r) {
			return false
		}
	}
	w.head(berSequence, mark)
	w.integer(uint32(max(r.reps, 0))) // max-repetitions, else error-index
	w.integer(0)                      // non-repeaters, else error-status
	w.integer(id)
	w.head(pduTypes[r.kind], mark)
	return true
}

// varbind writes an OID with nothing, or with what a SET asks for.
func (w *writer) varbind(oid string, r request) (ok bool) {
	mark := w.size()
	if r.kind == set {
		w.integer(r.value)
	} else {
		w.byte(0)
		w.byte(berNull)
	}
	name := w.size()
	if !w.oid(oid) {
		return false
	}
	w.head(berOID, name)
	w.head(berSequence, mark)
	return true
}

// oid writes the content of a dotted OID of 2 to 128 arcs.
func (w *writer) oid(s string) (ok bool) {
	if len(s) < 3 || s[0] < '0' || s[0] > '2' || s[1] != '.' {
		return false
	}
	first := uint64(s[0] - '0')
	text, rest, more := strings.Cut(s[2:], ".")
	second, ok := parseArc(text)
	if !ok || first < 2 && second >= 40 || second > math.MaxUint32-80 || more && rest == "" {
		return false
	}
	for n := 2; rest != ""; n++ {
		dot := strings.LastIndexByte(rest, '.')
		value, ok := parseArc(rest[dot+1:])
		if !ok || n == 128 || dot == 0 {
			return false
		}
		w.arc(value)
		rest = rest[:max(dot, 0)]
	}
	w.arc(40*first + second)
	return true
}

func parseArc(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + uint64(s[i]-'0')
	}
	return n, n <= math.MaxUint32
}

func (w *writer) arc(n uint64) {
	w.byte(byte(n & 0x7f))
	for n >>= 7; n > 0; n >>= 7 {
		w.byte(byte(n) | 0x80)
	}
}
