// Package powercut pulls the plug on the buffer. A disk that lives in memory
// is served through FUSE and a loop device and carries a real file system; each
// write, flush and discard that the kernel sends to it is logged. On it a child
// process puts the store to work, and says what the store has acknowledged.
// Then the disk is built again as a power cut at a random moment may have left
// it: with all that was flushed and any part of what was not. It is mounted,
// and a fresh process opens the store and holds it against what was said.
//
// The module is for tests only, so that its libraries never become part of what
// is shipped. It needs root, /dev/fuse and loop devices:
//
//	cd buffer/powercut && go test ./...
//
// EDGEHOLD_SOAK=1 tries many more moments. EDGEHOLD_POWERCUT_SEED=N makes the
// same choices again; the moments at which the kernel writes back on its own
// still differ. EDGEHOLD_POWERCUT_KEEP=FOLDER keeps the disks that failed, each
// with what the child had said until then, so that they can be mounted.
package powercut
