package emulated

import (
	"strings"
	"testing"
	"time"
)

// TestDemo runs the demo within the memory of a small gateway. The binary and
// all files lie on the disk, so that their pages count.
func TestDemo(t *testing.T) {
	length := "45s"
	if short() {
		length = "15s"
	}
	for _, arch := range architectures() {
		t.Run(arch, func(t *testing.T) {
			disk := newDisk(t, 96, map[string][]byte{"edgehold": shipped(t, arch)})
			g := boot(t, Machine{Arch: arch, Modules: diskModules(), Disks: []Disk{{File: disk}}})
			must(t, g, "/init", "mount", "/dev/vda", "/data", "ext4")
			p := begin(t, g, Command{
				Args: []string{"/data/edgehold", "demo", "--length", length}, Env: []string{"TMPDIR=/data"}, Memory: memoryLimit,
			})
			r, err := p.Wait(limit(t, 4*time.Minute))
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, r.Out, g.Console())
			}
			t.Logf("the demo said:\n%s", r.Out)
			t.Logf("peak memory of the control group: %.1f MiB of %d MiB, page cache included; %d times at its limit",
				float64(r.Peak)/(1<<20), memoryLimit>>20, r.AtLimit)
			if r.Exit != 0 || !strings.HasSuffix(r.Out, "\n  lost 0\n  duplicated 0\n") {
				t.Errorf("it ended with %d", r.Exit)
			}
			if r.OOMKills != 0 || r.Peak == 0 || r.Peak > memoryLimit {
				t.Errorf("%d programs were killed for want of memory, the peak was %d bytes", r.OOMKills, r.Peak)
			}
		})
	}
}
