package sign

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strings"
)

// january1980 is the first date that a zip can hold. All entries get it, so
// that the time of a build does not change its bytes.
const january1980 = 1<<5 | 1

// Build makes extension.zip of a package folder: deflated, sorted by name,
// without times, owners and extra fields, so that the same files give the same
// bytes on every machine. Files and folders whose name begins with a dot are
// left out: they are of editors and version control.
func Build(dir string, limits Limits) ([]byte, error) {
	data, err := buildFolder(dir, limits)
	if err != nil {
		return nil, fmt.Errorf("build package %s: %w", dir, err)
	}
	return data, nil
}

func buildFolder(dir string, limits Limits) ([]byte, error) {
	info, err := os.Stat(dir) // opening a pipe would wait
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; give the folder that holds %s", err, manifestName)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; give the folder that holds %s", err, manifestName)
	}
	defer root.Close()
	files := &boundedFS{inner: root.FS(), most: limits.FileBytes}
	if _, err := files.Stat(manifestName); err != nil {
		return nil, fmt.Errorf("the folder has no readable %s: %w", manifestName, err)
	}
	var out bytes.Buffer
	b := zipBuilder{files: files, out: zip.NewWriter(&out), size: &out, limits: limits}
	if err := fs.WalkDir(files.inner, ".", b.visit); err != nil {
		return nil, err
	}
	if err := b.out.Close(); err != nil {
		return nil, err
	}
	// What was built must open where it is to run.
	if _, err := readPackage(out.Bytes(), limits); err != nil {
		return nil, err
	}
	if int64(out.Len()) > limits.PackageBytes {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that a package may have", out.Len(), limits.PackageBytes)
	}
	return out.Bytes(), nil
}

type zipBuilder struct {
	files  *boundedFS
	out    *zip.Writer
	size   *bytes.Buffer
	limits Limits
	total  int64
}

// visit comes in the order of the names, whatever the file system's is.
func (b *zipBuilder) visit(path string, d fs.DirEntry, err error) error {
	switch {
	case err != nil || path == ".":
		return err
	case strings.HasPrefix(d.Name(), ".") && d.IsDir():
		return fs.SkipDir
	case strings.HasPrefix(d.Name(), "."):
		return nil
	case d.IsDir():
		return nil // a folder is known by its files
	case !d.Type().IsRegular():
		return fmt.Errorf("file %q: %w; put the file itself into the folder", path, errSpecial)
	}
	data, err := b.files.ReadFile(path)
	if err != nil {
		return err
	}
	if b.total += int64(len(data)); b.total > b.limits.TotalBytes {
		return fmt.Errorf("file %q: the files have more than %d bytes together", path, b.limits.TotalBytes)
	}
	return addEntry(b.out, path, data, zip.Deflate)
}

// addEntry writes an entry whose sizes stand before its content, which the
// simplest of readers need.
func addEntry(out *zip.Writer, name string, data []byte, method uint16) error {
	content := data
	if method == zip.Deflate {
		packed, err := deflate(data)
		if err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
		content = packed
	}
	header := &zip.FileHeader{
		//lint:ignore SA1019 Modified would write the time a second time, in an extra field
		Name: name, Method: method, ModifiedDate: january1980,
		CRC32: crc32.ChecksumIEEE(data), CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(data)),
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) {
		header.Flags = flagUTF8
	}
	header.SetMode(0o644)
	w, err := out.CreateRaw(header)
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		return fmt.Errorf("file %q: %w", name, err)
	}
	return nil
}

func deflate(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// WriteBundle makes bundle.zip of an extension.zip and its signature. Both are
// stored as they are; the same input gives the same bytes.
func WriteBundle(inner, signature []byte) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	err := addEntry(w, innerName, inner, zip.Store)
	if err == nil {
		err = addEntry(w, signatureName, signature, zip.Store)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("write bundle to memory: " + err.Error()) // a buffer takes everything, and the names are sound
	}
	return out.Bytes()
}

// Parts are the files of a bundle.
type Parts struct {
	Inner     []byte // extension.zip
	Signature []byte // nil: there is none
	Timestamp []byte // nil: there is none
}

// Split takes a bundle apart, held against the limits. The signature is not
// verified. An extension.zip that comes alone is a bundle without signature.
func Split(data []byte, limits Limits) (Parts, error) {
	if int64(len(data)) > limits.PackageBytes {
		return Parts{}, fmt.Errorf("larger than %d bytes, the most a package may have", limits.PackageBytes)
	}
	p, err := readPackage(data, limits)
	if err != nil {
		return Parts{}, err
	}
	if p.Form == Zip {
		return Parts{Inner: data}, nil
	}
	outer, err := readZip(data, limits)
	if err != nil {
		return Parts{}, err
	}
	var parts Parts
	for name, part := range map[string]*[]byte{innerName: &parts.Inner, signatureName: &parts.Signature, timestampName: &parts.Timestamp} {
		if !outer.has(name) {
			continue
		}
		if *part, err = outer.ReadFile(name); err != nil {
			return Parts{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return parts, nil
}

// Read is Open for a package in memory, a bundle or an extension.zip. The name is
// for messages. The signature is not verified.
func Read(name string, data []byte, limits Limits) (*Package, error) {
	p, err := readPackage(data, limits)
	if err != nil {
		return nil, fmt.Errorf("open package %s: %w", name, err)
	}
	p.Name = name
	return p, nil
}
