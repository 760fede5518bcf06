package export

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Canvas says how a chart is drawn.
type Canvas struct {
	Width, Height int  // characters, the axes not counted
	ASCII         bool // for terminals without UTF-8: one dot a character instead of two by four
}

// Dots are the dots of the canvas side by side: how many cells it can show.
func (c Canvas) Dots() int {
	x, _ := c.scale()
	return c.Width * x
}

func (c Canvas) scale() (x, y int) {
	if c.ASCII {
		return 1, 1
	}
	return 2, 4
}

const gutter = 8 // characters left of the chart, for values

// Draw gives the lines of the chart of one series: values to the left, time
// below. Each column is drawn from the least to the greatest value of its
// time, joined with the one before; where no points are, nothing is drawn.
func (c Canvas) Draw(s SeriesLine, step time.Duration) []string {
	x, y := c.scale()
	grid := newGrid(c.Width*x, c.Height*y, s)
	for i, band := range bands(s, step) {
		grid.fill(i, len(s.Cells), band)
	}
	lines := make([]string, 0, c.Height+3)
	side, corner, floor := " ┤", " └", "─"
	if c.ASCII {
		side, corner, floor = " |", " +", "-"
	}
	for row := range c.Height {
		label := ""
		if row == 0 || row == c.Height-1 || c.Height > 5 && row == c.Height/2 {
			label = Short(grid.high - (grid.high-grid.low)*float64(row)/float64(max(1, c.Height-1)))
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%*s%s%s", gutter-2, label, side, c.row(grid, row)), " "))
	}
	lines = append(lines, strings.Repeat(" ", gutter-2)+corner+strings.Repeat(floor, c.Width))
	end := s.Begin.Add(time.Duration(len(s.Cells)) * step)
	return append(lines, strings.Repeat(" ", gutter)+timeAxis(s.Begin, end, c.Width))
}

// row packs the dots of one row of characters.
func (c Canvas) row(g *grid, row int) string {
	var b strings.Builder
	for col := range c.Width {
		switch {
		case !c.ASCII:
			b.WriteRune(braille(g, col*2, row*4))
		case g.at(col, row):
			b.WriteByte('*')
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// braille is the character of two by four dots; blank for none of them.
func braille(g *grid, x, y int) rune {
	dots := [8][2]int{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}}
	r := rune(0)
	for bit, d := range dots {
		if g.at(x+d[0], y+d[1]) {
			r |= 1 << bit
		}
	}
	if r == 0 {
		return ' '
	}
	return 0x2800 + r
}

// grid is the dots of a chart, the first row on top.
type grid struct {
	wide, tall int
	low, high  float64
	dots       []bool
}

func newGrid(wide, tall int, s SeriesLine) *grid {
	g := &grid{wide: wide, tall: tall, low: s.Min, high: s.Max, dots: make([]bool, wide*tall)}
	if g.low >= 0 && g.low < g.high/2 {
		g.low = 0
	}
	if g.low == g.high {
		g.low, g.high = g.low-1, g.high+1
	}
	return g
}

func (g *grid) at(x, y int) bool { return g.dots[y*g.wide+x] }

// fill draws the band of cell i of n.
func (g *grid) fill(i, n int, b band) {
	if !b.shown {
		return
	}
	top, bottom := g.y(b.high), g.y(b.low)
	for x := i * g.wide / n; x < (i+1)*g.wide/n; x++ {
		for y := top; y <= bottom; y++ {
			g.dots[y*g.wide+x] = true
		}
	}
}

func (g *grid) y(v float64) int {
	share := (v/2 - g.low/2) / (g.high/2 - g.low/2) // halves: the distance of two floats may be none
	return min(g.tall-1, max(0, int(math.Round((1-share)*float64(g.tall-1)))))
}

// band is what is drawn of one cell.
type band struct {
	low, high float64
	shown     bool
}

// bands turns cells into bands: stretches without points that are no gap are
// bridged, and each band reaches the one before.
func bands(s SeriesLine, step time.Duration) []band {
	out := make([]band, len(s.Cells))
	for _, run := range runs(s, step) {
		last := -1
		for i := run.from; i < run.to; i++ {
			c := s.Cells[i]
			if c.N == 0 {
				continue
			}
			out[i] = band{c.Min, c.Max, true}
			for j := last + 1; last >= 0 && j < i; j++ {
				share := float64(j-last) / float64(i-last)
				v := s.Cells[last].Mean()*(1-share) + c.Mean()*share
				out[j] = band{v, v, true}
			}
			last = i
		}
		for i := run.from + 1; i < run.to; i++ {
			before := out[i-1]
			out[i].low, out[i].high = min(out[i].low, before.high), max(out[i].high, before.low)
		}
	}
	return out
}

type stretch struct{ from, to int }

// runs are the stretches of cells between gaps.
func runs(s SeriesLine, step time.Duration) []stretch {
	var out []stretch
	for i, c := range s.Cells {
		if c.N == 0 {
			continue
		}
		n := len(out)
		if n > 0 && time.Duration(i-out[n-1].to)*step <= s.Usual { // side by side is no distance
			out[n-1].to = i + 1
			continue
		}
		out = append(out, stretch{i, i + 1})
	}
	return out
}

// Gaps counts the gaps of a series and finds the longest.
func Gaps(s SeriesLine, step time.Duration) (n int, longest time.Duration) {
	all := runs(s, step)
	for i := 1; i < len(all); i++ {
		longest = max(longest, time.Duration(all[i].from-all[i-1].to)*step)
	}
	return max(0, len(all)-1), longest
}

// Sparkline draws the means of a series in one line of characters.
func Sparkline(s SeriesLine, step time.Duration, width int, ascii bool) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		levels = []rune("_.-:=+*#")
	}
	columns := make([]Cell, width)
	for i, b := range bands(s, step) {
		if b.shown {
			mean := (b.low + b.high) / 2
			if c := s.Cells[i]; c.N > 0 {
				mean = c.Mean()
			}
			columns[i*width/len(s.Cells)].add(Cell{Min: mean, Max: mean, Sum: mean, N: 1})
		}
	}
	g := newGrid(1, len(levels), s)
	line := make([]rune, width)
	for i, c := range columns {
		line[i] = ' '
		if c.N > 0 {
			line[i] = levels[len(levels)-1-g.y(c.Mean())]
		}
	}
	return string(line)
}

// timeAxis writes the times of the left end, the middle and the right end.
func timeAxis(from, to time.Time, width int) string {
	layout := "2006-01-02"
	switch length := to.Sub(from); {
	case length < 5*time.Minute:
		layout = "15:04:05"
	case length < 24*time.Hour:
		layout = "15:04"
	case length < 21*24*time.Hour:
		layout = "01-02 15:04"
	}
	left, right := from.Format(layout), to.Format(layout)
	middle := from.Add(to.Sub(from) / 2).Format(layout)
	if width < 3*len(left)+4 {
		return left + strings.Repeat(" ", max(1, width-2*len(left))) + right
	}
	room := width - 3*len(left)
	return left + strings.Repeat(" ", room/2) + middle + strings.Repeat(" ", room-room/2) + right
}

// Short writes a number in at most six characters: 1234, 12.3k, -4.56M, 0.012.
func Short(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	size := math.Abs(v)
	if size < 1e-3 || size >= 9.995e14 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	if size == math.Trunc(size) && size < 10_000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	n := 0
	for size >= 999.5 {
		size, v, n = size/1000, v/1000, n+1
	}
	unit := []string{"", "k", "M", "G", "T"}[n]
	digits := 2
	switch {
	case size >= 99.95:
		digits = 0
	case size >= 9.995:
		digits = 1
	case size < 0.1:
		digits = 3
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + unit
}
