package main_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
)

// decoded reads the JSON that a command printed.
func decoded[T any](t *testing.T, r result) (out T) {
	t.Helper()
	r.mustSay(t, 0)
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatalf("%v in:\n%s", err, r.all())
	}
	return out
}

// cutOffSite is an agent that has filled its store without an uplink.
func cutOffSite(t *testing.T) (s *site, device string) {
	t.Helper()
	sw := newSwitch(t, "127.0.2.1", goodCommunity)
	s = newSite(t)
	env := newEnvironment(t)
	env.SetToken("another one") // it tells the time and takes nothing
	s.yaml(env.URL(), "probes:\n", polled("1s", sw.Addr()))
	s.start()
	s.await("some polls in the store", func(st control.Status) bool { return st.Clock.Trusted && st.Account.Buffered > 150 })
	return s, sw.Addr()
}

// The commands give the same of a running agent's store as of a stopped one's.
func TestE2EBuffer(t *testing.T) {
	t.Parallel()
	s, device := cutOffSite(t)
	host, _, _ := strings.Cut(device, ":")
	store := filepath.Join(s.dir, "state", "edgehold.db")
	until := time.Now()
	before := s.status().Account.Accepted
	s.await("what was measured until now to be committed", func(st control.Status) bool { return st.Account.Accepted > before+60 })

	st := decoded[export.Stat](t, edgehold(t, "buffer", "stat", "--json", "--config", s.config))
	if !st.Running || st.Path != store || st.Account.Check() != nil || st.Series == 0 || st.BytesPerPoint <= 0 {
		t.Errorf("stat: %+v", st)
	}
	edgehold(t, "buffer", "stat", "--socket", s.socket).mustSay(t, 0, "of the running agent", "account", "bytes in use for each point")
	edgehold(t, "buffer", "verify", "--config", s.config).mustSay(t, 0, "good", "account")
	edgehold(t, "buffer", "stat", "--file", store).mustSay(t, 1, "in use by a running agent", "leave out --file")

	choice := []string{"--config", s.config, "--until", until.Format(time.RFC3339Nano), "--device", host}
	running := map[string]string{}
	for _, format := range export.Formats {
		running[format] = edgehold(t, append([]string{"buffer", "export", "--format", format}, choice...)...).out
	}
	rows, err := csv.NewReader(strings.NewReader(running["csv"])).ReadAll()
	if err != nil || len(rows) < 100 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if lines := strings.Count(running["mint"], "\n"); lines != len(rows)-1 {
		t.Errorf("%d metric lines, %d rows", lines, len(rows)-1)
	}
	wantHistory(t, s, device)

	if r := s.agent.end(syscall.SIGTERM); r.code != 0 {
		t.Fatalf("the agent ended with %d", r.code)
	}
	edgehold(t, "buffer", "stat", "--config", s.config).mustSay(t, 0, "of a stopped agent", store)
	edgehold(t, "buffer", "verify", "--file", store).mustSay(t, 0, "good")
	for _, format := range export.Formats {
		file := filepath.Join(s.dir, "out."+format)
		edgehold(t, append([]string{"buffer", "export", "--format", format, "-o", file}, choice...)...).mustSay(t, 0, "points in "+file)
		text, err := os.ReadFile(file)
		if err != nil || string(text) != running[format] {
			t.Errorf("%s: %v, %d bytes of the stopped agent, %d of the running one", format, err, len(text), len(running[format]))
		}
	}
	wantHistory(t, s, device)
	edgehold(t, "buffer", "stat", "--socket", s.socket).mustSay(t, 1, "no agent runs")
	edgehold(t, "buffer", "stat", "--file", filepath.Join(s.dir, "nothing.db")).mustSay(t, 1, "there is no store", "--config")
}

