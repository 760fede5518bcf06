package drain_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// aged is a real store whose points have an age, and a stand-in environment.
func aged(t *testing.T, change func(*drain.Options)) *site {
	t.Helper()
	s := &site{t: t, env: draintest.New(draintest.Options{Token: "e2e"})}
	url, err := s.env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.env.Close() })
	s.path = filepath.Join(t.TempDir(), "edgehold.db")
	s.open()
	t.Cleanup(func() { _ = s.store.Close() })
	o := drain.Options{
		Target: drain.Target{
			URL: url, Client: &http.Client{Transport: &http.Transport{}},
			Token: func() (probes.Secret, error) { return probes.NewSecret("e2e"), nil },
		},
		Store: s.store, Log: zerolog.Nop(), Version: "test", Site: "plant-7", Random: func() float64 { return 0 },
	}
	change(&o)
	s.drain = drain.New(o)
	return s
}

// poll appends so many polls of ports, ten seconds apart, from a time on. Each
// port has two metrics.
func (s *site) poll(from time.Time, polls, ports int) {
	s.t.Helper()
	for i := range polls {
		at := probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Hour + time.Duration(i)*10*time.Second, Wall: from.Add(time.Duration(i) * 10 * time.Second).UnixMilli()}
		var points []probes.Point
		for port := range ports {
			dims := []probes.Dimension{{Key: "if.name", Value: fmt.Sprintf("Gi1/0/%d", port)}, {Key: "site", Value: "plant-7"}}
			points = append(points,
				probes.Point{Series: probes.NewSeries("e2e.bytes.in", probes.Count, dims...), Value: probes.Uint(uint64(i)), Stamp: at},
				probes.Point{Series: probes.NewSeries("e2e.status", probes.Gauge, dims...), Value: probes.Int(int64(i)), Stamp: at})
		}
		if err := s.store.Append(s.t.Context(), points); err != nil {
			s.t.Fatal(err)
		}
		s.count += len(points)
	}
}

// settled runs the drain until the account says that all is settled.
func (s *site) settled(ok func(a buffer.Account) bool) buffer.Account {
	s.t.Helper()
	stop := s.run()
	s.until("all is settled", func() bool {
		s.drain.Wake() // what becomes late comes without a signal
		return ok(s.store.Account())
	})
	stop()
	account, err := s.store.Verify()
	if err != nil {
		s.t.Errorf("verify: %v", err)
	}
	return account
}

// TestMinutesOfARealStore folds a backlog. A refused line makes dead letters of
// all points that are in it.
func TestMinutesOfARealStore(t *testing.T) {
	for _, every := range []int{0, 7} {
		t.Run(fmt.Sprintf("refused-%d", every), func(t *testing.T) {
			t.Parallel()
			s := aged(t, func(o *drain.Options) { o.Resolution = drain.Minute })
			s.poll(time.Now().Truncate(time.Minute).Add(-20*time.Minute), 60, 15) // ten minutes
			if every > 0 {
				if err := s.env.SetFault(draintest.Fault{Mode: draintest.PartialInvalid, Lines: every}); err != nil {
					t.Fatal(err)
				}
			}
			account := s.settled(func(a buffer.Account) bool { return a.Buffered == 0 })
			state, c := s.drain.State(), s.env.Counts()
			if c.Lines+c.Refused != 300 || c.Distinct != c.Lines || (c.Refused > 0) != (every > 0) {
				t.Errorf("environment %+v", c)
			}
			if account.Delivered != 6*int64(c.Lines) || account.DeadLetter != 6*int64(c.Refused) || account.Accepted != int64(s.count) {
				t.Errorf("account %+v, environment %+v", account, c)
			}
			if state.LinesAccepted != int64(c.Lines) || state.LinesRefused != int64(c.Refused) || state.Lanes[2].Points != account.Delivered {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestLateOfARealStore lets points and entries leave that no window takes.
func TestLateOfARealStore(t *testing.T) {
	now := time.Now()
	for mode, name := range map[drain.LateMode]string{drain.LateArchive: "archive", drain.LateLogs: "logs", drain.LateDrop: "drop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aged(t, func(o *drain.Options) { o.Late = mode })
			hour := now.Truncate(time.Hour)
			s.poll(hour.Add(-50*time.Hour), 30, 4) // five minutes
			s.poll(hour.Add(-5*time.Hour), 30, 4)
			s.poll(now.Add(-10*time.Minute), 1, 4)
			stamp := probes.Stamp{Wall: now.Add(-40 * time.Hour).UnixMilli()}
			entry := buffer.Entry{Kind: buffer.LogEntry, Stamp: stamp, Data: record.AppendRecord(nil, probes.Record{Stamp: stamp, Content: "late"})}
			if err := s.store.EnqueueEntries([]buffer.Entry{entry}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.count++
			account := s.settled(func(a buffer.Account) bool {
				return a.Buffered == 0 && (mode == drain.LateArchive || a.LateArchived == 0)
			})
			late := map[drain.LateMode]buffer.Account{
				drain.LateArchive: {LateArchived: 481}, drain.LateLogs: {LateLogged: 481}, drain.LateDrop: {LateDropped: 481},
			}[mode]
			if account.Late != 481 || account.LateArchived != late.LateArchived || account.LateLogged != late.LateLogged || account.LateDropped != late.LateDropped || account.Delivered != 8 {
				t.Errorf("account %+v", account)
			}
			c := s.env.Counts()
			if c.Lines != 8 || mode == drain.LateLogs != (c.LatePoints == 280) || mode != drain.LateLogs && c.Records != 0 {
				t.Errorf("environment %+v", c)
			}
			// One record for each port and minute, and the one that was a record.
			if mode == drain.LateLogs && (c.LateRecords != 2*5*4 || c.Records != 2*5*4+1 || c.LateDuplicates != 0) {
				t.Errorf("environment %+v", c)
			}
		})
	}
}

// TestEntriesOfARealStore sends events and log records.
func TestEntriesOfARealStore(t *testing.T) {
	t.Parallel()
	s := aged(t, func(*drain.Options) {})
	stamp := probes.Stamp{Wall: time.Now().Add(-time.Minute).UnixMilli()}
	var entries []buffer.Entry
	for i := range 30 {
		e := probes.Event{Type: "CUSTOM_INFO", Title: fmt.Sprint("event ", i), Start: stamp}
		r := probes.Record{Stamp: stamp, Severity: "INFO", Content: fmt.Sprint("record ", i)}
		entries = append(entries,
			buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: record.AppendEvent(nil, e)},
			buffer.Entry{Kind: buffer.LogEntry, Stamp: stamp, Data: record.AppendRecord(nil, r)})
	}
	if err := s.store.EnqueueEntries(entries).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	account := s.settled(func(a buffer.Account) bool { return a.Buffered == 0 })
	if c := s.env.Counts(); c.Events != 30 || c.Records != 30 || account.Delivered != 60 {
		t.Errorf("environment %+v, account %+v", c, account)
	}
}
