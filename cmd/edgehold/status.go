package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/control"
)

func newStatus() *cobra.Command {
	var f socketFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show devices, store, uplink and account of the running agent",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var st control.Status
			if err := f.found(); err != nil {
				return err
			}
			if err := f.client().Status(cmd.Context(), &st); err != nil {
				return err
			}
			if asJSON {
				return printDocument(cmd.OutOrStdout(), st)
			}
			w := newScreen(cmd.OutOrStdout())
			printStatus(w, st, view{now: time.Now(), all: all})
			return w.done()
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "list every device, also where all is well")
	return cmd
}

// view is what the reader of a status wants.
type view struct {
	now time.Time
	all bool // every device that is well
}

// printStatus is one screen, in the order in which a point travels.
func printStatus(w io.Writer, st control.Status, v view) {
	now := v.now
	fmt.Fprintf(w, "edgehold %s   site %s   up %s   memory %s resident (%s anonymous)\n",
		st.Version, st.Site, span(time.Duration(st.UptimeS)*time.Second), bytesText(st.Memory.Resident), bytesText(st.Memory.Anonymous))
	for _, a := range st.Alarms {
		fmt.Fprintf(w, "ALARM    %s\n", a)
	}
	if st.Hub != nil {
		printHub(w, st.Hub, nowOf(st))
	} else {
		printAgent(w, st, v)
	}
	printClock(w, st.Clock)
	printStore(w, st)
	if !st.Clock.Time.IsZero() {
		now = st.Clock.Time // the uplink goes by it, and this machine's clock may be wrong
	}
	printUplink(w, st.Uplink, now)
	printAccount(w, st.Account)
}

// printAgent is what an agent polls, and by what.
func printAgent(w io.Writer, st control.Status, v view) {
	printDevices(w, st, v)
	fmt.Fprintf(w, "\nconfigurations\n")
	for _, c := range st.Configurations {
		fmt.Fprintf(w, "  %-24s %s: %s\n", c.Status, c.Name, c.Message)
		for _, warning := range c.Warnings {
			fmt.Fprintf(w, "  %-24s   warning: %s\n", "", warning)
		}
	}
	if len(st.Packages) > 0 {
		fmt.Fprintf(w, "\npackages\n")
		printPackages(w, st.Packages)
	}
	printUsage(w, st.Usage)
}

func printStore(w io.Writer, st control.Status) {
	b := st.Buffer
	fmt.Fprintf(w, "\nstore    %s\n", b.Path)
	fmt.Fprintf(w, "  %s used of a file of %s, quota %s; %d series", bytesText(b.UsedBytes), bytesText(b.FileBytes), bytesText(b.MaxBytes), b.Series)
	switch {
	case st.Account.Buffered > 0 && !b.Oldest.IsZero():
		fmt.Fprintf(w, "; oldest point %s old", span(time.Duration(b.BacklogAgeS*float64(time.Second))))
	case st.Account.Buffered > 0:
		fmt.Fprint(w, "; how old the points are is not known yet")
	}
	fmt.Fprint(w, waiting(b.Ages))
	fmt.Fprintf(w, "\n  %d points in memory, not yet committed", b.PendingPoints)
	if b.DroppedUnaccepted > 0 {
		fmt.Fprintf(w, "; %d dropped before they could be accepted", b.DroppedUnaccepted)
	}
	if b.Refused > 0 {
		fmt.Fprintf(w, "; %d refused, their values being no numbers or their names too long", b.Refused)
	}
	fmt.Fprintln(w)
	for _, warning := range b.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", warning)
	}
	if x := b.Salvage; x != nil {
		fmt.Fprintf(w, "  %s\n", salvageText(*x))
	}
}

func salvageText(x control.Salvage) string {
	text := fmt.Sprintf("a damaged file was found %s and set aside as %s: %d points saved so far", x.At.Local().Format(time.DateTime), x.File, x.PointsSaved)
	if x.Done {
		text = fmt.Sprintf("a damaged file was found %s: %d of its points were saved, %d could not be read", x.At.Local().Format(time.DateTime), x.PointsSaved, x.PointsLost)
		if x.MoreLost {
			text += ", and more may be lost, since its newest account cannot be read"
		}
		if x.File != "" {
			text += "; what is left of it is " + x.File
		}
	}
	return text
}

// span prints a duration as people say it, with at most two units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.0f ms", ms) }

func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
