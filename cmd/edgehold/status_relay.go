package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// printRelay tells of the relays, and of what they have taken over.
func printRelay(w io.Writer, r *control.Relay, now time.Time) {
	if r == nil {
		return
	}
	var names []string
	for _, x := range r.Relays {
		names = append(names, relayText(x))
	}
	switch {
	case !r.Connected:
		fmt.Fprint(w, "  relays: not known, there is no connection to the broker\n")
	case len(names) == 0:
		fmt.Fprint(w, "  relays: the broker knows of none\n")
	default:
		fmt.Fprintf(w, "  relays: %s\n", strings.Join(names, "; "))
	}
	if !r.NoneSince.IsZero() && r.Connected {
		fmt.Fprintf(w, "  no relay is online for %s\n", span(max(0, now.Sub(r.NoneSince))))
	}
	fmt.Fprintf(w, "  blocks: %d to leave, %d under way, %d at relays, %d that relays are asked about; %d points are not settled",
		r.BlocksWaiting, r.BlocksInFlight, r.BlocksStored, r.BlocksDoubtful, r.PointsOutstanding)
	if !r.LastAck.IsZero() {
		fmt.Fprintf(w, "; last answer %s ago", span(max(0, now.Sub(r.LastAck))))
	}
	fmt.Fprintln(w)
	if r.Resends+r.Duplicates+r.TwoRelays+r.Rejected > 0 {
		fmt.Fprintf(w, "  since the start: %d blocks sent again, %d answers told twice, %d blocks at two relays, %d points rejected\n",
			r.Resends, r.Duplicates, r.TwoRelays, r.Rejected)
	}
	if !r.CertExpires.IsZero() {
		fmt.Fprintf(w, "  client certificate: valid until %s\n", r.CertExpires.Local().Format(time.DateTime))
	}
}

func relayText(x control.RelayInfo) string {
	text := x.ID + " " + x.State
	if x.State == "" {
		text = x.ID + " not known"
	}
	if x.Version != "" {
		text += " (" + x.Version + ")"
	}
	if x.DeclaredLost {
		text += ", declared lost"
	}
	if x.Slow {
		text += ", asks to wait"
	}
	return text
}
