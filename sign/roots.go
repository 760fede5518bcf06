package sign

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// The bounds of a folder of roots.
const (
	maxRootFiles = 1000
	maxRootBytes = 1 << 20 // of each file; a CRL of that size has some 25 000 entries
)

// rootFolder is what a folder holds that says whom to trust.
type rootFolder struct {
	path     string
	roots    []*x509.Certificate // CAs that issued themselves
	helpers  []*x509.Certificate // CAs of others: they lead to a root, and are trusted for nothing
	crls     []*crl
	denials  []signedDenial // not verified yet
	files    []fileState
	warnings []string
	sum      [sha256.Size]byte // of names and contents
}

// fileState is what tells a changed file from the same one.
type fileState struct {
	name                    string
	size, modified, changed int64 // times in nanoseconds
	inode                   uint64
}

// readRoots reads a folder. A file that cannot be read is a warning. A folder
// that is missing, or has no name, is empty.
func readRoots(path string) (*rootFolder, error) {
	f := &rootFolder{path: path}
	files, err := listRoots(path)
	if err != nil {
		return nil, err
	}
	f.files = files
	sum := sha256.New()
	for _, file := range files {
		data, err := readRootFile(filepath.Join(path, file.name))
		if err == nil {
			fmt.Fprintf(sum, "%q %x\n", file.name, sha256.Sum256(data))
			err = f.take(file.name, data)
		} else {
			fmt.Fprintf(sum, "%q -\n", file.name)
		}
		if err != nil {
			f.warn(file.name, err)
		}
	}
	sum.Sum(f.sum[:0])
	f.warnWritable()
	f.warnLoose()
	f.warnForged()
	return f, nil
}

func (f *rootFolder) warn(name string, err error) {
	f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", filepath.Join(f.path, name), err))
}

// listRoots gives the files of a folder that matter, sorted by name.
func listRoots(path string) ([]fileState, error) {
	if path == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read folder of roots: %w; give a folder that the agent may read", err)
	}
	var files []fileState
	for _, e := range entries {
		if rootKind(e.Name()) == 0 {
			continue
		}
		if len(files) == maxRootFiles {
			return nil, fmt.Errorf("read folder of roots %s: more than %d files; keep those that this site needs", path, maxRootFiles)
		}
		files = append(files, stateOf(path, e.Name()))
	}
	return files, nil
}

// stateOf follows links, since that is how some systems mount such folders.
func stateOf(folder, name string) fileState {
	s := fileState{name: name}
	info, err := os.Stat(filepath.Join(folder, name))
	if err != nil {
		return s
	}
	s.size, s.modified = info.Size(), info.ModTime().UnixNano()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.changed = sys.Ino, sys.Ctim.Nano()
	}
	return s
}

// The kinds of files in a folder of roots.
const (
	certificateFile = 1
	crlFile         = 2
	denyFile        = 3
	denySignature   = 4 // read with its deny list
)

func rootKind(name string) int {
	lower := strings.ToLower(name)
	deny := strings.HasPrefix(lower, "deny")
	switch ext := filepath.Ext(lower); {
	case strings.HasPrefix(lower, "."):
		return 0
	case ext == ".pem", ext == ".crt", ext == ".cer":
		return certificateFile
	case ext == ".crl":
		return crlFile
	case deny && ext == ".json":
		return denyFile
	case deny && strings.HasSuffix(lower, ".json.sig"):
		return denySignature
	}
	return 0
}

func readRootFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errSpecial
	}
	return ReadRegular(path, maxRootBytes)
}

// take reads one file into the folder.
func (f *rootFolder) take(name string, data []byte) error {
	switch rootKind(name) {
	case certificateFile:
		certificates, warnings := readCertificates(data)
		for _, w := range warnings {
			f.warn(name, errors.New(w))
		}
		for _, c := range certificates {
			f.add(name, c)
		}
	case crlFile:
		list, err := readCRLs(name, data)
		f.crls = append(f.crls, list...)
		return err
	case denyFile:
		signature, err := readRootFile(filepath.Join(f.path, name+".sig"))
		if err != nil {
			return fmt.Errorf("the deny list is ignored: its signature cannot be read: %w; copy it beside the list", err)
		}
		f.denials = append(f.denials, signedDenial{file: filepath.Join(f.path, name), List: data, Signature: signature})
	}
	return nil
}

// add puts a certificate where it belongs.
func (f *rootFolder) add(name string, c *x509.Certificate) {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		f.warn(name, fmt.Errorf("the certificate %q is no CA and is ignored; put the certificate of the CA here", c.Subject))
	case slices.ContainsFunc(f.roots, c.Equal), slices.ContainsFunc(f.helpers, c.Equal):
	case isIssuer(c, c):
		f.roots = append(f.roots, c)
	default:
		f.helpers = append(f.helpers, c)
	}
}

// warnLoose warns of CAs that lead to no root of the folder.
func (f *rootFolder) warnLoose() {
	for _, c := range f.helpers {
		above := func(other *x509.Certificate) bool { return bytes.Equal(other.RawSubject, c.RawIssuer) }
		if !slices.ContainsFunc(f.roots, above) && !slices.ContainsFunc(f.helpers, above) {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: the CA %q is no root, and its issuer %q is missing; put the root into the folder", f.path, c.Subject, c.Issuer))
		}
	}
}

// readCertificates reads PEM, with any number of certificates and text between
// them, or DER. What cannot be read is a warning and does not stop the rest.
func readCertificates(data []byte) (list []*x509.Certificate, warnings []string) {
	if len(data) > 0 && data[0] == 0x30 {
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, []string{fmt.Sprintf("the certificate cannot be read: %v; copy it again", err)}
		}
		return []*x509.Certificate{c}, nil
	}
	begun := bytes.Count(data, []byte("-----BEGIN "))
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		switch {
		case block.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				warnings = append(warnings, fmt.Sprintf("certificate %d cannot be read: %v; copy it again", blocks, err))
				continue
			}
			list = append(list, c)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			warnings = append(warnings, "it holds a private key; keep that where packages are signed, and only the certificate here")
		default:
			warnings = append(warnings, fmt.Sprintf("a block %q is ignored; put certificates here", block.Type))
		}
	}
	switch {
	case blocks == 0 && begun == 0:
		warnings = append(warnings, "it holds no certificate; put PEM or DER here")
	case blocks < begun:
		warnings = append(warnings, fmt.Sprintf("%d of %d PEM blocks cannot be read; copy the file again", begun-blocks, begun))
	}
	return list, warnings
}
