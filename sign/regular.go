package sign

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// errNotFile is of a pipe, a device or a folder where a file is wanted.
var errNotFile = errors.New("is not a regular file; give the path of a file")

// ReadRegular reads a whole file of at most most bytes. It never waits, as
// opening a pipe would. It reads the file once, so that digest and content are of
// the same bytes whatever happens to the file meanwhile.
func ReadRegular(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %w", path, errNotFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes, the most that is read", path, most)
	}
	return data, err
}
