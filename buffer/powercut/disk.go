package powercut

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// disk is the file behind the loop device. It logs what it is sent.
type disk struct {
	fs.Inode

	mu        sync.Mutex
	content   *image
	log       []request
	recording bool
}

// record starts the log and gives the content at its start.
func (d *disk) record() *image {
	d.mu.Lock()
	defer d.mu.Unlock()
	base := d.content
	d.content, d.recording = base.fork(), true
	return base
}

// position is the number of requests so far.
func (d *disk) position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// stop ends the log and gives it.
func (d *disk) stop() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recording = false
	return d.log
}

func (d *disk) take(r request) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.off+r.size() > d.content.size {
		return syscall.ENOSPC
	}
	if r.size() > 0 {
		r.apply(d.content, 0, r.size())
	}
	if d.recording {
		d.log = append(d.log, r)
	}
	return 0
}

// Getattr gives the size.
func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = 0o600, uint64(d.content.size), 4096
	return 0
}

// Open keeps the file out of the page cache.
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read reads.
func (d *disk) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p = p[:max(0, min(int64(len(p)), d.content.size-off))]
	d.content.readAt(p, off)
	return fuse.ReadResultData(p), 0
}

// Write logs a write.
func (d *disk) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	return uint32(len(p)), d.take(request{off: off, data: slices.Clone(p)})
}

// Fsync logs a flush.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return d.take(request{flush: true})
}

// Allocate logs a discard: loop devices send them so.
func (d *disk) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 {
		return syscall.EOPNOTSUPP
	}
	return d.take(request{off: int64(off), zeros: int64(size)})
}

type folder struct {
	fs.Inode
	d *disk
}

// OnAdd puts the disk into the folder.
func (r *folder) OnAdd(ctx context.Context) {
	r.AddChild("disk", r.NewPersistentInode(ctx, r.d, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}

// serve mounts a folder with the disk as its only file, and gives the path of
// that and what ends it.
func (d *disk) serve(dir string) (path string, end func() error, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, err
	}
	server, err := fs.Mount(dir, &folder{d: d}, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "powercut", MaxWrite: 1 << 20,
	}})
	if err != nil {
		return "", nil, fmt.Errorf("serve the disk: %w", err)
	}
	return filepath.Join(dir, "disk"), server.Unmount, nil
}
