// Package sign reads extension packages. It verifies no signature yet: it
// says whether a signature lies beside a package, and nothing more.
package sign

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Form is the shape a package came in.
type Form uint8

// The forms of a package.
const (
	Folder Form = 1 // a folder with extension.yaml in it
	Zip    Form = 2 // extension.zip: the content of such a folder
	Bundle Form = 3 // a zip with extension.zip and its signature in it
)

// String is the form in words.
func (f Form) String() string {
	switch f {
	case Folder:
		return "folder"
	case Zip:
		return "zip"
	case Bundle:
		return "bundle"
	}
	return "invalid"
}

// Limits bound what a package may hold. Every limit applies to every form
// unless said otherwise.
type Limits struct {
	PackageBytes int64 // size of a zip or bundle file
	Entries      int   // files and folders
	TotalBytes   int64 // all files together, uncompressed
	FileBytes    int64 // one file, uncompressed
	Ratio        int64 // uncompressed to compressed, for zip entries above 64 KiB
	Depth        int   // folders on the way to a file, counting the file
}

// DefaultLimits are generous for real packages: the vendor refuses files above
// 25 MB, and the largest public package has some hundred entries.
func DefaultLimits() Limits {
	return Limits{
		PackageBytes: 25_000_000,
		Entries:      2_000,
		TotalBytes:   100_000_000,
		FileBytes:    25_000_000,
		Ratio:        200,
		Depth:        12,
	}
}

const (
	manifestName  = "extension.yaml"
	innerName     = "extension.zip"
	signatureName = "extension.zip.sig"
	timestampName = "extension.zip.sig.tsr"
)

// Package is an extension package that obeys its limits.
type Package struct {
	// FS holds the files. It implements fs.ReadFileFS, fs.ReadDirFS and
	// fs.StatFS, and no read gives more than the limits allow.
	FS     fs.FS
	Name   string // the path it was opened by
	Form   Form
	Signed bool   // a signature lies beside the content; it was not checked
	Digest string // SHA-256 in hex: of extension.zip, or of names and contents of a folder

	close func() error
}

// Close gives back what the package holds open. FS must not be used after it.
func (p *Package) Close() error { return p.close() }

// Open reads the package at path, a folder or a file. Which form it has is
// told by its content, not by its name.
func Open(path string, limits Limits) (*Package, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open package: %w; give the path of a package folder, extension.zip or bundle.zip", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open package: %w", err)
	}
	var p *Package
	switch {
	case info.IsDir():
		p, err = openFolder(path, limits)
	case info.Mode().IsRegular():
		p, err = openFile(path, limits)
	default:
		err = errors.New("neither a folder nor a file; give the path of a package folder, extension.zip or bundle.zip")
	}
	if err != nil {
		return nil, fmt.Errorf("open package %s: %w", path, err)
	}
	p.Name = path
	return p, nil
}

func openFile(path string, limits Limits) (*Package, error) {
	data, err := readBounded(path, limits.PackageBytes)
	if err != nil {
		return nil, err
	}
	p, err := readPackage(data, limits)
	if err != nil {
		return nil, err
	}
	if p.Form == Zip {
		info, err := os.Stat(path + ".sig")
		p.Signed = err == nil && info.Mode().IsRegular() && info.Size() > 0
	}
	return p, nil
}

// readBounded reads a file once, so that digest and content are of the same
// bytes whatever happens to the file meanwhile.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("larger than %d bytes, the most a package may have", most)
	}
	return data, nil
}

// readPackage tells bundle and plain package apart.
func readPackage(data []byte, limits Limits) (*Package, error) {
	outer, err := readZip(data, limits)
	if err != nil {
		return nil, err
	}
	manifest, inner := outer.has(manifestName), outer.has(innerName)
	switch {
	case manifest && inner:
		return nil, fmt.Errorf("holds %s and %s side by side; it must be a package or a bundle, not both", manifestName, innerName)
	case manifest:
		return outer.packaged(Zip, data), nil
	case inner:
		return readBundle(outer, limits)
	}
	return nil, fmt.Errorf("holds neither %s nor %s at its root; zip the content of the package folder, not the folder itself", manifestName, innerName)
}

func readBundle(outer *zipFS, limits Limits) (*Package, error) {
	for _, f := range outer.zip.File {
		switch f.Name {
		case innerName, signatureName, timestampName:
		default:
			return nil, fmt.Errorf("entry %q: a bundle holds %s and its signature only; remove the entry", f.Name, innerName)
		}
	}
	data, err := outer.ReadFile(innerName)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", innerName, err)
	}
	if int64(len(data)) > limits.PackageBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes, the most a package may have", innerName, limits.PackageBytes)
	}
	inner, err := readZip(data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", innerName, err)
	}
	switch {
	case inner.has(innerName):
		return nil, fmt.Errorf("%s holds another %s; a bundle in a bundle is refused, give the inner one", innerName, innerName)
	case !inner.has(manifestName):
		return nil, fmt.Errorf("%s has no %s at its root; zip the content of the package folder, not the folder itself", innerName, manifestName)
	}
	p := inner.packaged(Bundle, data)
	info, err := outer.Stat(signatureName)
	p.Signed = err == nil && info.Size() > 0
	return p, nil
}
