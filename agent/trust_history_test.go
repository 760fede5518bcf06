package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign/store"
)

// dimMachine has just started without a clock; synced says that it has one.
type dimMachine struct{ synced bool }

func (m dimMachine) Boot() probes.BootID   { return probes.BootID{3} }
func (m dimMachine) Wall() time.Time       { return time.Now() }
func (m dimMachine) Uptime() time.Duration { return time.Hour }
func (m dimMachine) NTP() (board.NTPState, error) {
	return board.NTPState{Synced: m.synced, MaxError: time.Millisecond}, nil
}

func (m dimMachine) WatchSteps(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// A record that is made while the time is only a guess says so, and is read
// again as any other.
func TestHistoryOfAGuessedTime(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	start := func(synced bool) *Agent {
		c, err := clock.New(clock.Options{Machine: dimMachine{synced}, Floor: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		if c.Trusted() != synced {
			t.Fatalf("the clock is trusted: %t", c.Trusted())
		}
		a := &Agent{time: c, log: zerolog.Nop(), builder: builder{warden: &warden{store: s}}}
		a.readLedger()
		return a
	}
	unsigned := &config.Config{Hash: "h", Path: "edgehold.yaml", Trust: config.Trust{AllowUnsigned: true}}
	a := start(false)
	a.noteConfiguration(unsigned)
	a.note(trustChange{pkg: judged{Name: "n", Package: "p.zip"}}.record())
	a = start(true)
	a.noteConfiguration(unsigned) // is known: nothing is added
	if _, known := a.ledger.refused["p.zip"]; !known {
		t.Errorf("ledger %+v", a.ledger)
	}
	a.noteConfiguration(&config.Config{Hash: "i", Path: "edgehold.yaml"})
	var details []string
	for r, err := range s.History() {
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, r.Detail)
	}
	want := "edgehold.yaml (its time is a guess)|on (its time is a guess)|p.zip (its time is a guess)|edgehold.yaml|off"
	if got := strings.Join(details, "|"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
