package main

import (
	"fmt"
	"io"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// printUsage is a table of what each package has cost since the start.
func printUsage(w io.Writer, all []control.Usage) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\nusage since the start\n")
	width := 0
	for _, u := range all {
		width = max(width, len([]rune(u.Package)))
	}
	for _, u := range all {
		fmt.Fprintf(w, "  %-*s  %s, %s in %s, %s, %d series", min(width, 48), oneLine(u.Package), counted(u.Devices, "device"),
			plural(int(u.Polls), "poll", "polls"), span(seconds(u.TimeS)), plural(int(u.Points), "point", "points"), u.Series)
		if u.WaitedS >= 1 {
			fmt.Fprintf(w, ", waited %s for others", span(time.Duration(u.WaitedS*float64(time.Second))))
		}
		fmt.Fprintln(w)
	}
}
