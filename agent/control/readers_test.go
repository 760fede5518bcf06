package control

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestReadersOfTheSocket gives the socket to the group of those who may ask.
func TestReadersOfTheSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to give a file to a group")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	group := func() int {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Sys().(*syscall.Stat_t).Gid)
	}
	before := group()
	giveToReaders(path, func(string) (*user.Group, error) { return nil, user.UnknownGroupError("x") })
	if got := group(); got != before {
		t.Errorf("without that group it is of group %d, was of %d", got, before)
	}
	const gid = 54321
	giveToReaders(path, func(name string) (*user.Group, error) {
		if name != "edgehold-status" {
			t.Errorf("asked for group %q", name)
		}
		return &user.Group{Gid: strconv.Itoa(gid)}, nil
	})
	if got := group(); got != gid {
		t.Errorf("it is of group %d, not of %d", got, gid)
	}
}
