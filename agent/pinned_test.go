package agent

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// Two configurations in one file, each for a version of its own: each runs with
// that version, and a later look finds nothing new about either.
func TestEachConfigurationRunsItsVersion(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	by := s.signer(s.root, "network", 90)
	at := sign.Moment{Time: time.Now(), Trusted: true}
	cfg := s.config("")
	installed, err := store.Open(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWarden(cfg, wardenOptions{at: at})
	for _, version := range []string{"1.2.3", "1.2.4"} {
		bundle, err := os.ReadFile(s.bundle(by, func(m string) string { return strings.Replace(m, "1.2.3", version, 1) }))
		if err != nil {
			t.Fatal(err)
		}
		_, verdict, err := w.trust.OpenBytes("b", bundle, sign.DefaultLimits(), at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := installed.Install(store.Candidate{Bundle: bundle, Name: "custom:rack", Version: version, Verdict: verdict}); err != nil {
			t.Fatal(err)
		}
	}
	one := strings.Trim(strings.TrimSpace(activationJSON("192.0.2.1:161", "SNMPv2c", "public")), "[]")
	two := strings.Replace(one, "192.0.2.1", "192.0.2.2", 1)
	text := "[" + strings.Replace(one, "%VERSION%", "1.2.3", 1) + "," + strings.Replace(two, "%VERSION%", "1.2.4", 1) + "," + strings.Replace(two, "%VERSION%", "7.0.0", 1) + "]"
	cfg.Extensions = []config.Extension{{Package: "custom:rack", Name: "custom:rack", Configuration: write(t, s.activate, text), Where: "test.yaml:1:1"}}
	b := builder{warden: w}
	got := b.Build(cfg)
	if len(got) != 3 || got[0].Judged.Version != "1.2.3" || got[1].Judged.Version != "1.2.4" || len(got[0].Tasks) == 0 || len(got[1].Tasks) == 0 {
		for _, e := range got {
			t.Errorf("%s: version %s, %d tasks, %v", e.Name, e.Judged.Version, len(e.Tasks), e.Err)
		}
		t.FailNow()
	}
	if got[0].Tasks[0].Package != got[1].Tasks[0].Package {
		t.Error("two versions of one package have slots of their own")
	}
	for _, want := range []string{"7.0.0", "which decides what runs", "edgehold ext install", `"1.2.4"`} {
		if got[2].Err == nil || !strings.Contains(got[2].Err.Error(), want) {
			t.Errorf("a version that is not installed: %v, want %q in it", got[2].Err, want)
		}
	}
	if w.differs(got[:2], true) {
		t.Error("nothing has changed, and it is thought otherwise")
	}
	w.forget()
	if _, err := installed.Activate("custom:rack", "1.2.3", true); err != nil {
		t.Fatal(err)
	}
	if again := b.Build(cfg); again[0].Judged.Version != "1.2.3" || again[1].Judged.Version != "1.2.4" || again[1].Tasks[0].Same != got[1].Tasks[0].Same {
		t.Error("another active version changes what is pinned")
	}
}
