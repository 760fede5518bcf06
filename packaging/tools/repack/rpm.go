package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// An .rpm is a lead, a header of checksums, padded to 8 bytes, a header that tells
// of the package, and the compressed files.
const (
	leadSize       = 96
	headerPreamble = 16 // magic, version, reserved, entries, bytes of values
	indexEntry     = 16 // tag, type, offset, count

	tagCompressor    = 1125 // in the header: the name of the compression
	tagPayloadDigest = 5092 // in the header: SHA-256 of the compressed files

	sigSize   = 1000 // in the checksums: bytes of header and files
	sigMD5    = 1004 // of header and files
	sigSHA1   = 269  // of the header
	sigSHA256 = 273  // of the header
	sigRSA    = 268  // a signature of the header
	sigPGP    = 1002 // a signature of header and files
)

var rpmHeaderMagic = []byte{0x8e, 0xad, 0xe8, 0x01}

// rpm replaces the files and every checksum that covers them; each has its
// length before and after, so that nothing moves.
func (p packer) rpm(in []byte) ([]byte, error) {
	if len(in) < leadSize {
		return nil, errors.New("the file ends within the lead")
	}
	sums, rest, err := cutHeader(in[leadSize:])
	if err != nil {
		return nil, fmt.Errorf("read checksums: %w", err)
	}
	padding := -len(sums.raw) & 7
	if len(rest) < padding {
		return nil, errors.New("the file ends behind the checksums")
	}
	head, payload, err := cutHeader(rest[padding:])
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	for _, tag := range []uint32{sigRSA, sigPGP} {
		if _, err := sums.find(tag); err == nil {
			return nil, errors.New("it is signed already")
		}
	}
	if name, err := head.find(tagCompressor); err != nil || !bytes.HasPrefix(name, []byte("xz\x00")) {
		return nil, errors.New("its files are not compressed by xz")
	}
	if payload, err = p.again(payload); err != nil {
		return nil, err
	}
	if err := head.set(tagPayloadDigest, hexOf(sha256.Sum256(payload))); err != nil {
		return nil, err
	}
	all := md5.New()
	all.Write(head.raw)
	all.Write(payload)
	small := sha1.Sum(head.raw)
	for _, change := range []struct {
		tag   uint32
		value []byte
	}{
		{sigSize, binary.BigEndian.AppendUint32(nil, uint32(len(head.raw)+len(payload)))},
		{sigMD5, all.Sum(nil)},
		{sigSHA1, []byte(hex.EncodeToString(small[:]))},
		{sigSHA256, hexOf(sha256.Sum256(head.raw))},
	} {
		// Which of the older checksums are there is the packer's choice.
		if _, err := sums.find(change.tag); err != nil && change.tag != sigSHA256 {
			continue
		}
		if err := sums.set(change.tag, change.value); err != nil {
			return nil, err
		}
	}
	return bytes.Join([][]byte{in[:leadSize], sums.raw, make([]byte, padding), head.raw, payload}, nil), nil
}

func hexOf(sum [sha256.Size]byte) []byte { return []byte(hex.EncodeToString(sum[:])) }

// header is one header structure: an index and the values that it points to.
type header struct {
	raw   []byte
	index int // entries
}

// cutHeader takes a header off the front; its bytes are copied.
func cutHeader(in []byte) (header, []byte, error) {
	if len(in) < headerPreamble || !bytes.HasPrefix(in, rpmHeaderMagic) {
		return header{}, nil, errors.New("no header here")
	}
	entries, size := int(binary.BigEndian.Uint32(in[8:])), int(binary.BigEndian.Uint32(in[12:]))
	end := headerPreamble + entries*indexEntry + size
	if entries > 1<<16 || size > 1<<28 || end > len(in) {
		return header{}, nil, errors.New("the header is longer than the file")
	}
	return header{bytes.Clone(in[:end]), entries}, in[end:], nil
}

// find gives the bytes of a value, from where it begins to the end of the header.
func (h header) find(tag uint32) ([]byte, error) {
	values := headerPreamble + h.index*indexEntry
	for i := range h.index {
		entry := h.raw[headerPreamble+i*indexEntry:]
		if binary.BigEndian.Uint32(entry) != tag {
			continue
		}
		begin := values + int(binary.BigEndian.Uint32(entry[8:]))
		if begin < values || begin > len(h.raw) {
			break
		}
		return h.raw[begin:], nil
	}
	return nil, fmt.Errorf("no tag %d", tag)
}

// set writes over a value of the same length.
func (h header) set(tag uint32, value []byte) error {
	place, err := h.find(tag)
	if err != nil {
		return err
	}
	if len(place) < len(value) {
		return fmt.Errorf("tag %d is shorter than %d bytes", tag, len(value))
	}
	copy(place, value)
	return nil
}
