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
	width int       // of the bar, so that it keeps to its line
	what  string
	from  int64 // done when what began
	began time.Time
	drawn time.Time
}

// newProgress draws to standard error, if that is a terminal.
func newProgress(cmd *cobra.Command, quiet bool) *progress {
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && !quiet && isTerminal(f) {
		return &progress{w: f, width: min(78, terminalWidth(f)-2)}
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
	fmt.Fprintf(p.w, "\r%-*s", p.width, fitBar(p.width, what, now.Sub(p.began), [3]int64{p.from, done, of}))
}

const fullBar = 24

// fitBar makes the bar as long as the line has room for. What is too long even
// without one loses its last parts: half a number would tell another one.
func fitBar(room int, what string, took time.Duration, bytes [3]int64) string {
	text := barText(fullBar, what, took, bytes)
	if more := len(text) - room; more > 0 {
		text = barText(max(0, fullBar-more), what, took, bytes)
	}
	for len(text) > room {
		text = text[:max(0, strings.LastIndex(text, "  "))]
	}
	return text
}

// barText is the line of the bar; from, done and of are in bytes.
func barText(width int, what string, took time.Duration, bytes [3]int64) string {
	from, done, of := bytes[0], min(bytes[1], bytes[2]), max(1, bytes[2])
	full := int(done * int64(width) / of)
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
		fmt.Fprintf(p.w, "\r%*s\r", p.width, "")
	}
}

// count tells how many are done where nobody knows of how many.
func (p *progress) count(done int, what string) {
	now := time.Now()
	if p.w == nil || now.Sub(p.drawn) < 100*time.Millisecond {
		return
	}
	p.what, p.drawn = what, now
	text := fmt.Sprintf("%d %s", done, what)
	fmt.Fprintf(p.w, "\r%-*s", p.width, text[:min(len(text), p.width)])
}

// scan tells how many addresses are done.
func (p *progress) scan(done, of uint64, devices int) {
	now := time.Now()
	if p.w == nil || now.Sub(p.drawn) < 100*time.Millisecond && done < of {
		return
	}
	p.what, p.drawn = "scan", now
	full := int(float64(done) / float64(max(1, of)) * fullBar)
	text := fmt.Sprintf("[%s%s] %d of %d addresses, %d answer", strings.Repeat("#", full), strings.Repeat(".", fullBar-full), done, of, devices)
	fmt.Fprintf(p.w, "\r%-*s", p.width, text[:min(len(text), p.width)])
}
