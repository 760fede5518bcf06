package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// progress draws a bar with rate and remaining time over itself.
type progress struct {
	w     io.Writer // nil: nothing is drawn
	what  string
	from  int64 // done when what began
	began time.Time
	drawn time.Time
}

// newProgress draws to standard error, if that is a terminal.
func newProgress(cmd *cobra.Command, quiet bool) *progress {
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && !quiet && isTerminal(f) {
		return &progress{w: f}
	}
	return &progress{}
}

// show tells how many of all bytes are done.
func (p *progress) show(what string, done, of int64) {
	now := time.Now()
	if p.w == nil || what == p.what && now.Sub(p.drawn) < 100*time.Millisecond {
		return
	}
	if what != p.what {
		p.what, p.from, p.began = what, done, now
	}
	p.drawn = now
	fmt.Fprintf(p.w, "\r%-78s", barText(what, now.Sub(p.began), [3]int64{p.from, done, of}))
}

// barText is the line of the bar; from, done and of are in bytes.
func barText(what string, took time.Duration, bytes [3]int64) string {
	const width = 24
	from, done, of := bytes[0], min(bytes[1], bytes[2]), max(1, bytes[2])
	full := int(done * width / of)
	text := fmt.Sprintf("%-6s [%s%s] %3d %%  %s of %s", what, strings.Repeat("#", full), strings.Repeat(".", width-full), done*100/of, bytesText(done), bytesText(of))
	if took < time.Second || done <= from {
		return text
	}
	rate := float64(done-from) / took.Seconds()
	left := time.Duration(float64(of-done) / rate * float64(time.Second))
	return fmt.Sprintf("%s  %s/s  %s left", text, bytesText(int64(rate)), span(left))
}

// end takes the bar away.
func (p *progress) end() {
	if p.w != nil && p.what != "" {
		fmt.Fprintf(p.w, "\r%78s\r", "")
	}
}
