package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is the folder that is measured in and the block device below it.
type disk struct{ Dir, Device string }

// traffic is what a block device was asked to do.
type traffic struct{ Bytes, Flushes int64 }

func (t traffic) minus(o traffic) traffic { return traffic{t.Bytes - o.Bytes, t.Flushes - o.Flushes} }

// settle has the file system write all that it holds back, journal included.
func (d disk) settle() error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return fmt.Errorf("settle file system: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("settle file system: %w", err)
	}
	return nil
}

// count reads what the device has done so far; nothing without a device.
func (d disk) count() (traffic, error) {
	if d.Device == "" {
		return traffic{}, nil
	}
	if err := d.settle(); err != nil {
		return traffic{}, err
	}
	// Documentation/block/stat.rst: 7th field sectors of 512 bytes written, 16th flushes.
	data, err := os.ReadFile(filepath.Join("/sys/block", d.Device, "stat"))
	if err != nil {
		return traffic{}, fmt.Errorf("count device: %w", err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < 16 {
		return traffic{}, fmt.Errorf("count device: %s has %d fields, this kernel counts no flushes", d.Device, len(fields))
	}
	sectors, _ := strconv.ParseInt(fields[6], 10, 64)
	flushes, _ := strconv.ParseInt(fields[15], 10, 64)
	return traffic{Bytes: sectors * 512, Flushes: flushes}, nil
}

// anonymous is the RssAnon of this process, in bytes.
func anonymous() int64 {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// uncache has the kernel forget the pages of a file, so that opening it reads.
func uncache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
