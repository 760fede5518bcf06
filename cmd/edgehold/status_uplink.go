package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

func printClock(w io.Writer, c control.Clock) {
	fmt.Fprintf(w, "\nclock    %s", c.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
	switch {
	case !c.Trusted:
		fmt.Fprint(w, " is only a guess: points are kept, nothing is sent until the time is known")
	case c.Source != "":
		fmt.Fprintf(w, ", known from %s to %s", clockSource(c.Source), span(time.Duration(c.ErrorS*float64(time.Second))))
	}
	fmt.Fprintln(w)
	if c.Trusted && (c.SystemOff > 1 || c.SystemOff < -1) {
		word := "ahead"
		if c.SystemOff < 0 {
			word = "behind"
		}
		off := time.Duration(max(c.SystemOff, -c.SystemOff) * float64(time.Second))
		fmt.Fprintf(w, "  this machine's own clock is %s %s; points carry the true time\n", span(off), word)
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", strings.ReplaceAll(warning, "\n", "; "))
	}
}

// clockSource says who told the time.
func clockSource(word string) string {
	switch word {
	case "kernel":
		return "the kernel, which NTP keeps"
	case "ntp":
		return "an NTP server"
	case "environment":
		return "the Date of the environment"
	}
	return word
}

// waiting tells how old the points are that wait, where some do for long.
func waiting(bands []control.AgeBand) string {
	var parts []string
	for i, b := range bands {
		if b.Points == 0 {
			continue
		}
		words := "younger than " + b.Upto
		if i > 0 {
			words = bands[i-1].Upto + " to " + b.Upto
		}
		if b.Upto == "more" {
			words = "older"
		}
		parts = append(parts, fmt.Sprintf("%d %s", b.Points, words))
	}
	if len(parts) == 0 {
		return ""
	}
	return "\n  waiting: " + strings.Join(parts, ", ")
}

func printUplink(w io.Writer, u control.Uplink, now time.Time) {
	fmt.Fprintf(w, "\nuplink   %s\n  %s", u.URL, u.State)
	if !u.Since.IsZero() {
		fmt.Fprintf(w, " for %s", span(now.Sub(u.Since)))
	}
	if !u.LastSuccess.IsZero() {
		fmt.Fprintf(w, "; last success %s ago", span(now.Sub(u.LastSuccess)))
	}
	if !u.NextTry.IsZero() {
		fmt.Fprintf(w, "; next try in %s", span(max(0, u.NextTry.Sub(now))))
	}
	if now.Before(u.SpreadUntil) {
		fmt.Fprintf(w, "; the backlog waits %s, so that not all sites come at once", span(u.SpreadUntil.Sub(now)))
	}
	fmt.Fprintln(w)
	if u.LastError != "" {
		fmt.Fprintf(w, "  last error %s ago: %s\n", span(now.Sub(u.LastErrorAt)), u.LastError)
	}
	for _, c := range u.Cargos {
		printCargo(w, u, c, now)
	}
	fmt.Fprintf(w, "  since the start: %d posts, %d lines accepted, %d refused, %d posts with no answer, %s sent, %s on the wire\n",
		u.Posts, u.LinesAccepted, u.LinesRefused, u.AmbiguousPosts, bytesText(u.BytesSent), bytesText(u.BytesWire))
	printLanes(w, u.Lanes)
	printRelay(w, u.Relay, now)
	printPace(w, u)
}

// printCargo tells of an endpoint that fails while the uplink as a whole does
// not, or in another way.
func printCargo(w io.Writer, u control.Uplink, c control.Cargo, now time.Time) {
	if c.State == "idle" || c.LastError == "" || c.State == u.State && c.LastError == u.LastError {
		return
	}
	fmt.Fprintf(w, "  %s: %s", c.Cargo, c.State)
	if !c.NextTry.IsZero() {
		fmt.Fprintf(w, ", next try in %s", span(max(0, c.NextTry.Sub(now))))
	}
	if c.LastError != u.LastError { // else it stands above
		fmt.Fprintf(w, ": %s", c.LastError)
	}
	fmt.Fprintln(w)
}

// printLanes is one line with what each lane has carried, for those that have.
func printLanes(w io.Writer, lanes []control.Lane) {
	var parts []string
	for _, l := range lanes {
		if l.Lines+l.Refused == 0 {
			continue
		}
		text := fmt.Sprintf("%s %d", l.Lane, l.Lines)
		if l.Points > l.Lines {
			text += fmt.Sprintf(" (of %d points)", l.Points)
		}
		parts = append(parts, text)
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "  lanes: %s\n", strings.Join(parts, ", "))
	}
}

