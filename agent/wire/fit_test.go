package wire

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

// TestFit looks for how many fit where sizes grow in many ways: it makes few
// blocks, and fills them.
func TestFit(t *testing.T) {
	for name, size := range map[string]func(n int) int{
		"even":              func(n int) int { return 100 + 3*n },
		"dear at first":     func(n int) int { return 6*min(n, 5000) + n/2 },
		"dear later":        func(n int) int { return n/2 + 9*max(0, n-8000) },
		"root":              func(n int) int { return int(300 * math.Sqrt(float64(n))) },
		"square":            func(n int) int { return n * n / 1000 },
		"steps":             func(n int) int { return 20000 * (1 + n/4000) },
		"nearly nothing":    func(n int) int { return 100 + n/100 },
		"one is nearly all": func(n int) int { return 60000 * n },
		"a wall":            func(n int) int { return n + n/3000*MaxBlock },
	} {
		w, past := NewWriter(), history{}
		for round := range 8 {
			tries, sum := 0, 0
			j := job{total: MaxPoints, most: DefaultBlock, guess: 10000, past: &past, try: func(n int) (fill, error) {
				tries++
				sum += n
				return fill{n, size(n)}, nil
			}}
			n, err := w.fit(j)
			if err != nil || size(n) > DefaultBlock {
				t.Fatalf("%s: %d, which take %d: %v", name, n, size(n), err)
			}
			most := n
			for most < MaxPoints && size(most+1) <= DefaultBlock {
				most++
			}
			t.Logf("%s, round %d: %d of %d in %d tries of %d in all", name, round, n, most, tries, sum)
			if round > 0 && n < most/2 {
				t.Errorf("%s: %d where %d fit", name, n, most)
			}
			if limit := 4 + max(0, 14-int(math.Log2(float64(n)))); tries > limit || sum > 8*most+20000 {
				t.Errorf("%s: %d tries of %d in all to find %d", name, tries, sum, n)
			}
		}
	}
	var past history
	j := job{total: 5000, most: DefaultBlock, guess: 4000, past: &past, try: func(n int) (fill, error) { return fill{n, DefaultBlock + n}, nil }}
	var p *PointError
	if n, err := NewWriter().fit(j); !errors.As(err, &p) || n != 0 {
		t.Errorf("nothing fits: %d, %v", n, err)
	}
	j.try = func(int) (fill, error) { return fill{}, fmt.Errorf("no") }
	if _, err := NewWriter().fit(j); err == nil {
		t.Error("an error was lost")
	}
}
