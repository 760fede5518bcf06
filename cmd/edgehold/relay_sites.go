package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/control"
)

func newRelaySites() *cobra.Command {
	var f socketFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sites",
		Short: "List the sites of the running relay: when each was heard, what it waits for, its account",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.found(); err != nil {
				return err
			}
			var st control.Status
			if err := f.client().Status(cmd.Context(), &st); err != nil {
				return err
			}
			if st.Hub == nil {
				return errors.New("this is the agent of a site, not a relay: name the relay's --config or --socket")
			}
			if asJSON {
				return printDocument(cmd.OutOrStdout(), st.Hub.Sites)
			}
			w := newScreen(cmd.OutOrStdout())
			printSites(w, st.Hub, nowOf(st))
			return w.done()
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// nowOf is the time that the picture goes by.
func nowOf(st control.Status) time.Time {
	if st.Clock.Time.IsZero() {
		return time.Now()
	}
	return st.Clock.Time
}

// printSites is a table, and what does not fit into it below each line.
func printSites(w io.Writer, h *control.Hub, now time.Time) {
	if len(h.Sites) == 0 {
		fmt.Fprintln(w, "no site was heard yet: a site publishes once a relay is online at its broker")
		for _, b := range h.Brokers {
			if !b.Connected {
				fmt.Fprintf(w, "this relay is not connected to %s: %s\n", b.URL, oneLine(b.LastError))
			}
		}
		return
	}
	width := len("SITE")
	for _, s := range h.Sites {
		width = max(width, len(oneLine(s.Site)))
	}
	fmt.Fprintf(w, "%-*s  %-8s  %-9s  %-10s  %-8s  %9s  %9s  %9s  %s\n", width, "SITE", "STATE", "HEARD", "VERSION", "CONFIG", "THERE", "HERE", "LATE", "CERTIFICATE")
	for _, s := range h.Sites {
		fmt.Fprintf(w, "%-*s  %-8s  %-9s  %-10.10s  %-8.8s  %9d  %9d  %9d  %s\n", width, oneLine(s.Site), siteState(s), heardText(s.LastSeen, now),
			orDash(oneLine(s.Version)), orDash(oneLine(s.Config)), s.Backlog, s.Account.Buffered, s.Late+s.Account.Late, untilText(s.CertExpires, now))
		for _, note := range siteNotes(s) {
			fmt.Fprintf(w, "%-*s  %s\n", width, "", note)
		}
	}
	fmt.Fprintln(w, "\nTHERE and HERE are points that wait, at the site and at the relay; LATE came too late, at both.")
}

func siteState(s control.HubSite) string {
	switch {
	case s.Silent:
		return "SILENT"
	case s.State == "":
		return "unknown"
	}
	return s.State
}

// siteNotes are what somebody should know of a site.
func siteNotes(s control.HubSite) (notes []string) {
	if s.Fault != "" {
		notes = append(notes, "a block was not taken: "+s.Fault)
	}
	if s.Pressure >= 1 {
		notes = append(notes, "its quota here is used up: its blocks wait there (relay.site_quota)")
	}
	if a := s.Account; a.DeadLetter+a.Evicted+a.Damaged+a.Purged > 0 {
		notes = append(notes, fmt.Sprintf("of %d points: %d delivered, %d dead letters, %d evicted, %d damaged, %d purged",
			a.Accepted, a.Delivered, a.DeadLetter, a.Evicted, a.Damaged, a.Purged))
	}
	return notes
}

func heardText(at, now time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return span(now.Sub(at)) + " ago"
}

// untilText says for how long a certificate is good.
func untilText(at, now time.Time) string {
	switch left := at.Sub(now); {
	case at.IsZero():
		return "-"
	case left <= 0:
		return "EXPIRED " + at.UTC().Format(time.DateOnly)
	default:
		return fmt.Sprintf("%s (%d days)", at.UTC().Format(time.DateOnly), int(left.Hours()/24))
	}
}
