package buffer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const smallDiskVariable = "EDGEHOLD_BUFFER_TEST_DISK"

// onSmallDisk runs the test in a process that has a small disk of its own, in
// namespaces, which needs no root. In that process it gives the disk's folder.
func onSmallDisk(t *testing.T) (dir string) {
	t.Helper()
	if dir = os.Getenv(smallDiskVariable); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), smallDiskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: no user namespace can be made here (%v), small disks are not tested", err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out.String())
	}
	return ""
}

// TestForeignFileFillsDisk has something else take the whole disk for a while.
func TestForeignFileFillsDisk(t *testing.T) {
	dir := onSmallDisk(t)
	if dir == "" {
		return
	}
	r := start(t, func(o *Options) { o.Path = filepath.Join(dir, "buffer.db") })
	r.append(r.noise(0, 1000)...)
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, make([]byte, 32<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the foreign file: %v", err)
	}
	const batch = 5000
	n, waiting := 1000, (*Ticket)(nil)
	for waiting == nil { // into what is reserved, until that is full too
		n += batch
		ticket := r.Enqueue(r.noise(n, batch))
		within(t, "a commit ends, well or not", func() bool { return ticket.ended() || r.Stat().Alarm != "" })
		if r.Stat().Alarm != "" {
			waiting = ticket
		}
	}
	if alarm := r.Stat().Alarm; !strings.Contains(alarm, "disk is full") {
		t.Errorf("alarm %q", alarm)
	}
	accepted := int64(n - batch)
	if a := r.Account(); a.Accepted != accepted {
		t.Errorf("account %+v, want %d accepted", a, accepted)
	}
	more := r.Enqueue(r.noise(n+batch, 100))
	if waiting.ended() || more.ended() {
		t.Error("Enqueue has waited for the disk")
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	for _, ticket := range []*Ticket{waiting, more} {
		if err := ticket.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the alarm ends", func() bool { return r.Stat().Alarm == "" })
	accepted += batch + 100
	r.account(Account{Accepted: accepted, Buffered: accepted})
	r.reopen()
	r.leaseAll(accepted)
}

// leaseAll expects so many points, each once.
func (r *rig) leaseAll(want int64) {
	r.t.Helper()
	seen := make(map[int]bool)
	for l := r.lease(10_000); l != nil; l = r.lease(10_000) {
		for _, v := range values(l) {
			seen[v] = true
		}
		r.settle(l, Settlement{Outcome: Delivered})
	}
	if int64(len(seen)) != want {
		r.t.Errorf("%d different points are there, want %d", len(seen), want)
	}
}

// TestReadOnlyDisk starts on a disk that is mounted read-only, and again after
// it is writable. While a store is open the kernel refuses to make its disk
// read-only; what it does after errors of the disk, TestCallFails does.
func TestReadOnlyDisk(t *testing.T) {
	dir := onSmallDisk(t)
	if dir == "" {
		return
	}
	remount := func(flags uintptr) error { return unix.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "") }
	r := start(t, func(o *Options) { o.Path = filepath.Join(dir, "buffer.db") })
	r.append(r.noise(0, 1000)...)
	if err := remount(syscall.MS_RDONLY); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("remount of a disk in use: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := remount(syscall.MS_RDONLY); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(r.o); err == nil || !strings.Contains(err.Error(), "mount it writable") {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("open on a read-only disk: %v", err)
	}
	if err := remount(0); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.append(r.noise(1000, 1000)...)
	r.account(Account{Accepted: 2000, Buffered: 2000})
	r.leaseAll(2000)
}
