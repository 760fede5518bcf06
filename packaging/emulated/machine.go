package emulated

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Machine is what to emulate.
type Machine struct {
	Arch    string            // armv7 or arm64
	Board   string            // virt (the default), sabrelite, raspi2b or raspi3b
	Dir     string            // for its sockets and first file system: a new folder with a short path
	Modules []string          // of the kernel, with what they depend on
	Files   map[string][]byte // into its first file system, by absolute path, executable
	Disks   []Disk            // /dev/vda and following, on the board virt
	Args    []string          // more for QEMU
	Nodes   map[string][]Node // more of the device tree, below the node of that name; not on the board virt
}

// Disk is a file with the content of a disk, or a socket where one is served.
// A file is written through the host's page cache.
type Disk struct {
	File string
	NBD  string
}

// Boot starts the machine and waits until its /init takes orders.
func (m Machine) Boot(ctx context.Context) (*Guest, error) {
	cmd, err := m.command(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up %s %s: %w", m.Arch, m.Board, err)
	}
	g, err := start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s %s: %w", m.Arch, m.Board, err)
	}
	if err := g.ready(ctx, m.socket()); err != nil {
		g.Kill()
		return nil, fmt.Errorf("boot %s %s: %w; the console's last words:\n%s", m.Arch, m.Board, err, g.Console())
	}
	return g, nil
}

func (m Machine) socket() string { return filepath.Join(m.Dir, "qmp") }

func (m Machine) command(ctx context.Context) (*exec.Cmd, error) {
	if m.Board == "" {
		m.Board = "virt"
	}
	a, err := archOf(m.Arch)
	if err != nil {
		return nil, err
	}
	b, err := boardOf(m.Arch, m.Board)
	if err != nil {
		return nil, err
	}
	k, err := kernelOf(ctx, a)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(m.Dir, "initrd")
	if err := m.pack(ctx, k, initrd); err != nil {
		return nil, err
	}
	args := append(b.args, "-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot",
		"-qmp", "unix:"+m.socket()+",server=on,wait=off",
		"-kernel", k.image, "-initrd", initrd,
		"-append", "console="+b.console+" quiet panic=-1")
	switch {
	case b.dtb == "" && len(m.Nodes) > 0:
		return nil, fmt.Errorf("the emulator makes the device tree of the board %s, nothing can be added", m.Board)
	case b.dtb != "":
		tree, err := m.tree(filepath.Join(k.dtbs, b.dtb))
		if err != nil {
			return nil, err
		}
		args = append(args, "-dtb", tree)
	}
	for i, d := range m.Disks {
		args = append(args, "-drive", fmt.Sprintf("if=none,id=disk%d,%s", i, d),
			"-device", fmt.Sprintf("virtio-blk-device,drive=disk%d", i))
	}
	cmd := exec.Command(a.emulator, append(args, m.Args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// tree makes the device tree of the board's, and of what is added to it.
func (m Machine) tree(path string) (string, error) {
	tree, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for parent, nodes := range m.Nodes {
		if tree, err = graft(tree, parent, nodes); err != nil {
			return "", fmt.Errorf("change %s: %w", path, err)
		}
	}
	to := filepath.Join(m.Dir, "tree")
	return to, os.WriteFile(to, tree, 0o600)
}

// String is the disk as QEMU's option.
func (d Disk) String() string {
	if d.NBD != "" {
		return "driver=nbd,server.type=unix,server.path=" + d.NBD
	}
	return "format=raw,cache=writeback,file=" + d.File
}

// pack makes the first file system: our /init, the modules in their order, and
// the machine's own files.
func (m Machine) pack(ctx context.Context, k kernel, to string) error {
	files := maps.Clone(m.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	s, err := newShelf(k.modules)
	if err != nil {
		return fmt.Errorf("find the kernel's modules: %w", err)
	}
	modules, err := s.order(m.Modules)
	if err != nil {
		return err
	}
	for i, path := range modules {
		name := fmt.Sprintf("/modules/%03d-%s", i, filepath.Base(path))
		if files[name], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	if files["/init"], err = m.program(ctx); err != nil {
		return err
	}
	return saveArchive(to, files)
}

// program builds the folder guest for the machine. Kept at its place, it is linked
// again only when it has changed.
func (m Machine) program(ctx context.Context) ([]byte, error) {
	a, err := archOf(m.Arch)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cache(), "guest-"+m.Arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+a.goarch, "GOARM="+a.goarm)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build /init: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return os.ReadFile(path)
}
