package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/relay"
)

// A site without any link: its points go to the relay in a file, into a running
// relay and a stopped one, once, and not without a name to answer for them.
func TestArchiveByHand(t *testing.T) {
	env := newEnvironment(t)
	hub := newHub(t, env.URL(), "mqtt://127.0.0.1:1")
	text, err := os.ReadFile(hub.config)
	if err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	cert := func(args ...string) {
		t.Helper()
		edgehold(t, append([]string{"relay", "cert"}, args...)...).mustSay(t, 0)
	}
	ca := filepath.Join(certs, "ca")
	cert("ca", "--plain", "--ca", ca)
	for _, site := range []string{"plant-7", "plant-8"} {
		cert("site", site, "--ca", ca, "--out", filepath.Join(certs, site))
	}
	pem := func(site, end string) string { return filepath.Join(certs, site, site+end) }
	hub.file("edgehold.yaml", string(bytes.Replace(text, []byte("mqtt: {"), fmt.Appendf(nil, "mqtt: {ca_file: %q, ", filepath.Join(ca, "ca.pem")), 1)))

	s := newSite(t)
	sw := newSwitch(t, "127.0.0.1", goodCommunity)
	s.file("edgehold.yaml", fmt.Sprintf(`site: plant-7
state_dir: state
socket: control.sock
uplink:
  mqtt: {brokers: ["mqtt://127.0.0.1:1"]}
clock: {ntp: [%q]}
buffer: {commit_interval: 1s}
credentials:
  good: {community_file: community}
probes:
`, serveTime(t))+polled("1s", sw.Addr()))
	s.start()
	s.await("points in the store", func(st control.Status) bool { return st.Account.Buffered > 100 })
	s.agent.end(syscall.SIGTERM)
	file := func(name string) string { return filepath.Join(certs, name) }
	export := func(name string, args ...string) {
		t.Helper()
		edgehold(t, append([]string{"buffer", "export", "--config", s.config, "--blocks", file(name)}, args...)...).mustSay(t, 0)
	}
	export("good", "--cert-file", pem("plant-7", ".pem"), "--key-file", pem("plant-7", ".key"))
	export("other", "--cert-file", pem("plant-8", ".pem"), "--key-file", pem("plant-8", ".key"))
	export("unsigned", "--unsigned")
	good, err := os.ReadFile(file("good"))
	if err != nil {
		t.Fatal(err)
	}
	good[len(good)/3] ^= 1
	if err := os.WriteFile(file("altered"), good, 0o600); err != nil {
		t.Fatal(err)
	}
	take := func(name string, args ...string) result {
		t.Helper()
		return edgehold(t, append([]string{"relay", "import", file(name), "--config", hub.config}, args...)...)
	}
	refused := func() {
		t.Helper()
		take("altered").mustSay(t, 1, file("altered"), "archive")
		take("other").mustSay(t, 1, "of site plant-7", `"plant-8" has signed it`)
		take("unsigned").mustSay(t, 1, "nobody vouches", "--unsigned")
		take("none").mustSay(t, 1, "no such file")
	}
	counts := func(r result) (out relay.Imported) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.code != 0 {
			t.Fatalf("%v of %s", err, r.all())
		}
		return out
	}
	take("good").mustSay(t, 1, "start the relay first")
	hub.start()
	refused()
	if x := counts(take("good", "--json")); x.Site != "plant-7" || x.Signer != "plant-7" || x.New < 100 || x.New != x.Points || x.Known != 0 {
		t.Errorf("import %+v", x)
	}
	take("good").mustSay(t, 0, "signed by plant-7", "taken   0 points")
	if x := counts(take("unsigned", "--unsigned", "--json")); x.New != 0 || x.Known != x.Points || x.Signer != "" {
		t.Errorf("import of the same points %+v", x)
	}
	if left, err := os.ReadDir(filepath.Join(hub.dir, "state", "import")); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
	if st := hub.status(); len(st.Hub.Sites) != 1 || st.Hub.Sites[0].Account.Accepted != st.Account.Accepted || st.Account.Buffered+st.Account.Delivered < 100 {
		t.Errorf("sites %+v, account %+v", st.Hub.Sites, st.Account)
	}
	hub.agent.end(syscall.SIGTERM)
	refused()
	take("good").mustSay(t, 0, "taken   0 points")
	edgehold(t, "relay", "import", file("good"), "--config", s.config).mustSay(t, 1, "no configuration of a relay")
}
