// Package sign reads extension packages and says whether this site trusts who
// signed them. [Open] reads a package whatever its signature is worth;
// [Trust.Open] gives content only after the signature was found good.
package sign

import (
	"errors"
	"fmt"
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
	signatureMost = 1 << 20 // bytes of a signature or a timestamp
)

// Package is an extension package that obeys its limits.
type Package struct {
	// FS holds the files. It implements fs.ReadFileFS, fs.ReadDirFS and
	// fs.StatFS, and no read gives more than the limits allow.
	FS     fs.FS
	Name   string // the path it was opened by
	Form   Form
	Signed bool   // a signature lies beside the content; Open did not check it, Trust.Open did
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
	data, err := ReadRegular(path, limits.PackageBytes)
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

func readPackage(data []byte, limits Limits) (*Package, error) {
	p, err := readParts(data, limits)
	if err != nil {
		return nil, err
	}
	return p.open(limits)
}

// parts are what a package file holds, before the content is looked at.
type parts struct {
	form      Form
	data      []byte // of extension.zip
	outer     *zipFS // of a zip: data parsed
	signature []byte
	timestamp []byte
}

// readParts tells bundle and plain package apart.
func readParts(data []byte, limits Limits) (*parts, error) {
	outer, err := readZip(data, limits)
	if err != nil {
		return nil, err
	}
	manifest, inner := outer.has(manifestName), outer.has(innerName)
	switch {
	case manifest && inner:
		return nil, fmt.Errorf("holds %s and %s side by side; it must be a package or a bundle, not both", manifestName, innerName)
	case manifest:
		return &parts{form: Zip, data: data, outer: outer}, nil
	case inner:
		return bundleParts(outer, limits)
	}
	return nil, fmt.Errorf("holds neither %s nor %s at its root; zip the content of the package folder, not the folder itself", manifestName, innerName)
}

func bundleParts(outer *zipFS, limits Limits) (*parts, error) {
	p := &parts{form: Bundle}
	for _, f := range outer.zip.File {
		var into *[]byte
		switch f.Name {
		case innerName:
			into = &p.data
		case signatureName:
			into = &p.signature
		case timestampName:
			into = &p.timestamp
		default:
			return nil, fmt.Errorf("entry %q: a bundle holds %s and its signature only; remove the entry", f.Name, innerName)
		}
		most := limits.PackageBytes
		if into != &p.data {
			most = signatureMost
		}
		if f.UncompressedSize64 > uint64(most) {
			return nil, fmt.Errorf("%s is larger than %d bytes, the most it may have", f.Name, most)
		}
		var err error
		if *into, err = outer.ReadFile(f.Name); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, err)
		}
	}
	return p, nil
}

// open parses the content.
func (p *parts) open(limits Limits) (*Package, error) {
	if p.form == Zip {
		return p.outer.packaged(Zip, p.data), nil
	}
	inner, err := readZip(p.data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", innerName, err)
	}
	switch {
	case inner.has(innerName):
		return nil, fmt.Errorf("%s holds another %s; a bundle in a bundle is refused, give the inner one", innerName, innerName)
	case !inner.has(manifestName):
		return nil, fmt.Errorf("%s has no %s at its root; zip the content of the package folder, not the folder itself", innerName, manifestName)
	}
	made := inner.packaged(Bundle, p.data)
	made.Signed = len(p.signature) > 0
	return made, nil
}
