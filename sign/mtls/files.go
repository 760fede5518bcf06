package mtls

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/sign"
)

const (
	privateFolder = 0o700
	maxFile       = 4 << 20 // far above any key, certificate or record
)

// lock keeps other commands out of the folder until release.
func (a *Authority) lock() (release func(), err error) {
	f, err := os.Open(a.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock the authority: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: another command is at work there; try again when it has ended", a.Dir)
	}
	return func() { f.Close() }, nil
}

// write writes a file that only its owner may read. It is there whole or not at
// all; without force it must not be there before.
func write(path string, data []byte, force bool) error {
	if !force {
		if err := free(path); err != nil {
			return err
		}
	}
	temp, err := writeTemp(path, data)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeTemp(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// free tells whether a file can be written without replacing one.
func free(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already and is not overwritten; give another --out, --renew for a certificate in its place, or --force", path)
	}
	return nil
}

// holds tells whether a file has this content already.
func holds(path string, data []byte) bool {
	there, err := sign.ReadRegular(path, maxFile)
	return err == nil && bytes.Equal(there, data)
}

// readCertificate reads the first certificate in a PEM file.
func readCertificate(path string) (*x509.Certificate, error) {
	data, err := sign.ReadRegular(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s: %w", path, err)
		}
		return c, nil
	}
	return nil, fmt.Errorf("%s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path)
}
