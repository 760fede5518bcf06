package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/sign"
)

// handedOn takes the deny list out of the folder of the roots, as a relay would
// hand it on.
func (s *trustSite) handedOn() []byte {
	s.t.Helper()
	var files [2][]byte
	for i, name := range []string{"deny.json", "deny.json.sig"} {
		path := filepath.Join(s.roots, name)
		data, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
		files[i] = data
	}
	paper, err := json.Marshal(map[string][]byte{"list": files[0], "sig": files[1]})
	if err != nil {
		s.t.Fatal(err)
	}
	return paper
}

// A deny list that a relay hands on is in force where a root of this site
// stands behind it, and only there.
func TestDenyListOfARelay(t *testing.T) {
	s, other := newTrustSite(t, "192.0.2.1:161"), newTrustSite(t, "192.0.2.1:161")
	cfg := s.config(signedFor(90)(s))
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	a := &Agent{cfg: cfg, atStart: cfg, log: zerolog.Nop()}
	at := sign.Moment{Time: time.Now(), Trusted: true}
	key := newWarden(cfg, wardenOptions{at: at, state: cfg.StateDir}).key()
	other.deny("1.2.3")
	for _, paper := range [][]byte{other.handedOn(), []byte("{"), []byte("{}")} {
		a.takeDenyList(paper)
	}
	if r := entriesAt(cfg, at)[0].refusal(); r != nil || a.denied.Load() {
		t.Fatalf("a list of somebody else counts: %+v", r)
	}
	s.deny("1.2.3")
	paper := s.handedOn()
	a.takeDenyList(paper)
	if r := entriesAt(cfg, at)[0].refusal(); r == nil || r.Rule != sign.RuleDenied || !a.denied.Swap(false) {
		t.Fatalf("%+v", r)
	}
	w := newWarden(cfg, wardenOptions{at: at, state: cfg.StateDir})
	if w.key() == key {
		t.Error("what was judged before still counts")
	}
	for _, text := range w.complaints(at) {
		if strings.Contains(text, "deny list") {
			t.Errorf("a person is told to mend what is right: %s", text)
		}
	}
	if a.takeDenyList(paper); a.denied.Load() {
		t.Error("the same list is news")
	}
}
