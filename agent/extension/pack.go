package extension

import (
	"compress/flate"
	_ "embed" // for the profiles
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// packed holds the files of the folder profiles, compressed as one: they are
// much alike, and a binary has little room. A test holds it against the folder
// and writes it anew.
//
//go:embed profiles.pack
var packed string

type packedFile struct {
	name string
	data []byte
}

var errPack = errors.New("the built-in profiles are damaged")

const maxPack = 16 << 20 // bytes, unpacked

// unpack gives the files that pack took.
func unpack(text string) ([]packedFile, error) {
	rest, err := io.ReadAll(io.LimitReader(flate.NewReader(strings.NewReader(text)), maxPack))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	var files []packedFile
	for len(rest) > 0 {
		name, after, ok := takePart(rest)
		if !ok {
			return nil, errPack
		}
		data, after, ok := takePart(after)
		if !ok {
			return nil, errPack
		}
		files = append(files, packedFile{string(name), data})
		rest = after
	}
	return files, nil
}

// takePart takes a part and its length before it off the front.
func takePart(b []byte) (part, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end:end], b[end:], true
}
