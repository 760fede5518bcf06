package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
)

const (
	pageSize = 4096 // the most that an attribute holds
	// The runtime sends signals of its own, and a conversion on a 1-wire bus ends
	// with the first one.
	mostInterrupts = 20
)

// readText reads an attribute without blanks at its ends. It takes plain system
// calls: drivers answer EAGAIN, for which a file of package os waits for ever.
func readText(path string) (string, error) {
	var err error
	for range mostInterrupts {
		var text string
		if text, err = readOnce(path); !errors.Is(err, unix.EINTR) {
			return text, err
		}
	}
	return "", err
}

func readOnce(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	page := make([]byte, pageSize)
	n, err := unix.Read(fd, page)
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(page[:n])), nil
}

func readNumber(path string) (float64, error) {
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("read %s: %.40q is not a number", path, text)
	}
	return n, nil
}

// isSet tells whether an attribute is there and says 1.
func isSet(path string) bool {
	text, err := readText(path)
	return err == nil && text == "1"
}

// chip is a device of a class, by what stays of it.
type chip struct {
	dir    string
	name   string // what it is, as in tmp421
	device string // where it sits, as in 1-004c; "": nobody knows
}

func (c chip) String() string {
	if c.device == "" {
		return c.name
	}
	return c.name + "@" + c.device
}

// entries lists the folders of a class; one that is not there has none.
func entries(class string) ([]string, error) {
	list, err := os.ReadDir(class)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", class, err)
	}
	var dirs []string
	for _, e := range list {
		dirs = append(dirs, filepath.Join(class, e.Name()))
	}
	return dirs, nil
}

// choose finds the chip of an address.
func choose(part, address string, chips []chip) (chip, error) {
	var found, named []string
	var one chip
	for _, c := range chips {
		found = append(found, c.String())
		name, device, at := strings.Cut(address, "@")
		if c.name == name && (!at || c.device == device) {
			named = append(named, c.String())
			one = c
		}
	}
	switch {
	case len(named) == 1:
		return one, nil
	case len(named) > 1:
		return one, probes.WithStatus(probes.StatusInvalidConfigError,
			fmt.Errorf("%d parts of %s are named %s: write one of %s as address", len(named), part, address, strings.Join(named, ", ")))
	case len(found) == 0:
		return one, gone("%s %s is not there, and no other one: load its driver, or tell the kernel where it is (device tree, new_device)", part, address)
	}
	return one, gone("%s %s is not there: look at its wires and its driver; there are %s", part, address, strings.Join(found, ", "))
}

// digits is how many of them s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
