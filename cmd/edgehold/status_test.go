package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// show prints the uplink's side of a status, one line each.
func show(print func(*strings.Builder)) []string {
	var out strings.Builder
	print(&out)
	return strings.Split(out.String(), "\n")
}

func mustHave(t *testing.T, lines []string, want ...string) {
	t.Helper()
	text := strings.Join(lines, "\n")
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

func TestUplinkGoesByTheTrustedTime(t *testing.T) {
	machine := time.Date(1970, 1, 1, 0, 5, 0, 0, time.UTC)
	truth := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	st := control.Status{
		Clock:  control.Clock{Trusted: true, Source: "environment", Time: truth},
		Uplink: control.Uplink{State: "backoff", Since: truth.Add(-time.Hour), NextTry: truth.Add(7 * time.Second)},
	}
	mustHave(t, show(func(w *strings.Builder) { printStatus(w, st, view{now: machine}) }), "backoff for 1h00m; next try in 7s")
}

func TestStatusOfAnUnknownTime(t *testing.T) {
	st := control.Status{
		Clock:   control.Clock{Warnings: []string{"ask one: refused\nask two: no such host"}},
		Account: control.Account{Accepted: 5, Buffered: 5},
	}
	lines := show(func(w *strings.Builder) { printStatus(w, st, view{now: time.Now()}) })
	mustHave(t, lines, "is only a guess", "how old the points are is not known yet", "  warning: ask one: refused; ask two: no such host\n")
}

func TestBudgetWords(t *testing.T) {
	resets := time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		budget control.Budget
		want   []string
	}{
		{control.Budget{Today: 5}, nil},
		{control.Budget{Share: 0.5}, []string{"  budget: 50% of the link's rate for all but live points"}},
		{control.Budget{Rate: 8000}, []string{"  budget: 8000 B/s for all but live points"}},
		{control.Budget{Daily: 50e6, Today: 12e6}, []string{"  budget: 12 MB of 50 MB used today"}},
		{control.Budget{Monthly: 1e9, Month: 1e9, Spent: "month", ResetsAt: resets}, []string{
			"  budget: 1000 MB of 1000 MB used this month",
			"  the allowance of the month is used up: only live points leave until " + resets.Local().Format(time.DateTime),
		}},
		{control.Budget{Daily: 50e6, Today: 49.9e6, Spent: "day", ResetsAt: resets}, []string{
			"  budget: 49 MB of 50 MB used today",
			"  the allowance of the day has too little left for another post: only live points leave until " + resets.Local().Format(time.DateTime),
		}},
	}
	for _, tt := range tests {
		got := show(func(w *strings.Builder) { printBudget(w, tt.budget) })
		if want := strings.Join(append(tt.want, ""), "\n"); strings.Join(got, "\n") != want {
			t.Errorf("%+v: printed %q, want %q", tt.budget, got, want)
		}
	}
}

func TestLateWords(t *testing.T) {
	u := control.Uplink{Late: []control.Late{
		{Upto: "24h", Logged: 1}, {Upto: "7d"}, {Upto: "30d", Dropped: 2}, {Upto: "more", Logged: 3}, {Upto: "unknown", Refused: 4},
	}}
	want := `  late points up to 24h old: 1 left as log records, 0 dropped, 0 refused
  late points up to 30d old: 0 left as log records, 2 dropped, 0 refused
  late points over 30d old: 3 left as log records, 0 dropped, 0 refused
  late points of a time that nobody knows: 0 left as log records, 0 dropped, 4 refused
`
	if got := strings.Join(show(func(w *strings.Builder) { printPace(w, u) }), "\n"); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestCargoThatFailsAlone(t *testing.T) {
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	hold := control.Cargo{Cargo: "logs", State: "hold", LastError: "no scope", NextTry: now.Add(time.Minute)}
	tests := []struct {
		name   string
		uplink control.Uplink
		cargo  control.Cargo
		want   string
	}{
		{"beside an uplink that works", control.Uplink{State: "idle", LastError: "no scope"}, hold, "  logs: hold, next try in 1m00s\n"},
		{"as the whole uplink", control.Uplink{State: "hold", LastError: "no scope"}, hold, ""},
		{"in another way", control.Uplink{State: "hold", LastError: "no token"}, hold, "  logs: hold, next try in 1m00s: no scope\n"},
		{"over", control.Uplink{State: "idle"}, control.Cargo{Cargo: "logs", State: "idle", LastError: "no scope"}, ""},
		{"never", control.Uplink{State: "backoff", LastError: "cut"}, control.Cargo{Cargo: "logs", State: "idle"}, ""},
	}
	for _, tt := range tests {
		got := strings.Join(show(func(w *strings.Builder) { printCargo(w, tt.uplink, tt.cargo, now) }), "\n")
		if got != tt.want {
			t.Errorf("%s: printed %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSickDevicesComeFirst(t *testing.T) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	polled := now.Add(-20 * time.Second)
	st := control.Status{Polling: control.Polling{LatenessP99MS: 2, Overruns: 4}}
	for i := range 30 {
		st.Devices = append(st.Devices, control.Device{Label: fmt.Sprintf("192.0.2.%d", i), State: "ok", IntervalS: 60, LastPoll: polled, Points: 240, DurationMS: 12})
	}
	st.Devices = append(st.Devices,
		control.Device{Label: "slow", State: "ok", IntervalS: 10, LastPoll: polled, Points: 5, OverranS: 25, Skipped: 4},
		control.Device{Label: "half", State: "partial", IntervalS: 60, LastPoll: polled, Points: 5, Message: "table 1.3 half read", Partial: []string{"table 1.3", "table 1.4: too long"}, Profile: "edgehold.cisco"},
		control.Device{Label: "gone", State: "backing off", IntervalS: 60, LastPoll: polled, LastOK: now.Add(-time.Hour), Next: now.Add(time.Minute), Message: "no answer from gone: check the address"},
		control.Device{Label: "shut", State: "denied", IntervalS: 60, LastPoll: polled, Next: now, Message: "check the rights"},
	)
	lines := show(func(w *strings.Builder) { printDevices(w, st, view{now: now}) })
	want := []string{
		"",
		"devices  1 denied, 1 backing off, 1 partial, 31 ok; 99 of 100 polls start within 2ms, 4 skipped since the start",
		"  denied       shut        every 1m00s  asked 20s ago, no data since the start, next try in 0ms",
		"                 check the rights",
		"  backing off  gone        every 1m00s  asked 20s ago, last data 1h00m ago, next try in 1m00s",
		"                 no answer from gone: check the address",
		"  partial      half        every 1m00s  5 points 20s ago in 0 ms",
		"                 table 1.3 half read",
		"                 table 1.4: too long",
		"                 read with edgehold.cisco",
		"  ok           slow        every 10s    5 points 20s ago in 0 ms, 4 skipped",
		"                 the last poll was done after 25s, later than it was due again: give this device a longer interval, or fewer metrics",
		"  ok           192.0.2.0   every 1m00s  240 points 20s ago in 12 ms",
	}
	if len(lines) < len(want) || !slices.Equal(lines[:len(want)], want) {
		t.Errorf("printed\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	mustHave(t, lines, "  and 10 more that are ok or not polled yet; `edgehold status --all` lists them")
	if all := show(func(w *strings.Builder) { printDevices(w, st, view{now: now, all: true}) }); len(all) != len(lines)+9 {
		t.Errorf("%d lines with all, %d without", len(all), len(lines))
	}
}
