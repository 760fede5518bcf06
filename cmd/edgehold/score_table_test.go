package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func total(all []*score) *score {
	sum := &score{name: "all", counts: map[string]*tally{}}
	for _, s := range all {
		sum.points += s.points
		for what, c := range s.counts {
			t := sum.of(what)
			t.wanted, t.found, t.wrong = t.wanted+c.wanted, t.found+c.found, t.wrong+c.wrong
		}
	}
	return sum
}

func tellMissed(t *testing.T, all []*score) {
	for _, s := range all {
		if len(s.missed) > 0 {
			t.Logf("%s (%s) missed:\n  %s", s.name, s.profile, strings.Join(s.missed, "\n  "))
		}
	}
}

const scoreHead = "| recording | profile | points | ports | sensors | processors | memory | wrong values |\n|---|---|---:|---:|---:|---:|---:|---:|\n"

func scoreTable(all []*score) string {
	var b strings.Builder
	b.WriteString(scoreHead)
	for _, s := range append(slices.Clip(all), total(all)) {
		wrong := 0
		for _, c := range s.counts {
			wrong += c.wrong
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %d |\n", s.name, s.profile, s.points, share(s.counts["ports"]),
			share(s.sensors()), share(s.counts["processors"]), share(s.counts["mempools"]), wrong)
	}
	sum := total(all)
	b.WriteString("\n| class of sensor | found | wrong values |\n|---|---:|---:|\n")
	for _, what := range slices.Sorted(maps.Keys(sum.counts)) {
		if class, ok := strings.CutPrefix(what, "sensor "); ok {
			fmt.Fprintf(&b, "| %s | %s | %d |\n", class, share(sum.counts[what]), sum.counts[what].wrong)
		}
	}
	return b.String()
}

func share(c *tally) string {
	if c == nil || c.wanted == 0 {
		return "–"
	}
	return fmt.Sprintf("%d/%d", c.found, c.wanted)
}

const scoreSection = "## Profiles against recordings\n"

// writeScore puts the table in its section of BENCHMARKS.md.
func writeScore(t *testing.T, table string) {
	file := filepath.Join("..", "..", "BENCHMARKS.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), scoreSection)
	if !found {
		before += "\n"
	}
	after := ""
	if _, next, more := strings.Cut(rest, "\n## "); more {
		after = "\n## " + next
	}
	text := before + scoreSection + scoreAbout + table + after
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const scoreAbout = `
Recordings of real devices are served by the responder and polled as unknown devices (` + "`profile: auto`" + `, feature set
all). What is found is compared with what LibreNMS expects of the same recordings: ports by index or name,
sensors and processors by OID and value (raw / divisor x multiplier), memory by the share in use, or by name and
size. Expectations whose OID
is not in the recording or has no number there do not count. Command: ` + "`make score`" + `.

`
