package sign

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const (
	ratioFloor     = 64 << 10 // smaller entries may shrink as far as they like
	flagEncrypted  = 1 << 0
	flagStrong     = 1 << 6
	flagMasked     = 1 << 13
	unixTypeMask   = 0xf000
	unixRegular    = 0x8000
	unixFolder     = 0x4000
	directoryFixed = 128 << 10 // bytes the parser may read beside the entries' own
	directoryEach  = 512       // bytes of the zip's directory an entry may take on average
)

// zipFS is the content of a zip in memory, checked against the limits.
type zipFS struct {
	zip *zip.Reader
	boundedFS
}

// readZip parses data and checks every entry before any is read.
func readZip(data []byte, limits Limits) (*zipFS, error) {
	if !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return nil, errors.New("not a zip file, or an empty one")
	}
	source := &budgetReader{
		data:   bytes.NewReader(data),
		budget: directoryFixed + int64(limits.Entries)*directoryEach,
	}
	zr, err := zip.NewReader(source, int64(len(data)))
	if source.budget < 0 {
		return nil, fmt.Errorf("its list of entries is too long; a package may have %d", limits.Entries)
	}
	if err != nil {
		return nil, fmt.Errorf("read zip: %w", err)
	}
	source.parsed = true
	if err := checkZip(zr, int64(len(data)), limits); err != nil {
		return nil, err
	}
	if err := checkForm(data); err != nil {
		return nil, err
	}
	return &zipFS{zip: zr, boundedFS: boundedFS{inner: zr, most: limits.FileBytes}}, nil
}

// budgetReader bounds what the zip parser reads, and so the memory it takes,
// before the number of entries is known.
type budgetReader struct {
	data   *bytes.Reader
	budget int64
	parsed bool
}

func (r *budgetReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.data.ReadAt(p, off)
	if r.parsed {
		return n, err
	}
	if r.budget -= int64(n); r.budget < 0 {
		return 0, errors.New("too much read")
	}
	return n, err
}

func (z *zipFS) has(name string) bool {
	info, err := z.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// packaged makes the package of what was read from data.
func (z *zipFS) packaged(form Form, data []byte) *Package {
	return &Package{FS: &z.boundedFS, Form: form, Digest: digestOf(data), close: func() error { return nil }}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func checkZip(zr *zip.Reader, size int64, limits Limits) error {
	names := newNames(limits)
	var total, compressed uint64
	for _, f := range zr.File {
		if err := checkEntry(f, limits); err != nil {
			return fmt.Errorf("entry %q: %w", f.Name, err)
		}
		if err := names.add(strings.TrimSuffix(f.Name, "/"), strings.HasSuffix(f.Name, "/")); err != nil {
			return fmt.Errorf("entry %q: %w", f.Name, err)
		}
		// Each is at most FileBytes, and the entries are counted: no overflow.
		total += f.UncompressedSize64
		compressed += f.CompressedSize64
		if total > uint64(limits.TotalBytes) {
			return fmt.Errorf("entry %q: %w", f.Name, bomb("the files unpack to more than %d bytes together", limits.TotalBytes))
		}
		if compressed > uint64(size) {
			return fmt.Errorf("entry %q: %w", f.Name, refuse(RuleZipOverlap, "entries overlap", mendZip))
		}
	}
	return nil
}

// bomb is a zip that unpacks to more than is allowed.
func bomb(format string, args ...any) error {
	return refuse(RuleZipBomb, fmt.Sprintf(format, args...), "take out what the agent does not need")
}

// checkEntry holds one entry against the rules that need no other entry.
func checkEntry(f *zip.File, limits Limits) error {
	kind := f.ExternalAttrs >> 16 & unixTypeMask
	folder := strings.HasSuffix(f.Name, "/")
	switch {
	case f.Flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		return refuse(RuleZipForm, "encrypted entries are refused", "zip it without a password")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return refuse(RuleZipForm, fmt.Sprintf("compression method %d is refused", f.Method), "use deflate")
	case kind != 0 && kind != unixRegular && kind != unixFolder, f.Mode()&fs.ModeType&^fs.ModeDir != 0:
		return refuse(RuleZipLink, "links and special files are refused", "put the file itself into the zip")
	case folder != (f.Mode().IsDir() || kind == unixFolder), folder && f.UncompressedSize64 != 0:
		return refuse(RuleZipForm, "is marked as file and folder at once", mendZip)
	case f.UncompressedSize64 > uint64(limits.FileBytes):
		return bomb("unpacks to %d bytes, more than %d", f.UncompressedSize64, limits.FileBytes)
	case f.CompressedSize64 > uint64(limits.PackageBytes):
		return bomb("has %d compressed bytes, more than a package may have", f.CompressedSize64)
	case f.UncompressedSize64 > ratioFloor && f.UncompressedSize64 > f.CompressedSize64*uint64(limits.Ratio):
		return bomb("unpacks to more than %d times its compressed size", limits.Ratio)
	}
	return nil
}
