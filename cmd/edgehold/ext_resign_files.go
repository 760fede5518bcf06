package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/edgehold/edgehold/sign"
)

// resigner replaces the signatures of one certificate.
type resigner struct {
	old    *x509.Certificate
	next   *signer
	backup bool
	report resignReport
}

// candidate is a file that may be a package.
type candidate struct {
	path string
	size int64
}

func (r *resigner) fail(path string, err error) {
	r.report.Failed = append(r.report.Failed, resigned{Path: path, Reason: err.Error()})
}

// find lists the files that begin as a zip does. What cannot be looked at might
// be a package, so it is a failure.
func (r *resigner) find(folders []string) (found []candidate) {
	for _, folder := range folders {
		seen := func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				r.fail(path, err)
				return nil
			}
			if !d.Type().IsRegular() || isBackup(path) {
				return nil
			}
			size, isZip, err := lookAtZip(path)
			if err != nil {
				r.fail(path, err)
			}
			if isZip {
				found = append(found, candidate{path, size})
			}
			return nil
		}
		_ = filepath.WalkDir(folder, seen) // it never returns an error
	}
	return found
}

func isBackup(path string) bool {
	name := strings.TrimRight(filepath.Ext(path), "0123456789")
	return name == ".old"
}

func lookAtZip(path string) (size int64, isZip bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, false, nil // shorter than any zip
	}
	return info.Size(), string(head) == "PK\x03\x04", nil
}

// one signs a file again, if it is the old certificate's.
func (r *resigner) one(c candidate) {
	if c.size > sign.DefaultLimits().PackageBytes {
		r.report.Others++ // too large for any package
		return
	}
	target, made, err := r.resign(c.path)
	if err != nil {
		r.fail(c.path, err)
		return
	}
	if made == nil {
		return
	}
	backup, err := replaceFile(target, made, r.backup)
	if err != nil {
		r.fail(target, err)
		return
	}
	r.report.Resigned = append(r.report.Resigned, resigned{Path: target, Backup: backup})
}

// resign gives the new content of a file: of the bundle, or of the signature
// beside extension.zip. Nil is none: the old certificate has not signed it.
func (r *resigner) resign(path string) (target string, made []byte, err error) {
	data, err := sign.ReadRegular(path, sign.DefaultLimits().PackageBytes)
	if err != nil {
		return "", nil, err
	}
	parts, err := sign.Split(data, sign.DefaultLimits())
	if err != nil {
		return "", nil, r.unreadable(data, err)
	}
	target = path
	beside := parts.Signature == nil
	if beside {
		target = path + ".sig"
		parts.Signature, err = sign.ReadRegular(target, 1<<20)
		if errors.Is(err, fs.ErrNotExist) {
			r.report.Unsigned++
			return "", nil, nil
		}
		if err != nil {
			return "", nil, err
		}
	}
	if ours, err := r.signedByOld(parts); err != nil || !ours {
		return "", nil, err
	}
	made, err = r.next.sign(parts.Inner)
	if err == nil && !beside {
		made = sign.WriteBundle(parts.Inner, made)
	}
	return target, made, err
}

// unreadable decides what a zip is that is no package: one that holds a
// signature was meant to be one.
func (r *resigner) unreadable(data []byte, why error) error {
	if bytes.Contains(data, []byte("extension.zip.sig")) {
		return fmt.Errorf("cannot be read as a bundle: %w", why)
	}
	r.report.Others++
	return nil
}

func (r *resigner) signedByOld(parts sign.Parts) (bool, error) {
	verified, err := verifiedSigners(parts)
	if err != nil {
		return false, fmt.Errorf("its signature does not fit, so who signed it is not known: %w", err)
	}
	for _, v := range verified {
		if v.Certificate.Equal(r.next.cert) {
			r.report.Done++
			return false, nil
		}
	}
	for _, v := range verified {
		if v.Certificate.Equal(r.old) || sameKey(v.Certificate, r.old) {
			return true, nil
		}
	}
	r.report.Others++
	return false, nil
}

// replaceFile puts new content in the place of a file, whole or not at all, with
// its mode and owner. The old file is kept under another name with backup.
func replaceFile(path string, data []byte, backup bool) (kept string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	temp, err := tempBeside(path, data, info.Mode().Perm())
	if err != nil {
		return "", err
	}
	defer os.Remove(temp) // gone already, where it was renamed
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Lchown(temp, int(owner.Uid), int(owner.Gid)); err != nil {
			return "", err
		}
	}
	if backup {
		if kept, err = keepOld(path, info); err != nil {
			return "", err
		}
	}
	if err := os.Rename(temp, path); err != nil {
		return "", err
	}
	return kept, syncFolder(filepath.Dir(path))
}

// keepOld gives the file a second name. One that an interrupted run gave it is
// good enough.
func keepOld(path string, info fs.FileInfo) (kept string, err error) {
	for n := 1; ; n++ {
		kept = path + ".old"
		if n > 1 {
			kept += strconv.Itoa(n)
		}
		before, err := os.Lstat(kept)
		if err == nil && os.SameFile(before, info) {
			return kept, nil
		}
		if err == nil {
			continue
		}
		if err := os.Link(path, kept); err != nil {
			return "", fmt.Errorf("keep the old file: %w; --no-backup goes without", err)
		}
		return kept, nil
	}
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
