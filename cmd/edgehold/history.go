package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
)

type historyFlags struct {
	storeFlags
	since, until string
	dims         []string
	width, top   int
	ascii        bool
	asJSON       bool
	quiet        bool
}

func newHistory() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history DEVICE [METRIC]",
		Short: "Show what the store holds of one device, drawn in the terminal",
		Long: `Show what the store holds of one device, sent or not: without METRIC a table of
its metrics, with METRIC a chart of each of its series. It needs no uplink.

DEVICE is an address or a name of the device. METRIC is a metric key, its last
sections, or a pattern such as '*.bytes'. Of counters the store holds what they
grew by from poll to poll.

  edgehold history 192.0.2.10
  edgehold history core-sw1 if.in.bytes --since 36h --dim port=Gi1/0/1`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "7d", "the first time: a duration, which is how long ago, or a date")
	flags.StringVar(&f.until, "until", "", "the last time (default: now)")
	flags.StringArrayVar(&f.dims, "dim", nil, "only series with this dimension, as KEY=VALUE; may be repeated")
	flags.IntVar(&f.width, "width", 0, "characters in a line (default: the terminal's)")
	flags.IntVar(&f.top, "top", 5, "series to show of each metric, the busiest first")
	flags.BoolVar(&f.ascii, "ascii", false, "draw with ASCII only (default where the locale is not UTF-8)")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, of all series")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress bar")
	return cmd
}

func (f *historyFlags) run(cmd *cobra.Command, args []string) error {
	if args[0] == "" {
		return usage(cmd, errors.New("DEVICE is empty, expected an address or a name"))
	}
	request := export.Request{Device: args[0], Since: f.since, Until: f.until}
	if len(args) == 2 {
		request.Key = args[1]
	}
	var err error
	if request.Dims, err = dimensionFlags(f.dims); err != nil {
		return usage(cmd, err)
	}
	filter, err := request.Filter(time.Now())
	if err != nil {
		return usage(cmd, err)
	}
	if f.top < 1 || f.width < 0 || f.width > 0 && f.width < leastWidth || f.width > mostWidth {
		return usage(cmd, fmt.Errorf("--top is %d and --width %d, expected at least 1 and %d to %d characters", f.top, f.width, leastWidth, mostWidth))
	}
	f.width = min(mostWidth, max(leastWidth, cmp.Or(f.width, terminalWidth(cmd.OutOrStdout()))))
	text := newScreen(cmd.OutOrStdout())
	text.ascii = text.ascii || f.ascii
	f.ascii = text.ascii
	canvas := export.Canvas{Width: f.width - 9, Height: 8, ASCII: f.ascii}
	return f.with(cmd.Context(), readOnly, func(s export.Source) error {
		bar := newProgress(cmd, f.quiet)
		h, err := readHistory(cmd.Context(), s, export.HistoryRequest{
			Filter: filter, Cells: canvas.Dots(), Progress: func(done, of int64) { bar.show("read", done, of) },
		})
		bar.end()
		if err != nil {
			return err
		}
		if f.asJSON && h.Points > 0 {
			return printDocument(cmd.OutOrStdout(), h)
		}
		if len(h.Series) > 0 && f.guessing(cmd.Context()) {
			warn(cmd, "the agent does not know the time yet: what it has measured since its start is kept, and is not shown here until it does")
		}
		return errors.Join(f.print(text, h, filter, canvas), text.done())
	})
}

// readHistory reads the history. What was measured while the time was not known
// is within no bounds of time: it is looked for where nothing else is held.
func readHistory(ctx context.Context, s export.Source, r export.HistoryRequest) (*export.History, error) {
	h, err := export.ReadHistory(ctx, s, r)
	if err != nil || h.Points > 0 {
		return h, err
	}
	r.Filter.Since, r.Filter.Until = time.Time{}, time.Time{}
	all, err := export.ReadHistory(ctx, s, r)
	if err == nil {
		h.Points, h.Undated = all.Undated, all.Undated
	}
	return h, err
}

// guessing tells whether an agent is running that does not know the time yet.
func (f *historyFlags) guessing(ctx context.Context) bool {
	var st control.Status
	return f.file == "" && f.client().Status(ctx, &st) == nil && !st.Clock.Trusted
}

const (
	leastWidth = 40
	mostWidth  = 500
)

func (f *historyFlags) print(w io.Writer, h *export.History, filter export.Filter, canvas export.Canvas) error {
	switch {
	case len(h.Series) > 0:
	case h.Undated > 0:
		fmt.Fprintf(w, "%s: %d points, all measured while the time was not known: they are kept, and shown once the agent knows it (`edgehold status` tells)\n", oneLine(h.Device), h.Undated)
		return nil
	default:
		return nothingHeld(h, filter)
	}
	printHead(w, h)
	for from := 0; from < len(h.Series); {
		to := from + 1
		for to < len(h.Series) && h.Series[to].Key == h.Series[from].Key {
			to++
		}
		one := h.Series[from:to]
		fmt.Fprintf(w, "\n%s  (%s)\n", oneLine(one[0].Key), typeWords(one[0].Type))
		shown := one[:min(f.top, len(one))]
		if filter.Key == "" {
			f.printTable(w, h, shown)
		} else {
			f.printCharts(w, h, shown, canvas)
		}
		if more := len(one) - len(shown); more > 0 {
			fmt.Fprintf(w, "  and %d more; --top %d shows all, --dim KEY=VALUE some\n", more, len(one))
		}
		from = to
	}
	return nil
}

