package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/egress"
)

func newAuditEgress() *cobra.Command {
	var f socketFlags
	var length time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "egress",
		Short: "Tell what the running agent sends, and to where",
		Long: `Watch the running agent for some time and tell what leaves this machine: each
destination with its purpose and volume, each metric with its dimensions and
some of their values, by the package or probe that it comes from, what the
privacy policy has changed, and what is never sent.

Values of dimensions that may be about people, hardware or places are not
shown, with the reason. Ctrl-C ends the audit early, with what it has found.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < egress.Shortest || length > egress.Longest {
				return usage(cmd, fmt.Errorf("--for %v: an audit lasts from %v to %v", length, egress.Shortest, egress.Longest))
			}
			if err := f.found(); err != nil {
				return err
			}
			bar := newProgress(cmd, false)
			began := time.Now()
			report, err := egress.Ask(cmd.Context(), f.client(), length, func(p egress.Progress) {
				bar.count(int(p.Points), auditProgress(p, length-time.Since(began)))
			})
			bar.end()
			if err != nil {
				return err
			}
			if asJSON {
				return printDocument(cmd.OutOrStdout(), report)
			}
			w := newScreen(cmd.OutOrStdout())
			printEgress(w, report)
			return w.done()
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&length, "for", 5*time.Minute, "how long to watch")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func auditProgress(p egress.Progress, left time.Duration) string {
	return fmt.Sprintf("points, %s out to %s, %s left; Ctrl-C ends it", bytesText(p.BytesOut), counted(p.Destinations, "destination"), span(left))
}

func printEgress(w io.Writer, r egress.Report) {
	early := ""
	if r.Early {
		early = ", ended early"
	}
	fmt.Fprintf(w, "what left site %s from %s to %s (%s%s)\n", r.Site,
		r.From.Local().Format(time.DateTime), r.To.Local().Format(time.TimeOnly), span(r.To.Sub(r.From)), early)
	printDestinations(w, r.Destinations)
	fmt.Fprintln(w, "\nwhat was handed over to be sent")
	if len(r.Sources) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, s := range r.Sources {
		printSource(w, s)
	}
	printPolicy(w, r.Policy)
	printList(w, "\nnever sent", r.NeverSent)
	printList(w, "\nnotes", r.Notes)
}

func printList(w io.Writer, title string, lines []string) {
	fmt.Fprintln(w, title)
	for _, text := range lines {
		fmt.Fprintf(w, "  %s\n", text)
	}
}

func printDestinations(w io.Writer, all []egress.Destination) {
	fmt.Fprintln(w, "\ndestinations")
	if len(all) == 0 {
		fmt.Fprintln(w, "  none")
		return
	}
	rows := [][]string{{"  PURPOSE", "PROTOCOL", "ADDRESS", "NAME", "OUT", "IN", "CARRIED BY"}}
	for _, d := range all {
		carried := fmt.Sprintf("%s out, %d in", counted(int(d.DatagramsOut), "datagram"), d.DatagramsIn)
		switch d.Protocol {
		case "icmp":
			carried = fmt.Sprintf("%s out, %d in", counted(int(d.DatagramsOut), "ping"), d.DatagramsIn)
		case "tcp":
			carried = fmt.Sprintf("%s, %s to connect", counted(int(d.Connections), "connection"), counted(int(d.Attempts), "attempt"))
		}
		rows = append(rows, []string{"  " + d.Purpose, d.Protocol, d.Address, d.Name, bytesText(d.BytesOut), bytesText(d.BytesIn), carried})
	}
	_ = printColumns(w, rows) // the screen keeps the error
}

func printSource(w io.Writer, s egress.Source) {
	fmt.Fprintf(w, "\n  %s: %s, %s, %s\n", s.Name, counted(int(s.Points), "point"), counted(int(s.Events), "event"), counted(int(s.Records), "log record"))
	if len(s.Metrics) > 0 {
		rows := [][]string{{"    METRIC", "TYPE", "POINTS"}}
		for _, m := range s.Metrics {
			rows = append(rows, []string{"    " + m.Key, m.Type, grouped(int(m.Points))})
		}
		_ = printColumns(w, rows) // the screen keeps the error
	}
	if len(s.Dimensions) > 0 {
		rows := [][]string{{"    DIMENSION", "IN", "EXAMPLES"}}
		for _, d := range s.Dimensions {
			rows = append(rows, []string{"    " + d.Key, strings.Join(d.In, ", "), examplesOf(d)})
		}
		_ = printColumns(w, rows) // the screen keeps the error
	}
}

func examplesOf(d egress.Dimension) string {
	if d.Redacted != "" {
		return "(not shown here: " + d.Redacted + ")"
	}
	var quoted []string
	for _, e := range d.Examples {
		quoted = append(quoted, fmt.Sprintf("%q", e))
	}
	return strings.Join(quoted, ", ")
}

func printPolicy(w io.Writer, p *egress.Policy) {
	if p == nil {
		fmt.Fprintln(w, "\nprivacy policy: none; `privacy_file` in the configuration names one")
		return
	}
	fmt.Fprintf(w, "\nprivacy policy %s, since it was loaded\n", p.File)
	for _, r := range p.Rules {
		did := "has changed " + counted(int(r.Matched), "dimension")
		if r.Matched == 0 {
			did = "MATCHES NOTHING: look for a misspelt name"
		}
		fmt.Fprintf(w, "  %s: %s %s\n", r.Where, r.Text, did)
	}
	if p.Folded > 0 {
		fmt.Fprintf(w, "  %s joined with another one, since without those dimensions their series are the same\n", counted(int(p.Folded), "point"))
	}
}
