package board

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/host/v3/fs"
)

// kernel is what opens device files, so that tests can stand in for it.
type kernel interface {
	open(path string) (device, error)
	wrap(f *os.File) device // what is open already; it stays with the runtime's poller
}

// device is an open device file.
type device interface {
	// Ioctl hands arg over. It, and what it points to, is on the heap.
	Ioctl(op uint, arg unsafe.Pointer) error
	// Set is an ioctl whose argument is a number.
	Set(op uint, value uintptr) error
	Close() error
}

func (p Paths) ask() kernel {
	if p.kernel == nil {
		return realKernel{}
	}
	return p.kernel
}

type realKernel struct{}

func (realKernel) open(path string) (device, error) {
	f, err := fs.Open(path, os.O_RDWR|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return deviceFile{f}, nil
}

func (realKernel) wrap(f *os.File) device { return polledFile{f} }

type deviceFile struct{ file *fs.File }

func (d deviceFile) Ioctl(op uint, arg unsafe.Pointer) error {
	return ioctl(d.file, op, uintptr(arg))
}

func (d deviceFile) Set(op uint, value uintptr) error { return d.file.Ioctl(op, value) }
func (d deviceFile) Close() error                     { return d.file.Close() }

// ioctl makes the compiler keep what arg points to on the heap and alive: a
// number alone would not, and stacks move.
//
//go:uintptrescapes
func ioctl(f *fs.File, op uint, arg uintptr) error { return f.Ioctl(op, arg) }

// polledFile does not take the file off the runtime's poller, as deviceFile does.
type polledFile struct{ *os.File }

func (l polledFile) Ioctl(op uint, arg unsafe.Pointer) error {
	conn, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, uintptr(op), uintptr(arg))
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}

func (l polledFile) Set(uint, uintptr) error { return unix.ENOTTY }

// access tells why a device file cannot be opened, and the mend. The group is
// also the name of the drop-in for the service.
func access(path, group string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("no right to open %s: put the user in the group %s; the service needs the drop-in %s.conf (/usr/share/edgehold/dropins/README): %w", path, group, group, bare(err))
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%s is not there: the service sees it only with the drop-in %s.conf (/usr/share/edgehold/dropins/README): %w", path, group, bare(err))
	}
	return fmt.Errorf("open %s: %w", path, bare(err))
}

// bare takes the path off that the text around the error names already.
func bare(err error) error {
	var with *os.PathError
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}