// nothingHeld says what is there instead.
func nothingHeld(h *export.History, filter export.Filter) error {
	text := "the store holds nothing of a device " + filter.Device
	if len(h.Hint.Keys) > 0 {
		text = "the store holds no metric " + filter.Key + " of " + filter.Device
	}
	if filter.Since.IsZero() {
		return errors.New(text + hintText(h.Hint))
	}
	return errors.New(text + " since " + filter.Since.Format(time.DateTime) + hintText(h.Hint))
}

func printHead(w io.Writer, h *export.History) {
	fmt.Fprintf(w, "%s: %d points of %d series, %s to %s\n", oneLine(h.Device), h.Points, len(h.Series)+h.Left, h.From.Format(time.DateTime), h.To.Format(time.DateTime))
	waiting := h.Points - h.Delivered - h.Late
	fmt.Fprintf(w, "%d %% delivered or otherwise done with, %d points wait to be sent, %d came too late\n", h.Delivered*100/h.Points, waiting, h.Late)
	if h.Undated > 0 {
		fmt.Fprintf(w, "%d of the points were measured while the time was not known: they are not drawn\n", h.Undated)
	}
	if !h.StoreOldest.IsZero() {
		fmt.Fprintf(w, "in the whole store, points wait to be sent since %s\n", h.StoreOldest.Local().Format(time.DateTime))
	}
	if len(h.Shared) > 0 {
		fmt.Fprintf(w, "all: %s\n", dimsText(h.Shared))
	}
	if h.Left > 0 {
		fmt.Fprintf(w, "%d series are counted but not shown; name a METRIC or a --dim\n", h.Left)
	}
}

func typeWords(t string) string {
	if t == "count" {
		return "what a counter grew by from poll to poll"
	}
	return t
}

func dimsText(dims []export.Dim) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = oneLine(d.Key + "=" + d.Value)
	}
	return strings.Join(parts, " ")
}

// nameOf is what tells a series from the others.
func nameOf(s export.SeriesLine) string { return cmp.Or(dimsText(s.Varying), "-") }

const (
	fixedColumns = 45 // of the table: all but the name and the line drawn
	leastSpark   = 8
)

func (f *historyFlags) printTable(w io.Writer, h *export.History, shown []export.SeriesLine) {
	names := 8
	for _, s := range shown {
		names = max(names, len([]rune(nameOf(s))))
	}
	names = min(names, max(12, f.width-fixedColumns-leastSpark))
	spark := min(40, f.width-fixedColumns-names)
	fmt.Fprintf(w, "  %-*s %7s %6s %6s %6s %6s %6s\n", names, "", "points", "age", "last", "min", "avg", "max")
	for _, s := range shown {
		line := fmt.Sprintf("  %-*s %7s %6s %6s %6s %6s %6s", names, cut(nameOf(s), names), count(s.Points), ages(s.Last, time.Now()),
			export.Short(s.LastValue), export.Short(s.Min), export.Short(s.Avg), export.Short(s.Max))
		if spark >= leastSpark {
			line += " " + export.Sparkline(s, h.Step.Std(), spark, f.ascii)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func count(n int64) string {
	if n < 1_000_000 {
		return strconv.FormatInt(n, 10)
	}
	return export.Short(float64(n))
}

// ages says how long ago in one unit.
func ages(t, now time.Time) string {
	d := max(0, now.Sub(t))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// cut shortens a text to n characters, in its middle: both ends tell series
// apart.
func cut(text string, n int) string {
	r := []rune(text)
	if len(r) <= n {
		return text
	}
	head := (n - 2) / 2
	return string(slices.Concat(r[:head], []rune(".."), r[len(r)-(n-2-head):]))
}

func (f *historyFlags) printCharts(w io.Writer, h *export.History, shown []export.SeriesLine, canvas export.Canvas) {
	for _, s := range shown {
		fmt.Fprintf(w, "\n%s\n%d points, last %s at %s, min %s, avg %s, max %s", cut(nameOf(s), f.width),
			s.Points, export.Short(s.LastValue), s.Last.Format(time.DateTime), export.Short(s.Min), export.Short(s.Avg), export.Short(s.Max))
		if n, longest := export.Gaps(s, h.Step.Std()); n > 0 {
			fmt.Fprintf(w, "; gaps: %d, the longest about %s", n, span(longest))
		}
		fmt.Fprintln(w)
		for _, line := range canvas.Draw(s, h.Step.Std()) {
			fmt.Fprintln(w, line)
		}
	}
}

// terminalWidth is the width of the terminal, or what COLUMNS says, or 80.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 80
}

// utf8Locale looks at the variables in the order of the C library.
func utf8Locale(env func(string) string) bool {
	name := strings.ToLower(cmp.Or(env("LC_ALL"), env("LC_CTYPE"), env("LANG")))
	return strings.Contains(name, "utf-8") || strings.Contains(name, "utf8")
}
