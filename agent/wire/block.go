// Package wire has what a site and its relays say to each other over MQTT:
// blocks of points, events and log records that can be read alone, the
// messages about them, and the topics of both. It is pure: bytes in, bytes
// out. BLOCK.md has the bytes of a block.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes of a block, in bytes. AWS IoT Core takes no message above 128 KB.
const (
	MaxBlock     = 120 << 10
	DefaultBlock = 64 << 10
)

// MaxPoints is the most points or entries that a block may hold.
const MaxPoints = 1 << 16

// Kind says what a block holds.
type Kind uint8

// The kinds of blocks. A Probe holds padding: it is acknowledged and stored
// nowhere.
const (
	Points Kind = 1
	Events Kind = 2
	Logs   Kind = 3
	Probe  Kind = 4
)

// Lane says how urgent a block is.
type Lane uint8

// The lanes.
const (
	Live    Lane = 1
	Backlog Lane = 2
)

// Codec says how the points of a block are written. Blocks of other kinds are
// Packed.
type Codec uint8

// The codecs. Text is metric lines under gzip, for people with stock tools: of
// the stamps it keeps the wall time alone, and numbers lose their form.
const (
	Packed Codec = 1
	Text   Codec = 2
)

// Header says what a block is. (Site, Epoch, Seq) name it.
type Header struct {
	Kind  Kind
	Lane  Lane
	Codec Codec
	// Guess says that the wall times are guesses, as probes.Stamp has it.
	Guess bool
	// Local says that names count within the block only, not in the epoch.
	Local    bool
	Site     string
	Epoch    uint64
	Seq      uint64
	Count    int   // points or entries
	First    int64 // oldest wall time, Unix ms
	Last     int64 // newest wall time, Unix ms
	Deadline int64 // Unix ms when it is too late for the points; 0: none
}

// Where the fields of a header are. The site follows, and then the body.
const (
	magic      = "Ehw\x01" // the last byte is the version
	atSum      = 4
	atLength   = 8
	atKind     = 12
	atLane     = 13
	atCodec    = 14
	atFlags    = 15
	atEpoch    = 16
	atSeq      = 24
	atFirst    = 32
	atLast     = 40
	atDeadline = 48
	atCount    = 56
	atSite     = 60
)

// The flags.
const (
	flagGuess = 1
	flagLocal = 2
)

var errBlock = errors.New("block is malformed")

// malformed says what is wrong with a block.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBlock, fmt.Sprintf(format, args...))
}

// IsMalformed tells that an error of reading is due to the bytes: no later try
// will be better.
func IsMalformed(err error) bool { return errors.Is(err, errBlock) }

func checksum(block []byte) uint32 {
	return crc32.Checksum(block[atLength:], crc32.MakeTable(crc32.Castagnoli))
}

// appendHeader begins a block; seal ends it.
func appendHeader(dst []byte, h Header) []byte {
	flags := byte(0)
	if h.Guess {
		flags |= flagGuess
	}
	if h.Local {
		flags |= flagLocal
	}
	dst = append(dst, magic...)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, byte(h.Kind), byte(h.Lane), byte(h.Codec), flags)
	dst = binary.LittleEndian.AppendUint64(dst, h.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, h.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.First))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Last))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Deadline))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Count))
	return append(append(dst, byte(len(h.Site))), h.Site...)
}

// seal fills in the length and the checksum of a whole block.
func seal(block []byte) {
	binary.LittleEndian.PutUint32(block[atLength:], uint32(len(block)))
	binary.LittleEndian.PutUint32(block[atSum:], checksum(block))
}

// headerSize is how many bytes of a block come before its body.
func headerSize(site string) int { return atSite + 1 + len(site) }

// ParseHeader reads the header of a block. It checks magic, version, lengths
// and the CRC-32C of the whole block, so that a block it takes came as it was
// sent; the body can still be malformed, which Reader tells.
func ParseHeader(block []byte) (Header, error) {
	h, _, err := parse(block)
	return h, err
}

func parse(block []byte) (h Header, body []byte, err error) {
	if err := checkFrame(block); err != nil {
		return h, nil, err
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(block[at:]) }
	flags := block[atFlags]
	h = Header{
		Kind: Kind(block[atKind]), Lane: Lane(block[atLane]), Codec: Codec(block[atCodec]),
		Guess: flags&flagGuess != 0, Local: flags&flagLocal != 0,
		Epoch: number(atEpoch), Seq: number(atSeq),
		First: int64(number(atFirst)), Last: int64(number(atLast)), Deadline: int64(number(atDeadline)),
		Count: int(min(binary.LittleEndian.Uint32(block[atCount:]), MaxPoints+1)),
	}
	end := atSite + 1 + int(block[atSite])
	if end > len(block) {
		return Header{}, nil, malformed("name of the site goes beyond its end")
	}
	h.Site = string(block[atSite+1 : end])
	if flags&^(flagGuess|flagLocal) != 0 {
		return Header{}, nil, malformed("flags %#x are unknown", flags)
	}
	if err := h.check(); err != nil {
		return Header{}, nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	return h, block[end:], nil
}

// checkFrame tells whether the bytes are a whole block of this version.
func checkFrame(block []byte) error {
	switch {
	case len(block) <= atSite || string(block[:3]) != magic[:3]:
		return malformed("%d bytes do not begin as one", len(block))
	case block[3] != magic[3]:
		return malformed("version %d is unknown, this program reads %d: the newer side must wait until the other has been updated", block[3], magic[3])
	case len(block) > MaxBlock:
		return malformed("it has %d bytes, more than %d", len(block), MaxBlock)
	}
	if n := binary.LittleEndian.Uint32(block[atLength:]); int64(n) != int64(len(block)) {
		return malformed("%d bytes came of %d", len(block), n)
	}
	if binary.LittleEndian.Uint32(block[atSum:]) != checksum(block) {
		return malformed("checksum is wrong")
	}
	return nil
}

// check refuses what no writer makes.
func (h *Header) check() error {
	switch {
	case h.Kind < Points || h.Kind > Probe:
		return fmt.Errorf("kind %d is unknown", h.Kind)
	case h.Lane != Live && h.Lane != Backlog:
		return fmt.Errorf("lane %d is unknown", h.Lane)
	case h.Codec != Packed && h.Codec != Text:
		return fmt.Errorf("codec %d is unknown", h.Codec)
	case h.Codec == Text && h.Kind != Points:
		return fmt.Errorf("only points go as text")
	case h.Local && (h.Kind != Points || h.Codec != Packed):
		return fmt.Errorf("only packed points have names")
	case h.Count > MaxPoints:
		return fmt.Errorf("it counts more than %d points", MaxPoints)
	case (h.Count == 0) != (h.Kind == Probe) || h.Count < 0:
		return fmt.Errorf("a count of %d does not fit kind %d", h.Count, h.Kind)
	case h.First > h.Last:
		return fmt.Errorf("its first time %d is behind its last %d", h.First, h.Last)
	}
	return CheckID("site", h.Site)
}
