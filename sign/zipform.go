package sign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// The records of a zip, by their first four bytes and the length of their
// fixed part.
const (
	localMark, localFixed     = 0x04034b50, 30
	centralMark, centralFixed = 0x02014b50, 46
	endMark, endFixed         = 0x06054b50, 22
	wideMark, wideFixed       = 0x07064b50, 20 // says where a zip64 directory ends
	trailerMark               = 0x08074b50     // of sizes that follow the content
	flagTrailer               = 1 << 3
	flagUTF8                  = 1 << 11
)

// plainExtras are the extra fields that hold times and owners only. Others may
// give an entry another name, another size or make it a link.
var plainExtras = []uint16{0x000a, 0x5455, 0x5855, 0x7855, 0x7875, 0xcafe, 0xd935}

// zipEntry is one entry as the directory of the zip has it.
type zipEntry struct {
	name               string
	flags, method      uint16
	crc, packed, plain uint32
	at                 uint32 // of its local header
}

// checkForm holds data against the one form that every parser of zips reads
// alike: entries from the first byte on, end to end, then the directory, then
// the end record with its comment, and nothing else; names and sizes in both
// places the same; no zip64.
func checkForm(data []byte) error {
	start, end, count, err := findDirectory(data)
	if err != nil {
		return err
	}
	entries, err := readDirectory(data[start:end], count)
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].at < entries[j].at })
	at := 0
	for i, e := range entries {
		next := start
		if i+1 < len(entries) {
			next = min(start, int(entries[i+1].at))
		}
		if err := checkPlace(e, at, start); err != nil {
			return fmt.Errorf("entry %q: %w", e.name, err)
		}
		if err := checkLocal(data[at:start], e, next-at); err != nil {
			return fmt.Errorf("entry %q: %w", e.name, err)
		}
		at = next
	}
	if at != start {
		return refuse(RuleZipHidden, "bytes lie between the entries and the directory of the zip", mendZip)
	}
	return nil
}

func checkPlace(e zipEntry, at, start int) error {
	switch {
	case int(e.at) >= start:
		return refuse(RuleZipForm, "its header is missing", mendZip)
	case int(e.at) > at:
		return refuse(RuleZipHidden, fmt.Sprintf("%d bytes before it belong to no entry", int(e.at)-at), mendZip)
	case int(e.at) < at:
		return refuse(RuleZipOverlap, "entries overlap", mendZip)
	}
	return nil
}

// findDirectory gives where the directory of the zip begins and ends.
func findDirectory(data []byte) (start, end, count int, err error) {
	end = bytes.LastIndex(data, binary.LittleEndian.AppendUint32(nil, endMark))
	if end < 0 || end+endFixed > len(data) {
		return 0, 0, 0, errors.New("read zip: its end is missing; copy it again")
	}
	le, r := binary.LittleEndian, data[end:]
	disk, first, here, all := le.Uint16(r[4:]), le.Uint16(r[6:]), le.Uint16(r[8:]), le.Uint16(r[10:])
	size, offset, comment := le.Uint32(r[12:]), le.Uint32(r[16:]), int(le.Uint16(r[20:]))
	wide := end >= wideFixed && le.Uint32(data[end-wideFixed:]) == wideMark
	switch {
	case wide, disk == 0xffff, all == 0xffff, size == 0xffffffff, offset == 0xffffffff:
		return 0, 0, 0, refuse(RuleZip64, "zip64 is refused", mendZip64)
	case disk != 0, first != 0, here != all:
		return 0, 0, 0, refuse(RuleZipForm, "a zip of several parts is refused", mendZip)
	case end+endFixed+comment < len(data):
		return 0, 0, 0, refuse(RuleZipTrailing, fmt.Sprintf("%d bytes follow the end of the zip", len(data)-end-endFixed-comment), mendZip)
	case end+endFixed+comment > len(data):
		return 0, 0, 0, refuse(RuleZipForm, "its comment is cut off", mendZip)
	case uint64(size)+uint64(offset) < uint64(end):
		return 0, 0, 0, refuse(RuleZipHidden, "bytes lie before the zip or behind its directory", mendZip)
	case uint64(size)+uint64(offset) > uint64(end):
		return 0, 0, 0, refuse(RuleZipForm, "its directory lies outside of it", mendZip)
	}
	return int(offset), end, int(all), nil
}

