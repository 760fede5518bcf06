package main_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Ctrl-C during a scan prints what was found until then.
func TestE2EDiscoverStopped(t *testing.T) {
	s := newSite(t)
	device := newSwitch(t, "127.79.0.1", goodCommunity)
	_, port, _ := net.SplitHostPort(device.Addr())
	cmd := exec.Command(program(t), "snmp", "discover", "127.79.0.0/22", "--community-file", filepath.Join(s.dir, "community"),
		"--port", port, "--packets-per-second", "40", "--write", filepath.Join(s.dir, "found.yaml"))
	p := launch(t, cmd, filepath.Join(s.dir, "discover.log"))
	eventually(t, "the device to be identified", func() bool { return device.Requests().GetBulk >= 2 })
	r := p.end(syscall.SIGINT)
	r.mustSay(t, 1, "e2e-switch", device.Addr(), "stopped before the end", "found.yaml: 1 device")
	if strings.Contains(r.all(), goodCommunity) || strings.Contains(r.err, "\r") {
		t.Errorf("a secret, or a bar where there is no terminal:\n%s", r.all())
	}
}
