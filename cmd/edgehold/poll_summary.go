package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/probes"
)

type summaryOptions struct {
	tables   bool          // what each table cost
	counters bool          // the points of counters are among the points
	slot     time.Duration // of several points in it one is sent; 0: all are
}

// deviceSummary is what a device's tasks gave together.
type deviceSummary struct {
	label    string
	profiles []string
	points   int
	perDay   int
	tasks    []agent.Polled
}

// printSummary tells of each device which profile it has, how many points it
// makes and, if wanted, what each table cost.
func printSummary(w io.Writer, polled []agent.Polled, o summaryOptions) {
	total := 0
	devices := summarize(polled, o.slot)
	for _, d := range devices {
		if d.points == 0 {
			continue
		}
		total += d.perDay
		fmt.Fprintf(w, "%s: %s, %s%s a day%s\n", d.label, strings.Join(d.profiles, ", "),
			points(d.points)+", ", points(d.perDay), missing(o.counters))
		for _, t := range d.tasks {
			printTables(w, t, o.tables)
		}
	}
	if len(devices) > 1 && total > 0 {
		fmt.Fprintf(w, "all devices: %s a day%s\n", points(total), missing(o.counters))
	}
}

func missing(counters bool) string {
	if counters {
		return ""
	}
	return ", counters not among them (--wait)"
}

func points(n int) string { return counted(n, "point") }

// counted is a number of things that make their plural with an s.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// grouped writes a number with a comma before each three digits.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func summarize(polled []agent.Polled, slot time.Duration) []*deviceSummary {
	var all []*deviceSummary
	byLabel := map[string]*deviceSummary{}
	for _, p := range polled {
		label, profile, _ := strings.Cut(p.Task.Label, " ")
		d := byLabel[label]
		if d == nil {
			d = &deviceSummary{label: label}
			byLabel[label] = d
			all = append(all, d)
		}
		if described, ok := p.Task.Probe.(probes.Described); ok && described.Description() != "" {
			profile = described.Description()
		}
		if !strings.Contains(strings.Join(d.profiles, ", ")+",", profile+",") {
			d.profiles = append(d.profiles, profile)
		}
		d.points += len(p.Points)
		d.perDay += len(p.Points) * int(24*time.Hour/max(p.Task.Interval, slot))
		d.tasks = append(d.tasks, p)
	}
	return all
}

// printTables tells what a poll of a device cost.
func printTables(w io.Writer, p agent.Polled, wanted bool) {
	measured, ok := p.Task.Probe.(probes.Measured)
	if !ok || !wanted {
		return
	}
	s := measured.PollStats()
	fmt.Fprintf(w, "  every %v: %d requests, %d retries, %d timeouts, %d varbinds, %d rows\n", p.Task.Interval, s.Requests, s.Retries, s.Timeouts, s.Varbinds, s.Rows)
	if len(s.Tables) == 0 {
		return
	}
	fmt.Fprintf(w, "  %-40s %6s %9s %10s\n", "TABLE", "ROWS", "REQUESTS", "TIME")
	absent := 0
	for _, t := range s.Tables {
		if t.Rows == 0 {
			absent++
			continue
		}
		fmt.Fprintf(w, "  %-40s %6d %9d %10v\n", t.OID, t.Rows, t.Requests, t.Took.Round(100*time.Microsecond))
	}
	if absent > 0 {
		fmt.Fprintf(w, "  %d more tables have no rows\n", absent)
	}
	for _, text := range s.Partial {
		fmt.Fprintf(w, "  half read: %s\n", text)
	}
}
