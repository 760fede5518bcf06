package wire

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// An archive is blocks in a file, for a site without any link:
//
//	"EhArc1\n" | ArchiveHead as a line of JSON | length (uvarint) and block, ... | 0 | ArchiveEnd as a line of JSON
//
// Its digest is the SHA-256 of all before the last line. What is signed is
// ArchiveText of the digest.
const archiveMagic = "EhArc1\n"

// maxArchiveLine bounds the head and the end.
const maxArchiveLine = 64 << 10

// ArchiveHead says whose blocks they are. Number rises with each archive of a
// site.
type ArchiveHead struct {
	Site    string `json:"site"`
	Number  int64  `json:"number"` // when it was made, Unix ms
	Version string `json:"version,omitempty"`
}

// ArchiveEnd says what there was, and who vouches for it. Certificate is DER,
// the leaf first; Signature is of ArchiveText, by its key.
type ArchiveEnd struct {
	Blocks       int64    `json:"blocks"`
	Points       int64    `json:"points"`
	Digest       []byte   `json:"sha256"`
	Certificates [][]byte `json:"certificates,omitempty"`
	Signature    []byte   `json:"signature,omitempty"`
}

// ArchiveText is the bytes that the signature of an archive is over.
func ArchiveText(digest []byte) []byte {
	return append([]byte("edgehold archive of blocks 1\n"), digest...)
}

// ArchiveWriter writes an archive.
type ArchiveWriter struct {
	file   io.Writer
	out    io.Writer // to the file and the digest
	digest hash.Hash
	end    ArchiveEnd
	frame  []byte
}

// NewArchiveWriter begins an archive.
func NewArchiveWriter(w io.Writer, head ArchiveHead) (*ArchiveWriter, error) {
	a := &ArchiveWriter{file: w, digest: sha256.New()}
	a.out = io.MultiWriter(w, a.digest)
	line, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("write the head of the archive: %w", err)
	}
	if _, err := a.out.Write(append(append([]byte(archiveMagic), line...), '\n')); err != nil {
		return nil, fmt.Errorf("write the head of the archive: %w", err)
	}
	return a, nil
}

// Add writes a block.
func (a *ArchiveWriter) Add(block []byte) error {
	h, err := ParseHeader(block)
	if err != nil {
		return fmt.Errorf("add a block: %w", err)
	}
	a.frame = append(binary.AppendUvarint(a.frame[:0], uint64(len(block))), block...)
	if _, err := a.out.Write(a.frame); err != nil {
		return fmt.Errorf("add a block: %w", err)
	}
	a.end.Blocks++
	a.end.Points += int64(h.Count)
	return nil
}

// Close ends the archive. sign gets ArchiveText and gives certificates and
// signature; nil: nobody vouches for it.
func (a *ArchiveWriter) Close(sign func(text []byte) (certificates [][]byte, signature []byte, err error)) (ArchiveEnd, error) {
	if _, err := a.out.Write([]byte{0}); err != nil {
		return a.end, fmt.Errorf("end the archive: %w", err)
	}
	a.end.Digest = a.digest.Sum(nil)
	if sign != nil {
		var err error
		if a.end.Certificates, a.end.Signature, err = sign(ArchiveText(a.end.Digest)); err != nil {
			return a.end, fmt.Errorf("sign the archive: %w", err)
		}
	}
	line, err := json.Marshal(a.end)
	if err == nil {
		_, err = a.file.Write(append(line, '\n'))
	}
	if err != nil {
		return a.end, fmt.Errorf("end the archive: %w", err)
	}
	return a.end, nil
}

// errArchive begins what is wrong with the bytes of an archive.
var errArchive = errors.New("the archive is cut off or altered; export it again")

// ReadArchive gives the blocks of an archive, each checked as ParseHeader does
// and of the site of the head. The end, whose digest is right, comes last: who
// wants to know who made it before using any block reads twice. A block is
// valid until the function that gets it returns.
func ReadArchive(r io.Reader, fn func(h Header, block []byte) error) (ArchiveHead, ArchiveEnd, error) {
	in := archiveReader{in: bufio.NewReaderSize(r, MaxBlock), digest: sha256.New()}
	head, err := in.head()
	if err != nil {
		return head, ArchiveEnd{}, err
	}
	var count ArchiveEnd
	for {
		block, err := in.block()
		if err != nil {
			return head, ArchiveEnd{}, err
		}
		if block == nil {
			break
		}
		h, err := ParseHeader(block)
		switch {
		case err != nil:
			return head, ArchiveEnd{}, fmt.Errorf("block %d of the archive: %w", count.Blocks+1, err)
		case h.Site != head.Site:
			return head, ArchiveEnd{}, fmt.Errorf("block %d of the archive is of site %q, the archive of %q", count.Blocks+1, h.Site, head.Site)
		}
		count.Blocks++
		count.Points += int64(h.Count)
		if err := fn(h, block); err != nil {
			return head, ArchiveEnd{}, err
		}
	}
	end, err := in.end()
	if err == nil && (end.Blocks != count.Blocks || end.Points != count.Points) {
		err = errArchive
	}
	return head, end, err
}

type archiveReader struct {
	in     *bufio.Reader
	digest hash.Hash
	buf    []byte
}

func (a *archiveReader) head() (head ArchiveHead, err error) {
	magic := make([]byte, len(archiveMagic))
	if _, err := io.ReadFull(a.in, magic); err != nil || string(magic) != archiveMagic {
		return head, errors.New("the file is no archive of blocks; make one with `edgehold buffer export --blocks`")
	}
	a.digest.Write(magic)
	line, err := a.line()
	if err != nil {
		return head, err
	}
	a.digest.Write(line)
	if err := json.Unmarshal(line, &head); err != nil {
		return head, fmt.Errorf("read the head of the archive: %w", err)
	}
	if err := CheckID("site", head.Site); err != nil {
		return head, fmt.Errorf("read the head of the archive: %w", err)
	}
	return head, nil
}

// line reads up to a line break, which it includes.
func (a *archiveReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := a.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxArchiveLine:
			return nil, errArchive
		}
	}
}

// block gives the next block, nil at the end.
func (a *archiveReader) block() ([]byte, error) {
	n, err := binary.ReadUvarint(a.in)
	if err != nil || n > MaxBlock {
		return nil, errArchive
	}
	a.digest.Write(binary.AppendUvarint(nil, n))
	if n == 0 {
		return nil, nil
	}
	a.buf = append(a.buf[:0], make([]byte, n)...)
	if _, err := io.ReadFull(a.in, a.buf); err != nil {
		return nil, errArchive
	}
	a.digest.Write(a.buf)
	return a.buf, nil
}

func (a *archiveReader) end() (end ArchiveEnd, err error) {
	line, err := a.line()
	if err != nil {
		return end, err
	}
	if err := json.Unmarshal(line, &end); err != nil || !bytes.Equal(end.Digest, a.digest.Sum(nil)) {
		return end, errArchive
	}
	if _, err := a.in.ReadByte(); !errors.Is(err, io.EOF) {
		return end, errArchive
	}
	return end, nil
}
