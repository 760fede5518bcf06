package main

import (
	"fmt"
	"io"
	"slices"
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
	counts   bool // some of its tasks may have counters
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
		fmt.Fprintf(w, "%s: %s, %s a day%s\n", d.label, strings.Join(append(d.profiles, points(d.points)), ", "),
			points(d.perDay), missing(o.counters || !d.counts))
		for _, t := range d.tasks {
			printTables(w, t, o.tables)
		}
	}
	counts := slices.ContainsFunc(devices, func(d *deviceSummary) bool { return d.counts })
	if len(devices) > 1 && total > 0 {
		fmt.Fprintf(w, "all devices: %s a day%s\n", points(total), missing(o.counters || !counts))
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
		label, profile := deviceOf(p.Task)
		d := byLabel[label]
		if d == nil {
			d = &deviceSummary{label: label}
			byLabel[label] = d
			all = append(all, d)
		}
		if profile != "" && !slices.Contains(d.profiles, profile) {
			d.profiles = append(d.profiles, profile)
		}
		_, measured := p.Task.Probe.(probes.Measured)
		d.counts = d.counts || measured
		d.points += len(p.Points)
		d.perDay += len(p.Points) * int(24*time.Hour/max(p.Task.Interval, slot))
		d.tasks = append(d.tasks, p)
	}
	return all
}

// deviceOf tells what a task asks, and with which profile or package. A task of
// neither is known by its label as it is, which may have blanks.
func deviceOf(t probes.Task) (label, profile string) {
	described, ok := t.Probe.(probes.Described)
	if !ok && t.Package == "" {
		return t.Label, ""
	}
	label, profile, _ = strings.Cut(t.Label, " ")
	if ok && described.Description() != "" {
		profile = described.Description()
	}
	return label, profile
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
