package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The kinds of records that the store itself writes. Others are free.
const (
	KindInstall  = "install"  // a package came, new or signed again, and is the active version
	KindActivate = "activate" // an installed version became the active one
	KindRemove   = "remove"
	KindAdmit    = "admit" // a package that a configuration names by its path ran for the first time, or the first time with a signature

	kindMended  = "mended"          // of a line that was not written to its end
	kindRebuilt = "index_rebuilt"   // index.json was damaged or gone
	kindDamaged = "history_damaged" // lines of the history are not those that were written
)

// Record is a line of the history.
type Record struct {
	Number     int       `json:"number"` // from 1, without gaps; set by the store
	Time       time.Time `json:"time"`   // zero: now
	Kind       string    `json:"kind"`
	Name       string    `json:"name,omitempty"` // of the extension, or of what else it is about
	Version    string    `json:"version,omitempty"`
	Digest     string    `json:"digest,omitempty"`     // SHA-256, hex
	Signer     string    `json:"signer,omitempty"`     // fingerprint of the certificate
	Categories []string  `json:"categories,omitempty"` // of the signer
	By         string    `json:"by,omitempty"`         // who did it; empty: Store.By
	Detail     string    `json:"detail,omitempty"`     // in words
	Prev       string    `json:"prev"`                 // hash of the record before; set by the store
	Hash       string    `json:"-"`                    // SHA-256 of the line without it; set by the store
}

const (
	longestLine = 128 << 10
	longestTorn = longestLine / 2 // so that the record that mends it fits on its line
	longestText = 2_000           // bytes of the words of a record; the longest record has less than half of longestLine
	longestWord = 256             // bytes of every other text
	mostWords   = 20              // categories
	recordBegin = `{"number":`
)

// firstPrev is what the first record holds as the hash of the one before.
const firstPrev = "0000000000000000000000000000000000000000000000000000000000000000"

// HistoryError is a place where the history is not as it was written.
type HistoryError struct {
	Line int  // from 1
	Torn bool // the last line was not written to its end, as when the power goes; the next record mends it
	Text string
}

func (e *HistoryError) Error() string { return fmt.Sprintf("history.log, line %d: %s", e.Line, e.Text) }

// tail is the end of the history, where the next record goes.
type tail struct {
	Number int
	Hash   string
	open   bool   // the last record is whole, but its line has no end
	torn   []byte // what stands after the last whole line
	long   bool   // it is too long to be kept in mind
}

// scanner goes through the lines of a history.
type scanner struct {
	in    *bufio.Reader
	yield func(Record, error) bool
	line  int
	last  tail
}

// scan yields the records and, between them, what is wrong. It returns the end
// of the history. A record that is whole is yielded even where the chain is
// broken before it.
func scan(in io.Reader, yield func(Record, error) bool) (tail, error) {
	s := scanner{in: bufio.NewReaderSize(in, longestLine), yield: yield, last: tail{Hash: firstPrev}}
	for {
		line, err := s.in.ReadSlice('\n')
		whole := err == nil
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			err = s.skip()
		case errors.Is(err, io.EOF) && len(line) == 0:
			return s.last, nil
		case err == nil || errors.Is(err, io.EOF):
			err = s.read(bytes.TrimSuffix(line, []byte("\n")), whole)
		}
		if errors.Is(err, errStop) || errors.Is(err, io.EOF) {
			return s.last, nil
		}
		if err != nil {
			return s.last, fmt.Errorf("read history: %w", err)
		}
	}
}

var errStop = errors.New("no more is wanted")

// skip passes over a line that no record can be.
func (s *scanner) skip() error {
	s.line++
	for {
		_, err := s.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		s.last.long = err != nil
		if stop := s.fault("is longer than any record"); stop != nil {
			return stop
		}
		return err
	}
}

func (s *scanner) fault(format string, args ...any) error {
	return s.tell(&HistoryError{Line: s.line, Text: fmt.Sprintf(format, args...)})
}

func (s *scanner) tell(err *HistoryError) error {
	if !s.yield(Record{}, err) {
		return errStop
	}
	return nil
}

// read takes a line. One without an end is the last of the file.
func (s *scanner) read(line []byte, whole bool) error {
	s.line++
	r, err := parseRecord(line)
	if err != nil {
		r, err = parseMended(line)
	} else if r.Kind == kindMended {
		err = errors.New("tells of a line that was not written to its end, which is not there")
	}
	if err != nil && !whole {
		s.last.torn, s.last.long = bytes.Clone(line), len(line) > longestTorn
		return s.tell(&HistoryError{
			Line: s.line, Torn: true,
			Text: fmt.Sprintf("its %d bytes are no whole record, as when the power goes while it is written; the next record mends it", len(line)),
		})
	}
	if err != nil {
		return s.fault("%v", err)
	}
	if text := s.last.breaks(r); text != "" {
		if err := s.fault("%s", text); err != nil {
			return err
		}
	}
	s.last = tail{Number: r.Number, Hash: r.Hash, open: !whole}
	if !s.yield(r, nil) {
		return errStop
	}
	return nil
}

// breaks says why r is not the record after the last.
func (t tail) breaks(r Record) string {
	switch {
	case r.Number == t.Number+2:
		return fmt.Sprintf("record %d is missing before it", t.Number+1)
	case r.Number > t.Number+1:
		return fmt.Sprintf("records %d to %d are missing before it", t.Number+1, r.Number-1)
	case r.Number <= t.Number:
		return fmt.Sprintf("it is record %d, but stands after record %d: it was moved or put in", r.Number, t.Number)
	case r.Prev != t.Hash:
		return fmt.Sprintf("record %d does not follow from the one before it: one of them was changed or put in", r.Number)
	}
	return ""
}

func parseRecord(line []byte) (r Record, err error) {
	hash, err := unseal(line, &r)
	r.Hash = hash
	return r, err
}

// parseMended reads a line whose begin was not written to its end, and whose
// rest is the record that says so.
func parseMended(line []byte) (Record, error) {
	at := bytes.LastIndex(line, []byte(recordBegin))
	if at <= 0 {
		return Record{}, errSeal
	}
	r, err := parseRecord(line[at:])
	if err != nil {
		return Record{}, err
	}
	if r.Kind != kindMended || r.Digest != hashOf(line[:at]) {
		return Record{}, errors.New("something stands before the record: it was put in")
	}
	return r, nil
}

// next is the line of a record after the end of the history, with what must
// stand before it, and the record as it is written.
func (t tail) next(r Record) ([]byte, Record, error) {
	r.Number, r.Prev = t.Number+1, t.Hash
	for _, text := range []*string{&r.Kind, &r.Name, &r.Version, &r.Digest, &r.Signer, &r.By} {
		*text = clip(*text, longestWord)
	}
	r.Detail = clip(r.Detail, longestText)
	words := r.Categories
	r.Categories = nil
	for _, word := range words[:min(len(words), mostWords)] {
		r.Categories = append(r.Categories, clip(word, longestWord))
	}
	r.Time = r.Time.UTC().Round(0)
	line, hash, err := seal(r)
	if err != nil {
		return nil, r, err
	}
	r.Hash = hash
	if t.open || t.long {
		line = append([]byte("\n"), line...)
	}
	return append(line, '\n'), r, nil
}

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most-3] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// mend is the record that goes onto the line that was not written to its end.
func (t tail) mend() Record {
	return Record{
		Kind: kindMended, Digest: hashOf(t.torn),
		Detail: strconv.Itoa(len(t.torn)) + " bytes of a record that was not written to its end stand before this one",
	}
}
