package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A root key and a developer key never come into one folder, nor into one that
// holds the other's: who takes a copy of the one would hold both.

// maxKeyFile is above every key file; larger files are not looked into.
const maxKeyFile = 256 << 10

// resolve is the absolute path of dir with links followed as far as it exists.
func resolve(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		_, err := os.Lstat(path)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return "", err
		}
		path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest)
	}
	path, err = filepath.EvalSymlinks(path)
	return filepath.Join(path, rest), err
}

// liesIn tells whether path is dir or below it. Folders are compared by what
// they are, so that a bind mount is seen too.
func liesIn(path string, dir fs.FileInfo) bool {
	for {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, dir) {
			return true
		}
		up := filepath.Dir(path)
		if up == path {
			return false
		}
		path = up
	}
}

// rootAbove is the root key of any authority in the folders above path.
func rootAbove(path string) string {
	for up := filepath.Dir(path); up != path; path, up = up, filepath.Dir(up) {
		key := filepath.Join(up, keyName)
		if _, err := os.Stat(key); err == nil {
			return key
		}
	}
	return ""
}

// checkApart refuses dir for a developer's files where it lies in the
// authority's folder, holds it, or holds a root key.
func (a *Authority) checkApart(dir string) (resolved string, err error) {
	resolved, err = resolve(dir)
	if err != nil {
		return "", err
	}
	home, err := os.Stat(a.dir)
	if err != nil {
		return "", err
	}
	if liesIn(resolved, home) {
		return "", fmt.Errorf("%s is in the folder of the root key (%s); a developer's files go to a folder apart, give another --out", dir, a.dir)
	}
	if other := rootAbove(resolved); other != "" {
		return "", fmt.Errorf("%s is in the folder of a root key (%s); a developer's files go to a folder apart, give another --out", dir, other)
	}
	info, err := os.Stat(resolved)
	if errors.Is(err, fs.ErrNotExist) {
		return resolved, nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a file; give a folder as --out", dir)
	}
	if liesIn(a.dir, info) {
		return "", fmt.Errorf("%s holds the folder of the root key (%s); a developer's files go to a folder apart, give another --out", dir, a.dir)
	}
	return resolved, a.checkNoRootKey(resolved)
}

// checkNoRootKey looks at the files of a folder for the key of a root: this
// one's, also encrypted, or the one of a CA certificate beside it.
func (a *Authority) checkNoRootKey(dir string) error {
	own, err := readFile(filepath.Join(a.dir, keyName))
	if err != nil {
		return fmt.Errorf("read the root key: %w", err)
	}
	found, err := keysIn(dir)
	if err != nil {
		return err
	}
	roots := append(found.authorities, a.Certificate)
	for _, k := range found.keys {
		if k.isRoot(roots) || samePEM(k.data, own) {
			return fmt.Errorf("%s holds a root key (%s); a developer's files go to a folder apart, give another --out", dir, k.name)
		}
	}
	return nil
}

// foundKey is a file with a private key.
type foundKey struct {
	name   string
	data   []byte
	public crypto.PublicKey // nil where the key is encrypted
}

func (k foundKey) isRoot(roots []*x509.Certificate) bool {
	if k.name == keyName {
		return true
	}
	for _, r := range roots {
		if k.public != nil && sameKey(r.PublicKey, k.public) {
			return true
		}
	}
	return false
}

type foundFiles struct {
	keys        []foundKey
	authorities []*x509.Certificate
}

// keysIn looks into the files of a folder, through links too.
func keysIn(dir string) (found foundFiles, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found, fmt.Errorf("look for keys: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyFile {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue // what this user cannot read is not his key
		}
		found.add(e.Name(), data)
	}
	return found, nil
}

func (f *foundFiles) add(name string, data []byte) {
	certificates, _ := parseCertificates(data)
	for _, c := range certificates {
		if c.IsCA {
			f.authorities = append(f.authorities, c)
		}
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if !isKeyLabel(block.Type) {
			continue
		}
		k := foundKey{name: name, data: block.Bytes}
		if key, err := (keyReader{}).block(block); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				k.public = signer.Public()
			}
		}
		f.keys = append(f.keys, k)
	}
}

// samePEM tells whether the first block of text holds der.
func samePEM(der, text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && bytes.Equal(block.Bytes, der)
}

// checkHome refuses a folder for a root that lies in one with private keys.
func checkHome(dir string) error {
	parent := filepath.Dir(dir)
	found, err := keysIn(parent)
	if err == nil && len(found.keys) > 0 {
		return fmt.Errorf("%s holds a private key (%s); the folder of a root key does not lie there, give another --out", parent, found.keys[0].name)
	}
	return nil // a parent that this user cannot list holds no key of his
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty (%s); a root key gets a folder of its own, give a new one as --out", dir, entries[0].Name())
	}
	return err
}
