package emulated

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

const testSectors = 64

func testDisk(t *testing.T) *VolatileDisk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, testSectors*sectorSize), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDisk(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ok fails the test at an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(b byte, sectors int) []byte { return bytes.Repeat([]byte{b}, sectors*sectorSize) }

// whole reads the disk after a cut.
func whole(t *testing.T, d *VolatileDisk) []byte {
	t.Helper()
	d.PowerOn()
	p := make([]byte, d.Size())
	ok(t, d.plug().read(p, 0))
	return p
}

// TestVolatileDisk: what was flushed stays, and what was not is, sector by
// sector, one of the things that it was since.
func TestVolatileDisk(t *testing.T) {
	seen := map[byte]bool{}
	for seed := range uint64(20) {
		d := testDisk(t)
		s := d.plug()
		ok(t, s.write(content(1, testSectors), 0, false))
		ok(t, s.flush())
		ok(t, s.write(content(2, testSectors/2), 0, false))
		ok(t, s.write(content(3, 1), 0, true))
		ok(t, s.write(content(4, testSectors/2-1), sectorSize, false))
		now := make([]byte, d.Size())
		ok(t, s.read(now, 0))
		if now[0] != 3 || now[sectorSize] != 4 || now[testSectors/2*sectorSize] != 1 {
			t.Fatalf("before the cut: %d %d %d", now[0], now[sectorSize], now[testSectors/2*sectorSize])
		}
		d.CutAfter(0, rand.New(rand.NewPCG(seed, 0)))
		after := whole(t, d)
		for n := range testSectors {
			sector := after[n*sectorSize : (n+1)*sectorSize]
			if !bytes.Equal(sector, content(sector[0], 1)) {
				t.Fatalf("sector %d is torn", n)
			}
			switch b := sector[0]; {
			case n == 0 && b != 3, n >= testSectors/2 && b != 1, b != 1 && b != 2 && b != 4 && n > 0:
				t.Fatalf("sector %d holds %d", n, b)
			default:
				seen[b] = true
			}
		}
	}
	for b := byte(1); b <= 4; b++ {
		if !seen[b] {
			t.Errorf("no sector held %d after any cut", b)
		}
	}
}

// TestVolatileDiskSessions: what a dead emulator still wanted is not done.
func TestVolatileDiskSessions(t *testing.T) {
	d := testDisk(t)
	s := d.plug()
	d.CutAfter(2, rand.New(rand.NewPCG(1, 0)))
	ok(t, s.write(content(1, 1), 0, true))
	if err := s.write(content(2, 1), sectorSize, true); !errors.Is(err, errNoPower) {
		t.Fatalf("the write that the power went with: %v", err)
	}
	if toll, dead := d.Dead(); !dead || toll.Cached != 0 {
		t.Fatalf("dead %v, toll %+v", dead, toll)
	}
	late := make(chan error)
	go func() { late <- s.write(content(9, 1), 0, true) }()
	after := whole(t, d)
	if err := <-late; !errors.Is(err, errNoPower) {
		t.Errorf("a write without power: %v", err)
	}
	if err := s.write(content(9, 1), 0, true); !errors.Is(err, errNoPower) {
		t.Errorf("a write of the life before: %v", err)
	}
	ok(t, d.plug().read(after, 0))
	if after[0] != 1 || after[sectorSize] != 2 {
		t.Errorf("the disk holds %d and %d", after[0], after[sectorSize])
	}
}

func TestVolatileDiskLies(t *testing.T) {
	d := testDisk(t)
	d.Lies = true
	s := d.plug()
	ok(t, s.write(content(1, testSectors), 0, true))
	ok(t, s.flush())
	d.CutAfter(0, rand.New(rand.NewPCG(1, 0)))
	if after := whole(t, d); !bytes.Equal(after, content(0, testSectors)) {
		t.Error("something survived")
	}
}
