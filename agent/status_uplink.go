package agent

import (
	"time"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain"
)

// The bands of age in which waiting points are counted: live, still a metric,
// still a log record with its time.
var (
	ageBounds = []time.Duration{2 * time.Minute, Window, 24 * time.Hour}
	ageWords  = []string{"2m", "1h", "24h", "more"}
)

func uplinkStatus(kind, url string, d drain.State) control.Uplink {
	u := control.Uplink{
		Kind: kind, URL: url, State: d.State, Since: d.Since,
		LastSuccess: d.LastSuccess, LastError: d.LastError, LastErrorAt: d.LastErrorAt, NextTry: d.NextTry,
		Posts: d.Posts, LinesAccepted: d.LinesAccepted, LinesRefused: d.LinesRefused, LinesUnnamed: d.LinesUnnamed,
		AmbiguousPosts: d.AmbiguousPosts, ThrottledPosts: d.ThrottledPosts,
		BytesText: d.BytesText, BytesSent: d.BytesSent, BytesWire: d.BytesWire,
		Lanes: []control.Lane{}, Cargos: []control.Cargo{}, Late: []control.Late{}, // never null in JSON
		Breaker: d.Breaker, Rate: d.Rate, Batch: d.Batch, SpreadUntil: d.SpreadUntil, Budget: budgetStatus(d.Budget),
		PointsPerDay: d.PointsPerDay, WholeDay: d.PointsPerDayAll,
	}
	for _, l := range d.Lanes {
		u.Lanes = append(u.Lanes, control.Lane(l))
	}
	for _, c := range d.Cargos {
		u.Cargos = append(u.Cargos, control.Cargo(c))
	}
	for _, l := range d.Late {
		u.Late = append(u.Late, control.Late(l))
	}
	return u
}

func budgetStatus(u drain.Usage) control.Budget {
	b := control.Budget{
		Share: u.Share, Rate: u.Rate, Daily: u.Daily, Monthly: u.Monthly,
		Today: u.Today, Month: u.ThisMonth, Spent: u.Spent,
	}
	switch u.Spent {
	case "day":
		b.ResetsAt = u.DayEnds
	case "month":
		b.ResetsAt = u.MonthEnds
	}
	return b
}

func clockStatus(s clock.State, best func() (time.Time, bool)) control.Clock {
	now, _ := best()
	return control.Clock{
		Trusted: s.Trusted, Source: s.Source, Since: s.Since, Time: now, ErrorS: s.Error.Seconds(),
		SystemOff: s.SystemOff.Seconds(), Steps: s.Steps, Warnings: s.Warnings,
	}
}
