package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// maxSecret is far above any token, community or pass phrase.
const maxSecret = 16 << 10

// CheckPrivate refuses a file that others than its owner and group may reach.
// The error names the file and the command that mends it.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check permissions of %s: %s", path, reason(err))
	}
	return private(path, info)
}

func private(path string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%s is a folder; name the file in it", path)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("%s is readable by others (mode %04o); run: chmod o-rwx %s", path, mode, quoted(path))
	}
	return nil
}

// quoted is path as a shell takes it.
func quoted(path string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+@:", r)
	}
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// ReadSecretFile returns the one line that a file holds, trimmed. It refuses a
// file that others may read, an empty one and one that holds more than a line.
// Errors name the file and the mend, never the content.
func ReadSecretFile(path string) (probes.Secret, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return probes.Secret{}, fmt.Errorf("%s: no such file; write the secret alone into a file, run `chmod 600` on it and name it", path)
	}
	if err := CheckPrivate(path); err != nil {
		return probes.Secret{}, err
	}
	data, err := readRegular(path, maxSecret)
	if errors.Is(err, fs.ErrPermission) {
		return probes.Secret{}, fmt.Errorf("read %s: this user may not read it; run: chown %s %s", path, userName(), quoted(path))
	}
	if err != nil {
		return probes.Secret{}, fmt.Errorf("read %s: %s", path, reason(err))
	}
	secret, err := secretOf(string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	if err != nil {
		return probes.Secret{}, fmt.Errorf("read %s: %w", path, err)
	}
	return secret, nil
}

// userName is the user that this process runs as.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

func secretOf(text string) (probes.Secret, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return probes.Secret{}, errors.New("is empty; write the secret there, on one line")
	case strings.ContainsAny(text, "\r\n"):
		return probes.Secret{}, errors.New("holds more than one line; leave the secret alone there")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return probes.Secret{}, errors.New("holds control characters or is not UTF-8; save it as plain text")
	}
	return probes.NewSecret(text), nil
}

// readRegular reads a regular file of at most limit bytes. It never waits, as
// opening a pipe would.
func readRegular(path string, limit int64) ([]byte, error) {
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
		return nil, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, err
}
