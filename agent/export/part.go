package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// part is a file that grows by whole pieces: what cannot be written whole is
// taken back.
type part struct {
	f    *os.File
	size int64
}

// createPart makes a file that must not be there yet.
func createPart(path string) (*part, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("%s is there already and its .state file is not: delete it", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("create the output: %w; make its folder, or name another --output", err)
	case err != nil:
		return nil, fmt.Errorf("create the output: %w; name an --output that this user may write", err)
	}
	return &part{f: f}, nil
}

// reopenPart goes on with a file at a size that it has at least.
func reopenPart(path string, size int64) (*part, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("go on with the export: %w; delete %s to begin again", err, path)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < size {
		err = fmt.Errorf("%s is shorter than its .state file says; delete both to begin again", path)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("go on with the export: %w", err)
	}
	return &part{f: f, size: size}, nil
}

// Append writes all of b or nothing.
func (p *part) Append(b []byte) error {
	n, err := p.f.WriteAt(b, p.size)
	if err == nil {
		p.size += int64(n)
		return nil
	}
	return errors.Join(writeError(err), p.f.Truncate(p.size))
}

// Write implements io.Writer.
func (p *part) Write(b []byte) (int, error) {
	if err := p.Append(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ready makes the whole file durable and closes it.
func (p *part) ready() error {
	err := p.f.Sync()
	if closeErr := p.f.Close(); err == nil {
		err = closeErr
	}
	return writeError(err)
}

func writeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("write the output: %w: free some space, or name an --output on another disk", err)
	}
	return fmt.Errorf("write the output: %w", err)
}

// replaceFile writes a small file so that it is there whole or not at all.
func replaceFile(path string, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o644); err != nil {
		_ = os.Remove(fresh)
		return writeError(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return writeError(err)
	}
	return nil
}

// publish gives a finished file its name, durably.
func publish(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return writeError(err)
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return writeError(err)
	}
	defer folder.Close()
	return writeError(folder.Sync())
}
