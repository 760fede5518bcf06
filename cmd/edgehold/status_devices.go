package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// mostWell is how many devices are listed that are well; nobody reads a
// thousand lines at night.
const mostWell = 20

// severity orders devices: what a person should look at comes first.
var severity = map[string]int{
	control.StateDenied: 1, control.StateError: 1, control.StateSilent: 2, control.StateBackingOff: 3,
	control.StatePartial: 4, control.StatePending: 6, control.StateOK: 7,
}

// rankOf is the severity of a device. One that is too slow for its interval is
// sick too.
func rankOf(d control.Device) int {
	rank, known := severity[d.State]
	if !known {
		return 1
	}
	if d.OverranS > 0 {
		return min(rank, 5)
	}
	return rank
}

// printDevices is a table with the sick devices first, each with what is wrong
// and what mends it.
func printDevices(w io.Writer, st control.Status, v view) {
	fmt.Fprintf(w, "\ndevices")
	if len(st.Devices) == 0 && len(st.Packages) > 0 {
		fmt.Fprintln(w, "\n  none: nothing that is configured runs; see `packages` and `configurations` below")
		return
	}
	if len(st.Devices) == 0 {
		fmt.Fprintf(w, "\n  none: add entries under `extensions` or `probes` in %s\n", st.Config.Path)
		return
	}
	fmt.Fprintf(w, "  %s%s\n", countStates(st.Devices), paceText(st.Polling))
	devices := slices.Clone(st.Devices)
	sort.SliceStable(devices, func(i, j int) bool { return rankOf(devices[i]) < rankOf(devices[j]) })
	width := 0
	for _, d := range devices {
		width = max(width, len([]rune(d.Label)))
	}
	well := 0
	for _, d := range devices {
		if rankOf(d) > 5 {
			well++
		}
		if v.all || well <= mostWell {
			printDevice(w, d, deviceColumns{now: v.now, label: min(width, 48)})
		}
	}
	if !v.all && well > mostWell {
		fmt.Fprintf(w, "  and %d more that are ok or not polled yet; `edgehold status --all` lists them\n", well-mostWell)
	}
}

// countStates sums up, the worst first: "2 silent, 98 ok". What is asked in
// several intervals has a line for each and counts once, as its worst.
func countStates(devices []control.Device) string {
	type endpoint struct{ config, label, address string }
	worst := map[endpoint]control.Device{}
	for _, d := range devices {
		key := endpoint{d.Config, d.Label, d.Address}
		if other, seen := worst[key]; !seen || worse(d.State, other.State) {
			worst[key] = d
		}
	}
	counts := map[string]int{}
	for _, d := range worst {
		counts[cmp.Or(d.State, d.Status)]++
	}
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(severity[a], severity[b]), cmp.Compare(a, b))
	})
	for i, word := range words {
		words[i] = fmt.Sprintf("%d %s", counts[word], word)
	}
	return strings.Join(words, ", ")
}

// worse tells which state of two tasks is that of their endpoint: one that is
// not polled yet says less than any other.
func worse(a, b string) bool {
	return b == control.StatePending || a != control.StatePending && severity[a] < severity[b]
}

// paceText tells how punctual polls are, once that can be told.
func paceText(p control.Polling) string {
	if p.LatenessP99MS == 0 {
		return ""
	}
	text := fmt.Sprintf("; 99 of 100 polls start within %s", span(time.Duration(p.LatenessP99MS*float64(time.Millisecond))))
	if p.Overruns > 0 {
		text += fmt.Sprintf(", %d skipped since the start", p.Overruns)
	}
	return text
}

type deviceColumns struct {
	now   time.Time
	label int // width
}

func printDevice(w io.Writer, d control.Device, c deviceColumns) {
	if d.Source != nil {
		fmt.Fprintf(w, "  %-11s  %-*s  %s\n", cmp.Or(d.State, d.Status), c.label, d.Label, sourceText(d, c.now))
		for _, reason := range reasons(d) {
			fmt.Fprintf(w, "  %-11s    %s\n", "", reason)
		}
		return
	}
	fmt.Fprintf(w, "  %-11s  %-*s  every %-6s %s%s\n", cmp.Or(d.State, d.Status), c.label, d.Label,
		span(seconds(d.IntervalS)), polledText(d, c.now), oddities(d))
	for _, reason := range reasons(d) {
		fmt.Fprintf(w, "  %-11s    %s\n", "", reason)
	}
}

// sourceText tells what has arrived at a source.
func sourceText(d control.Device, now time.Time) string {
	text := fmt.Sprintf("%d received", d.Source.Received)
	if d.Source.Dropped > 0 {
		text += fmt.Sprintf(", %d dropped", d.Source.Dropped)
	}
	if d.Source.Refused > 0 {
		text += fmt.Sprintf(", %d refused", d.Source.Refused)
	}
	if !d.LastOK.IsZero() {
		text += fmt.Sprintf(", the last %s ago", span(now.Sub(d.LastOK)))
	}
	return text
}

// polledText tells what came of the last poll and, where nothing did, when
// something did for the last time and when the next try is.
func polledText(d control.Device, now time.Time) string {
	if d.LastPoll.IsZero() {
		return "not polled yet, first poll in " + span(d.Next.Sub(now))
	}
	text := fmt.Sprintf("%s %s ago in %s", points(d.Points), span(now.Sub(d.LastPoll)), milliseconds(d.DurationMS))
	if d.Points > 0 {
		if d.Profile != "" && len(reasons(d)) == 0 { // reasons end with it
			text += " with " + oneLine(d.Profile)
		}
		return text
	}
	text = fmt.Sprintf("asked %s ago, ", span(now.Sub(d.LastPoll)))
	if d.LastOK.IsZero() {
		text += "no data since the start"
	} else {
		text += fmt.Sprintf("last data %s ago", span(now.Sub(d.LastOK)))
	}
	return text + ", next try in " + span(d.Next.Sub(now))
}

// oddities are the counters that are not as they should be.
func oddities(d control.Device) string {
	var text strings.Builder
	for _, x := range []struct {
		n    uint64
		what string
	}{
		{uint64(max(d.Retries, 0)), "retries"},
		{uint64(max(d.Strays, 0)), "stray datagrams"},
		{uint64(max(d.Malformed, 0)), "malformed replies"},
		{d.Skipped, "skipped"},
		{d.Gaps, "counter gaps"},
	} {
		if x.n > 0 {
			fmt.Fprintf(&text, ", %d %s", x.n, x.what)
		}
	}
	if late := seconds(d.LateS); late >= time.Second {
		fmt.Fprintf(&text, ", %s late", span(late))
	}
	return text.String()
}

// reasons say what is wrong and what mends it.
func reasons(d control.Device) []string {
	var out []string
	if d.Message != "" {
		out = append(out, oneLine(d.Message))
	}
	if d.OverranS > 0 {
		out = append(out, fmt.Sprintf("the last poll was done after %s, later than it was due again: give this device a longer interval, or fewer metrics",
			span(seconds(d.OverranS))))
	}
	for _, part := range d.Partial {
		if !strings.Contains(d.Message, part) {
			out = append(out, oneLine(part))
		}
	}
	if d.Profile != "" && len(out) > 0 {
		out = append(out, "read with "+oneLine(d.Profile))
	}
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
