package main_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/courier/probe"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/sign/mtls"
)

// TestE2ERelayProbe tries the broker that the examples configure, and one that
// is not fit.
func TestE2ERelayProbe(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	site := filepath.Join(f.dir, "site-a", "site-a")
	args := []string{
		"relay", "probe", "--broker", "mqtts://" + f.addr, "--ca", filepath.Join(f.ca.Dir, mtls.RootName),
		"--cert", site + ".pem", "--key", site + ".key", "--mb", "8", "--json",
	}
	r := finish(t, exec.Command(program(t), args...))
	var reports []probe.Report
	if err := json.Unmarshal([]byte(r.out), &reports); r.code != 0 || err != nil || len(reports) != 1 {
		t.Fatalf("exit code %d, %v\n%s", r.code, err, r.all())
	}
	if got := reports[0]; got.Site != "site-a" || got.LargestOK != 120<<10 || got.Lost != 0 || len(got.Checks) < 9 {
		t.Errorf("%+v", got)
	}
	for _, c := range reports[0].Checks {
		if want := probe.OK; c.Status != want && c.Name != "relay" {
			t.Errorf("%+v", c)
		}
	}
	bad := mqtttest.Start(t, mqtttest.Options{Lines: []string{"max_packet_size 20000"}})
	r = finish(t, exec.Command(program(t), "relay", "probe", "--broker", bad.URL(), "--site", "x", "--only", "size"))
	if r.code != 3 || !strings.Contains(r.out, "FAIL") || !strings.Contains(r.out, "max_packet_size 262144") {
		t.Errorf("exit code %d\n%s", r.code, r.all())
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--broker mqtt://127.0.0.1:1 --site x", 3, "nothing listens there"},
		{"--broker mqtt://127.0.0.1:1", 2, "--site"},
		{"--broker mqtt://127.0.0.1:1 --site a/b", 2, "--site"},
		{"--broker mqtt://127.0.0.1:1 --site x --only nonsense", 2, "want some of size"},
		{"--config /nonexistent.yaml", 78, "nonexistent"},
		{"--mb 0", 2, "--mb 0"},
	} {
		r := finish(t, exec.Command(program(t), append([]string{"relay", "probe"}, strings.Fields(c.args)...)...))
		if r.code != c.code || !strings.Contains(r.all(), c.says) {
			t.Errorf("%s: exit code %d, want %d\n%s", c.args, r.code, c.code, r.all())
		}
	}
}

// TestE2ERelayCert is what the manual does not show of the certificates.
func TestE2ERelayCert(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(code int, says, args string) {
		t.Helper()
		cmd := exec.Command(program(t), append([]string{"relay", "cert"}, strings.Fields(args)...)...)
		cmd.Dir = dir
		if r := finish(t, cmd); r.code != code || !strings.Contains(r.all(), says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", args, r.code, code, says, r.all())
		}
	}
	run(1, "relay cert ca", "ls")
	run(0, "can pose as every site", "ca --plain")
	run(1, "not empty", "ca --plain")
	run(2, "--dns mqtt.example.com", "broker hub")
	run(2, "taken by the topics of relays", "site relay")
	run(2, "--out is for one name", "site a b --out x")
	run(0, "a/a.pem", "site a")
	run(1, "--renew", "site a")
	run(1, "was issued to a site", "relay a --force")
	run(0, `"role": "site"`, "ls --json")
	run(0, `"name": "a"`, "show a/a.pem --json")
	run(1, "no file and no name", "show nobody")
	run(0, "b/b.csr", "request b")
	run(1, "not overwritten", "request b")
	run(2, "want site or relay", "sign b/b.csr --role broker")
	run(0, "id: b", "sign b/b.csr --role relay")
	run(1, "no certificate", "revoke nobody")
	run(0, "revoked site a", "revoke a")
	run(0, "list number 3", "revoke")
	run(2, "not both", "revoke a --serial 1")
}
