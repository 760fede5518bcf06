package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// teller is the only place that prints. On a terminal the progress line is
// drawn over itself; elsewhere a line is printed now and then.
type teller struct {
	out      io.Writer
	terminal bool
	drawn    bool
	lastLine time.Duration
}

func newTeller(out io.Writer, terminal bool) *teller {
	return &teller{out: out, terminal: terminal, lastLine: -time.Hour}
}

func (t *teller) Opening(s *stage) {
	fmt.Fprintf(t.out, `Edgehold demo: a site with a switch and a UPS, and a link that breaks.

  switch   24 ports, SNMP on %s, polled with a built-in profile
  UPS      SNMP on %s, polled with the extension package in %s
  uplink   a stand-in for Dynatrace on %s
  agent    this program as a child process, its store in %s

Everything runs on this machine and nothing leaves it.

`, s.switchAddr, s.upsAddr, s.packageDir, s.url, s.storePath)
}

// Say prints one sentence of the story.
func (t *teller) Say(at time.Duration, format string, args ...any) {
	t.ClearProgress()
	fmt.Fprintf(t.out, "%5.1f s  %s\n", at.Seconds(), fmt.Sprintf(format, args...))
}

// Progress shows where the points are.
func (t *teller) Progress(at time.Duration, st control.Status, c draintest.Counts, linkUp bool) {
	link := "up "
	if !linkUp {
		link = "CUT"
	}
	line := fmt.Sprintf("%5.1f s    link %s   accepted %6d   in the file %6d (%s)   arrived %6d",
		at.Seconds(), link, st.Account.Accepted, st.Account.Buffered, kilobytes(st.Buffer.UsedBytes), c.Distinct)
	if t.terminal {
		fmt.Fprintf(t.out, "\r%s\x1b[K", line)
		t.drawn = true
		return
	}
	if at-t.lastLine >= 4*time.Second {
		t.lastLine = at
		fmt.Fprintln(t.out, line)
	}
}

// ClearProgress makes room for a sentence.
func (t *teller) ClearProgress() {
	if t.drawn {
		fmt.Fprint(t.out, "\r\x1b[K")
		t.drawn = false
	}
}

// Sums prints the account; the last two lines are the point of it all.
func (t *teller) Sums(s sums) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe account\n")
	fmt.Fprintf(&b, "  accepted by the agent (durable in its file)  %8d points\n", s.accepted)
	fmt.Fprintf(&b, "  taken by the stand-in                        %8d points\n", s.taken)
	if s.refused+s.late > 0 {
		fmt.Fprintf(&b, "  refused %d, late %d\n", s.refused, s.late)
	}
	fmt.Fprintf(&b, "  on disk during the outage                    %8.1f bytes a point, all pages in use counted\n", s.perDisk)
	fmt.Fprintf(&b, "  peak memory of the agent                     %8.1f MB resident\n", float64(s.peakRSS)/1e6)
	fmt.Fprintf(&b, "\n  lost %d\n  duplicated %d\n", s.lost(), s.duplicated)
	if s.taken > s.accepted {
		fmt.Fprintf(&b, "  the stand-in took %d points that the agent never accepted\n", s.taken-s.accepted)
	}
	fmt.Fprint(t.out, b.String())
}

// Staying tells how to look at the agent that still runs.
func (t *teller) Staying(s *stage) {
	fmt.Fprintf(t.out, `
The agent polls again, until Ctrl-C. In another terminal:

  %s status --socket %s
  %s poll %s --community-file %s --wait 2s
  curl -s %s/_ledger
`, s.binary, s.socketPath, s.binary, s.switchAddr, s.communityPath, s.url)
}

func kilobytes(n int64) string { return fmt.Sprintf("%d kB", n/1000) }