func readDirectory(dir []byte, count int) ([]zipEntry, error) {
	le := binary.LittleEndian
	var entries []zipEntry
	for range count {
		if len(dir) < centralFixed || le.Uint32(dir) != centralMark {
			return nil, refuse(RuleZipForm, "the directory of the zip has fewer entries than it says", mendZip)
		}
		name, extra, comment := int(le.Uint16(dir[28:])), int(le.Uint16(dir[30:])), int(le.Uint16(dir[32:]))
		if len(dir) < centralFixed+name+extra+comment {
			return nil, refuse(RuleZipForm, "the directory of the zip is cut off", mendZip)
		}
		e := zipEntry{
			name: string(dir[centralFixed : centralFixed+name]), flags: le.Uint16(dir[8:]), method: le.Uint16(dir[10:]),
			crc: le.Uint32(dir[16:]), packed: le.Uint32(dir[20:]), plain: le.Uint32(dir[24:]), at: le.Uint32(dir[42:]),
		}
		if err := checkCentral(e, dir[centralFixed+name:centralFixed+name+extra], le.Uint16(dir[34:])); err != nil {
			return nil, fmt.Errorf("entry %q: %w", e.name, err)
		}
		entries = append(entries, e)
		dir = dir[centralFixed+name+extra+comment:]
	}
	if len(dir) != 0 {
		return nil, refuse(RuleZipHidden, "the directory of the zip has more in it than it says", mendZip)
	}
	return entries, nil
}

func checkCentral(e zipEntry, extra []byte, disk uint16) error {
	switch {
	case e.packed == 0xffffffff, e.plain == 0xffffffff, e.at == 0xffffffff, disk == 0xffff:
		return refuse(RuleZip64, "zip64 is refused", mendZip64)
	case disk != 0:
		return refuse(RuleZipForm, "a zip of several parts is refused", mendZip)
	case e.method == 0 && e.packed != e.plain:
		return refuse(RuleZipForm, "is stored, yet has two sizes", mendZip)
	case e.flags&flagUTF8 == 0 && !ascii(e.name):
		return refuse(RuleZipName, "the name is not ASCII and not marked as UTF-8", "rename the file")
	}
	return checkExtra(extra)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func checkExtra(extra []byte) error {
	le := binary.LittleEndian
	for len(extra) > 0 {
		if len(extra) < 4 || len(extra) < 4+int(le.Uint16(extra[2:])) {
			return refuse(RuleZipForm, "an extra field is cut off", mendZip)
		}
		switch id := le.Uint16(extra); {
		case id == 1:
			return refuse(RuleZip64, "zip64 is refused", mendZip64)
		case !slices.Contains(plainExtras, id):
			return refuse(RuleZipForm, fmt.Sprintf("has the extra field 0x%04x, which may change its name or its kind", id), mendZip)
		}
		extra = extra[4+int(le.Uint16(extra[2:])):]
	}
	return nil
}

// checkLocal holds the entry's own header, at the start of data, against what
// the directory says. The next entry begins room bytes later.
func checkLocal(data []byte, e zipEntry, room int) error {
	le := binary.LittleEndian
	if len(data) < localFixed || le.Uint32(data) != localMark {
		return refuse(RuleZipForm, "its header is missing", mendZip)
	}
	name, extra := int(le.Uint16(data[26:])), int(le.Uint16(data[28:]))
	body := int64(localFixed+name+extra) + int64(e.packed)
	if int64(len(data)) < body {
		return refuse(RuleZipForm, "its content is cut off", mendZip)
	}
	if own := string(data[localFixed : localFixed+name]); own != e.name {
		return refuse(RuleZipName, fmt.Sprintf("is named %q in its own header", own), mendZip)
	}
	if le.Uint16(data[6:]) != e.flags || le.Uint16(data[8:]) != e.method {
		return refuse(RuleZipForm, "is marked otherwise in its own header", mendZip)
	}
	if err := checkExtra(data[localFixed+name : localFixed+name+extra]); err != nil {
		return err
	}
	sizes := [3]uint32{le.Uint32(data[14:]), le.Uint32(data[18:]), le.Uint32(data[22:])}
	want := [3]uint32{e.crc, e.packed, e.plain}
	if sizes != want && (e.flags&flagTrailer == 0 || sizes != [3]uint32{}) {
		return refuse(RuleZipForm, "has another size or checksum in its own header", mendZip)
	}
	return checkTrailer(data[body:], want, e.flags, int64(room)-body)
}

// checkTrailer looks at what follows the content: nothing, or the sizes once more.
func checkTrailer(data []byte, want [3]uint32, flags uint16, room int64) error {
	le := binary.LittleEndian
	switch {
	case room < 0:
		return refuse(RuleZipOverlap, "entries overlap", mendZip)
	case flags&flagTrailer == 0 && room == 0:
		return nil
	case flags&flagTrailer != 0 && room == 16 && le.Uint32(data) == trailerMark:
		data = data[4:]
	case flags&flagTrailer != 0 && room == 12:
	default:
		return refuse(RuleZipHidden, fmt.Sprintf("%d bytes behind its content belong to no entry", room), mendZip)
	}
	if got := [3]uint32{le.Uint32(data), le.Uint32(data[4:]), le.Uint32(data[8:])}; got != want {
		return refuse(RuleZipForm, "has another size or checksum behind its content", mendZip)
	}
	return nil
}
