package wire

import (
	"fmt"
	"math"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Entry is an event (Kind 1) or a log record (Kind 2), as the store has it.
type Entry struct {
	Kind  uint8
	Stamp probes.Stamp
	Data  []byte
}

// entryKind is the kind of the entries of a block.
func (k Kind) entryKind() uint8 { return uint8(k - Events + 1) }

// AppendEntries appends to dst a block of as many of the entries, from the
// first on, as fit into most bytes (0: DefaultBlock); at least one. Kind of the
// header is Events or Logs, and so are the entries. Count, First, Last and
// Guess are filled in. The error is a *PointError where the first entry is to
// blame.
func (w *Writer) AppendEntries(dst []byte, h Header, entries []Entry, most int) (block []byte, taken int, err error) {
	h.Codec, h.Local, h.Count, h.First, h.Last = Packed, false, 1, 0, 0
	if err := h.check(); err != nil {
		return dst, 0, fmt.Errorf("make block: %w", err)
	}
	if h.Kind != Events && h.Kind != Logs {
		return dst, 0, fmt.Errorf("make block: kind %d has no entries", h.Kind)
	}
	all, err := h.entries(entries)
	if err != nil {
		return dst, 0, &PointError{err}
	}
	h.Guess = entries[0].Stamp.Guess
	var fresh history // counts say little here: sizes of entries differ
	j := job{total: len(all), most: mostOr(most), past: &fresh, try: func(n int) (fill, error) {
		return w.tryEntries(h, all[:n])
	}}
	weighs := &w.past[h.Kind] // bytes of the entries before, and of their block
	if weighs.size == 0 {
		weighs.fill = fill{usualRatio, 1}
	}
	j.guess, _ = weigh(all, j.aim()*weighs.count/weighs.size)
	if block, taken, err = w.finish(dst, j, false); err == nil {
		_, size := weigh(all[:taken], math.MaxInt)
		weighs.fill = fill{size, len(block) - len(dst)}
	}
	return block, taken, err
}

// usualRatio is how far events and log records are compressed, mostly.
const usualRatio = 4

// weigh gives how many of the entries have so many bytes together, at least
// one, and how many bytes they have.
func weigh(entries []arc.Entry, most int) (n, size int) {
	for n < len(entries) && (n == 0 || size+len(entries[n].Data)+entryHead <= most) {
		size += len(entries[n].Data) + entryHead
		n++
	}
	return n, size
}

// entries gives those that can be in one block, from the first on.
func (h *Header) entries(entries []Entry) ([]arc.Entry, error) {
	if len(entries) == 0 {
		return nil, fmt.Errorf("there is no entry")
	}
	all := make([]arc.Entry, 0, min(len(entries), arc.MaxEntries))
	size := 0
	for i := range entries[:cap(all)] {
		e := &entries[i]
		if e.Kind != h.Kind.entryKind() {
			if i == 0 {
				return nil, fmt.Errorf("an entry of kind %d is in no block of kind %d", e.Kind, h.Kind)
			}
			break
		}
		size += len(e.Data) + entryHead
		if i > 0 && size > arc.MaxEntryBytes || e.Stamp.Guess != entries[0].Stamp.Guess {
			break
		}
		all = append(all, arc.Entry{Kind: e.Kind, Stamp: toStamp(e.Stamp), Data: e.Data})
	}
	return all, nil
}

// entryHead is more than an entry takes beside its data.
const entryHead = 64

func (w *Writer) tryEntries(h Header, entries []arc.Entry) (fill, error) {
	h.Count, h.First, h.Last = len(entries), entries[0].Stamp.Wall, entries[0].Stamp.Wall
	for i := range entries {
		h.First, h.Last = min(h.First, entries[i].Stamp.Wall), max(h.Last, entries[i].Stamp.Wall)
	}
	b, err := w.codec.EncodeEntries(appendHeader(w.work[:0], h), entries)
	if err != nil {
		return fill{}, &PointError{err}
	}
	w.work = b
	seal(b)
	return fill{h.Count, len(b)}, nil
}

// Entries gives the entries of a block, in the order in which the writer got
// them. They share one piece of memory.
func (r *Reader) Entries(block []byte) ([]Entry, error) {
	h, body, err := parse(block)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	if h.Kind != Events && h.Kind != Logs {
		return nil, fmt.Errorf("read block: %w", malformed("kind %d has no entries", h.Kind))
	}
	all, err := r.codec.DecodeEntries(body)
	if err != nil {
		return nil, fmt.Errorf("read block: %w", malformed("its entries cannot be read: %v", err))
	}
	if len(all) != h.Count {
		return nil, fmt.Errorf("read block: %w", malformed("it has %d of its %d entries", len(all), h.Count))
	}
	entries := make([]Entry, len(all))
	first, last := all[0].Stamp.Wall, all[0].Stamp.Wall
	for i, e := range all {
		if e.Kind != h.Kind.entryKind() {
			return nil, fmt.Errorf("read block: %w", malformed("entry %d is of kind %d", i, e.Kind))
		}
		first, last = min(first, e.Stamp.Wall), max(last, e.Stamp.Wall)
		entries[i] = Entry{Kind: e.Kind, Stamp: fromStamp(e.Stamp, h.Guess), Data: e.Data}
	}
	return entries, h.agreesTimes(first, last)
}

// AppendProbe appends to dst a block of the given size, which nobody stores: to
// find out what a broker lets through. Its padding does not compress. Count,
// First and Last of the header are not used.
func AppendProbe(dst []byte, h Header, size int) ([]byte, error) {
	h.Kind, h.Codec, h.Guess, h.Local, h.Count, h.First, h.Last = Probe, Packed, false, false, 0, 0, 0
	if err := h.check(); err != nil {
		return dst, fmt.Errorf("make probe: %w", err)
	}
	if least := headerSize(h.Site); size < least || size > MaxBlock {
		return dst, fmt.Errorf("make probe: %d bytes are not between %d and %d", size, least, MaxBlock)
	}
	start := len(dst)
	dst = appendHeader(dst, h)
	for x := h.Epoch ^ h.Seq<<32 | 1; len(dst) < start+size; {
		x ^= x << 13 // any numbers without a pattern will do
		x ^= x >> 7
		x ^= x << 17
		dst = append(dst, byte(x>>32))
	}
	seal(dst[start:])
	return dst, nil
}