// printPace tells what the link carries and what it costs.
func printPace(w io.Writer, u control.Uplink) {
	if u.PointsPerDay > 0 {
		about := ""
		if !u.WholeDay {
			about = "about "
		}
		fmt.Fprintf(w, "  cost: %s%d data points a day\n", about, u.PointsPerDay)
	}
	if u.Rate > 0 {
		fmt.Fprintf(w, "  link: about %s/s, posts of up to %s of text\n", bytesText(int64(u.Rate)), bytesText(int64(u.Batch)))
	}
	printBudget(w, u.Budget)
	for _, l := range u.Late {
		if l.Logged+l.Dropped+l.Refused > 0 {
			fmt.Fprintf(w, "  late points %s: %d left as log records, %d dropped, %d refused\n", ageWords(l.Upto), l.Logged, l.Dropped, l.Refused)
		}
	}
}

// ageWords says how old the points of a class are.
func ageWords(class string) string {
	switch class {
	case "more":
		return "over 30d old"
	case "unknown":
		return "of a time that nobody knows"
	}
	return "up to " + class + " old"
}

// printBudget tells what bounds the lanes beside the live one, and how much of
// it is used.
func printBudget(w io.Writer, b control.Budget) {
	if b.Share > 0 {
		fmt.Fprintf(w, "  budget: %.0f%% of the link's rate for all but live points\n", 100*b.Share)
	}
	if b.Rate > 0 {
		fmt.Fprintf(w, "  budget: %s/s for all but live points\n", bytesText(b.Rate))
	}
	for _, a := range []struct {
		word        string
		used, limit int64
	}{{"today", b.Today, b.Daily}, {"this month", b.Month, b.Monthly}} {
		if a.limit > 0 {
			fmt.Fprintf(w, "  budget: %s of %s used %s\n", bytesText(a.used), bytesText(a.limit), a.word)
		}
	}
	if b.Spent == "" {
		return
	}
	words := "is used up"
	if b.Spent == "day" && b.Today < b.Daily || b.Spent == "month" && b.Month < b.Monthly {
		words = "has too little left for another post"
	}
	fmt.Fprintf(w, "  the allowance of the %s %s: only live points leave until %s\n", b.Spent, words, b.ResetsAt.Local().Format(time.DateTime))
}

func printAccount(w io.Writer, a control.Account) {
	line := fmt.Sprintf("account  %d accepted = %d buffered", a.Accepted, a.Buffered)
	fmt.Fprintln(w)
	for _, part := range []struct {
		n    int64
		name string
	}{{a.Delivered, "delivered"}, {a.Late, "late"}, {a.DeadLetter, "dead letter"}, {a.Evicted, "evicted"}, {a.Damaged, "damaged"}, {a.Purged, "purged"}} {
		text := fmt.Sprintf(" + %d %s", part.n, part.name)
		if len(line)+len(text) >= 80 {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", 8)
		}
		line += text
	}
	fmt.Fprintln(w, line)
	if a.LateLogged+a.LateDropped > 0 {
		fmt.Fprintf(w, "         late: %d kept, %d left as log records, %d dropped\n", a.LateArchived, a.LateLogged, a.LateDropped)
	}
	if a.DeadLetter > 0 {
		fmt.Fprintln(w, "         `edgehold dead-letter ls` shows the dead letters and their reasons")
	}
}
