package drain

import (
	"fmt"
	"testing"
	"time"
)

func TestSpreadIsEven(t *testing.T) {
	for name, site := range map[string]func(i int) string{
		"numbers":         func(i int) string { return fmt.Sprintf("plant-%d", i) },
		"padded numbers":  func(i int) string { return fmt.Sprintf("site-%06d", i) },
		"a number first":  func(i int) string { return fmt.Sprintf("%d.edge.example.com", i) },
		"one letter":      func(i int) string { return string(rune('a'+i%26)) + fmt.Sprint(i/26) },
		"countries":       func(i int) string { return []string{"de", "fr", "at", "ch"}[i%4] + fmt.Sprintf("/store/%d", i/4) },
		"multiples of 64": func(i int) string { return fmt.Sprint(64 * i) },
	} {
		const sites, bins = 6000, 60
		var counts [bins]int
		seen := map[string]bool{}
		for i := range sites {
			s := site(i)
			if seen[s] {
				t.Fatalf("%s: %q twice", name, s)
			}
			seen[s] = true
			d := spread(s)
			if d < 0 || d >= time.Minute || d != spread(s) {
				t.Fatalf("%s: %q waits %v", name, s, d)
			}
			counts[int(d/time.Second)]++
		}
		// Chi square with 59 degrees of freedom is beyond 110 once in 18,000 times.
		var chi float64
		for _, n := range counts {
			off := float64(n) - sites/bins
			chi += off * off / (sites / bins)
		}
		if chi > 110 {
			t.Errorf("%s: chi square %.1f, seconds %v", name, chi, counts)
		}
	}
}