func wantHistory(t *testing.T, s *site, device string) {
	t.Helper()
	host, _, _ := strings.Cut(device, ":")
	edgehold(t, "history", device, "--config", s.config).mustSay(t, 0, uptimeKey, "0 % delivered or otherwise done with", "points wait to be sent since", "device.address="+host)
	edgehold(t, "history", host, "sysuptime", "--ascii", "--since", "1h", "--config", s.config).mustSay(t, 0, uptimeKey, " |", "*", "last ", "gauge")
	edgehold(t, "history", host+"9", "--config", s.config).mustSay(t, 1, "holds nothing of a device", "devices that are there: ", host)
	edgehold(t, "history", host, "sysuptme", "--config", s.config).mustSay(t, 1, "holds no metric", "metrics that are there: ")
	edgehold(t, "history", host, "--since", "yesterday", "--config", s.config).mustSay(t, 2, "--since", "7d")
	h := decoded[export.History](t, edgehold(t, "history", host, "sysuptime", "--json", "--config", s.config))
	if len(h.Series) != 1 || h.Series[0].Points < 3 || len(h.Series[0].Table) < 2 || h.Series[0].LastValue <= 0 {
		t.Errorf("history: %+v", h)
	}
}

func TestE2EPurge(t *testing.T) {
	t.Parallel()
	s, _ := cutOffSite(t)
	edgehold(t, "buffer", "purge", "--config", s.config).mustSay(t, 2, "dead-letters")
	edgehold(t, "buffer", "purge", "--dead-letters=false", "--config", s.config).mustSay(t, 2, "nothing is named")
	edgehold(t, "buffer", "purge", "--all", "--config", s.config).mustSay(t, 2, "add --yes")
	edgehold(t, "buffer", "purge", "--before", "last week", "--yes", "--config", s.config).mustSay(t, 2, "--before", "7d")
	edgehold(t, "buffer", "purge", "--before", "2999-01-01", "--yes", "--config", s.config).mustSay(t, 2, "--before", "yet to come", "--all")
	if p := s.status().Account.Purged; p != 0 {
		t.Fatalf("%d points were purged unasked", p)
	}
	done := decoded[export.Purged](t, edgehold(t, "buffer", "purge", "--before", "1h", "--yes", "--json", "--config", s.config))
	if done.Purged != 0 {
		t.Errorf("purged %d points that are no hour old", done.Purged)
	}
	done = decoded[export.Purged](t, edgehold(t, "buffer", "purge", "--all", "--yes", "--json", "--config", s.config))
	if done.Purged < 150 || done.Account.Purged != done.Purged || done.Account.Check() != nil {
		t.Errorf("purged of the running agent: %+v", done)
	}
	s.await("new points after the purge", func(st control.Status) bool { return st.Account.Buffered > 50 })
	if r := s.agent.end(syscall.SIGTERM); r.code != 0 {
		t.Fatalf("the agent ended with %d", r.code)
	}
	last := decoded[export.Purged](t, edgehold(t, "buffer", "purge", "--all", "--yes", "--json", "--config", s.config))
	if last.Purged < 50 || last.Account.Purged != done.Purged+last.Purged || last.Account.Buffered != 0 || last.Account.Check() != nil {
		t.Errorf("purged of the stopped agent: %+v after %+v", last, done)
	}
	edgehold(t, "buffer", "verify", "--config", s.config).mustSay(t, 0, "good")
	s.start()
	s.await("the agent to go on", func(st control.Status) bool {
		return st.Account.Buffered > 50 && st.Account.Purged == last.Account.Purged
	})
}

// Damage in the records of a stopped store is found, told and left as it is.
func TestE2EVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	s, _ := cutOffSite(t)
	if r := s.agent.end(syscall.SIGTERM); r.code != 0 {
		t.Fatalf("the agent ended with %d", r.code)
	}
	store := filepath.Join(s.dir, "state", "edgehold.db")
	data, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for at := 0; ; found++ { // also those that no longer count
		next := bytes.Index(data[at:], []byte("EhR1"))
		if next < 0 {
			break
		}
		at += next + 16
		data[at] ^= 0x40
	}
	damaged := s.file("damaged.db", string(data))
	edgehold(t, "buffer", "verify", "--file", damaged).mustSay(t, 3, "DAMAGED", damaged)
	doc := edgehold(t, "buffer", "verify", "--json", "--file", damaged)
	doc.mustSay(t, 3, `"ok": false`)
	if text, err := os.ReadFile(damaged); err != nil || !bytes.Equal(text, data) || found == 0 {
		t.Errorf("the file was changed: %v, %d records found", err, found)
	}
}
