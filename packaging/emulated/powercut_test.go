package emulated

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// dice are the choices of a test. They are made again for the same seed.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

const diskMegabytes = 48

// mostWrites is more than a commit takes, so that the cuts fall anywhere in it.
const mostWrites = 16

// volatile makes a site with a disk whose cache forgets.
func volatile(t *testing.T, arch string, lies bool) *site {
	t.Helper()
	d, err := LoadDisk(newDisk(t, diskMegabytes, nil))
	if err != nil {
		t.Fatal(err)
	}
	d.Lies = lies
	socket := filepath.Join(scratch(t), "nbd")
	server, err := Serve(d, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() }) // after the emulators, which started later
	s := newSite(t, arch)
	s.disk = Disk{NBD: socket}
	s.cut = func(g *Guest, writes int) string {
		d.CutAfter(writes, s.random)
		eventually(t, "the power to go", func() bool { _, dead := d.Dead(); return dead })
		g.Kill()
		toll, _ := d.Dead()
		d.PowerOn()
		return fmt.Sprintf("%d writes later, with %d sectors in the cache, of which %d were lost", writes, toll.Cached, toll.Lost)
	}
	return s
}

// killed makes a site whose emulator is killed, with a file as its disk.
func killed(t *testing.T, arch string) *site {
	t.Helper()
	s := newSite(t, arch)
	s.disk = Disk{File: newDisk(t, diskMegabytes, nil)}
	s.cut = func(g *Guest, _ int) string { g.Kill(); return "the emulator was killed" }
	return s
}

// cuts is how often the power goes.
func cuts(usual, long int) int {
	switch {
	case soak():
		return long
	case short():
		return min(usual, 2) // the second one while the backlog drains
	}
	return usual
}

func TestPowerCut(t *testing.T) {
	for _, arch := range architectures() {
		t.Run(arch+" volatile cache", func(t *testing.T) { survive(volatile(t, arch, false), cuts(3, 30)) })
		t.Run(arch+" killed", func(t *testing.T) {
			onlyLong(t) // TestLine kills, too
			survive(killed(t, arch), cuts(1, 10))
		})
	}
}

// survive cuts the power so many times, each second time while the backlog
// drains; nothing that was acknowledged may be lost.
func survive(s *site, cuts int) {
	for n := range cuts {
		g, findings := s.start()
		if len(findings) > 0 {
			s.t.Fatal(findings)
		}
		s.run(g, n%2 == 1)
		s.work(g)
	}
	g, findings := s.start()
	if len(findings) > 0 {
		s.t.Fatal(findings)
	}
	s.run(g, true)
	s.drain(g)
}

// TestLyingDisk shows that the test above can fail: a disk that does not do
// what it is told must be found out.
func TestLyingDisk(t *testing.T) {
	onlyLong(t)
	s := volatile(t, "arm64", true)
	g, findings := s.start()
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	s.run(g, false)
	s.work(g)
	if _, findings = s.start(); len(findings) == 0 {
		t.Fatal("the disk lost what it had confirmed, and nobody noticed")
	}
	t.Logf("found out: %q", findings)
}

// TestWriter does the same with the smallest program that can do it right or
// wrong.
func TestWriter(t *testing.T) {
	onlyLong(t)
	for _, how := range []string{"sync", "nosync"} {
		t.Run(how, func(t *testing.T) {
			s := volatile(t, "arm64", false)
			g, findings := s.start()
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			p := begin(t, g, Command{Args: []string{"/init", "write", "/data/records", how}})
			eventually(t, "some records", func() bool { return parse[int](t, p.LastLine()) > 100 })
			became := s.cut(g, 0)
			acked := parse[int](t, p.LastLine())
			t.Logf("cut: %s", became)
			g, findings = s.start()
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			there := parse[int](t, must(t, g, "/init", "records", "/data/records"))
			t.Logf("%d records had been written, %d are there", acked, there)
			if lost := there < acked; lost != (how == "nosync") {
				t.Errorf("%s: lost is %v", how, lost)
			}
		})
	}
}
