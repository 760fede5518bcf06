package check

import (
	"bytes"
	"errors"
	"io"
)

// finder looks for a text in what is written to it, and holds little of that. It
// finds no empty text.
type finder struct {
	text  string
	found bool
	tail  []byte // of what came, which may be the beginning of the text
}

// Write takes the next part.
func (f *finder) Write(b []byte) (int, error) {
	if f.text == "" || f.found {
		return len(b), nil
	}
	all := append(f.tail, b...)
	f.found = bytes.Contains(all, []byte(f.text))
	f.tail = append(f.tail[:0], all[max(0, len(all)-len(f.text)+1):]...)
	return len(b), nil
}

// search reads until the text was found or r ends, and tells how much it has read.
func search(r io.Reader, text string) (found bool, read int64, err error) {
	f := finder{text: text}
	buf := make([]byte, 8<<10)
	for {
		n, err := r.Read(buf)
		read += int64(n)
		_, _ = f.Write(buf[:n]) // never fails
		switch {
		case f.found:
			return true, read, nil
		case errors.Is(err, io.EOF):
			return false, read, nil
		case err != nil:
			return false, read, err
		}
	}
}
