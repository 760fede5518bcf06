package buffer

import (
	"fmt"
	"slices"
	"sort"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// EntryKind says what the bytes of an entry are.
type EntryKind uint8

// The kinds of entries.
const (
	EventEntry EntryKind = 1
	LogEntry   EntryKind = 2
)

// Entry is an event or a log record, packed by who will send it. The store
// keeps it under the same quota and account as points, and gives it back as it
// was.
type Entry struct {
	Kind  EntryKind
	Stamp probes.Stamp
	Data  []byte
}

// MaxEntrySize bounds one entry, in bytes.
const MaxEntrySize = 1 << 20

// EnqueueEntries hands entries over as Enqueue does points. The store keeps
// the slice and the data; the caller must not change them any more.
func (s *Store) EnqueueEntries(entries []Entry) *Ticket {
	kept := entries
	t := &Ticket{done: make(chan struct{})}
	for i, e := range entries {
		err := checkEntry(e)
		if err == nil {
			continue
		}
		kept = slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return checkEntry(e) != nil })
		t.err = &RefusedError{Refused: len(entries) - len(kept), Of: len(entries), First: fmt.Errorf("entry %d: %w", i, err)}
		break
	}
	t.entries = kept
	s.queue.put(t, len(entries), s.o.MaxPending)
	s.wakeUp()
	return t
}

func checkEntry(e Entry) error {
	switch {
	case e.Kind != EventEntry && e.Kind != LogEntry:
		return fmt.Errorf("kind %d is neither an event nor a log record", e.Kind)
	case len(e.Data) == 0:
		return fmt.Errorf("it is empty")
	case len(e.Data) > MaxEntrySize:
		return fmt.Errorf("it has %d bytes, more than %d", len(e.Data), MaxEntrySize)
	}
	return nil
}

// collect gives the entries of tickets that are kin, in the order of their
// wall times.
func collect(tickets []*Ticket, st *stamper, of kin) []arc.Entry {
	var out []arc.Entry
	for _, t := range tickets {
		for _, e := range t.entries {
			if stamp, k := st.stamp(e.Stamp); k == of {
				out = append(out, arc.Entry{Kind: uint8(e.Kind), Stamp: stamp, Data: e.Data})
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Stamp.Wall < out[j].Stamp.Wall })
	return out
}

func fromEntry(e arc.Entry, d dating) Entry {
	return Entry{Kind: EntryKind(e.Kind), Stamp: fromStamp(e.Stamp, d), Data: e.Data}
}
