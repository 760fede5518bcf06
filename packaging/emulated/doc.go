// Package emulated runs programs in whole emulated machines: QEMU without
// acceleration, the kernel of a Debian package, and an /init of our own. So the
// ARM binaries meet a real kernel of their kind, with its memory limits, its
// buses and its watchdogs, and the power can be cut.
//
//	m := emulated.Machine{Arch: "arm64", Dir: t.TempDir(), Modules: []string{"virtio_mmio"}}
//	g, err := m.Boot(ctx)
//	defer g.Kill()
//	r, err := g.Run(ctx, "/init", "cat", "/proc/version") // r.Exit, r.Out
//	_, err = g.QMP("system_powerdown", nil)
//
// In the guest, /init is the only program beside what Machine.Files brings. It
// serves orders on the console and is a box of small tools as well: see the
// folder guest.
//
// The module is for tests only. It needs qemu-system-arm, apt and mkfs.ext4, no
// root and no network other than Debian's mirror, once:
//
//	packaging/setup.sh emulated
//	packaging/cross.sh armv7 arm64
//	cd packaging/emulated && go test ./...
//
// Kernels are kept unpacked in .tools/emulated, or in the folder that
// EDGEHOLD_EMULATED_CACHE names. The whole takes about ten minutes; with
// EDGEHOLD_EMULATED=short it takes less than four: one architecture for each test,
// fewer cuts, a shorter demo, no Raspberry Pi, and no disks that lie.
// EDGEHOLD_SOAK=1 cuts the power many more times, EDGEHOLD_EMULATED_SEED=N makes
// the same choices again.
package emulated
