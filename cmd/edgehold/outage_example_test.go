package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// The pictures of the worked example, taken of a real agent by a test of the
// room agent, and the page of the manual that shows them.
const (
	outagePictures = "../../agent/testdata/outage.json"
	outagePage     = "../../packaging/manual/outage.md"
)

// TestOutageExample holds the screens of the manual's worked example against
// what `edgehold status` prints of the pictures.
func TestOutageExample(t *testing.T) {
	blocks := outageBlocks(t)
	data, err := os.ReadFile(outagePage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for name, want := range blocks {
		var got string
		page, got, err = replaceBlock(page, name, want)
		if err != nil {
			t.Error(err)
		} else if got != want && os.Getenv("EDGEHOLD_UPDATE_GOLDEN") == "" {
			t.Errorf("the block %q of %s is\n%s\nand should be\n%s\nEDGEHOLD_UPDATE_GOLDEN=1 writes it anew", name, outagePage, got, want)
		}
	}
	if n := strings.Count(page, "<!-- capture: "); n != len(blocks) {
		t.Errorf("%s has %d blocks, want %d", outagePage, n, len(blocks))
	}
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(outagePage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outageBlocks are the blocks of the page by their names.
func outageBlocks(t *testing.T) map[string]string {
	t.Helper()
	var pictures struct {
		Moments []struct {
			Name   string
			At     time.Time
			Status control.Status
		}
		Environment struct {
			Periods []struct {
				From             time.Time
				Metrics, Records int
			}
			Event, Record json.RawMessage
		}
	}
	data, err := os.ReadFile(outagePictures)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &pictures); err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range pictures.Moments {
		blocks[m.Name] = statusScreen(t, m.Status, m.At)
	}
	e := pictures.Environment
	var table strings.Builder
	fmt.Fprintln(&table, "measured from   metrics   in log records")
	for _, p := range e.Periods {
		fmt.Fprintf(&table, "%s        %8d %16d\n", p.From.Format("15:04"), p.Metrics, p.Records)
	}
	blocks["periods"] = table.String()
	for name, raw := range map[string]json.RawMessage{"event": e.Event, "record": e.Record} {
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			t.Fatal(err)
		}
		blocks[name] = b.String() + "\n"
	}
	return blocks
}

// statusScreen is what `edgehold status` prints, without the memory, which the
// pictures do not hold.
func statusScreen(t *testing.T, st control.Status, at time.Time) string {
	t.Helper()
	var b bytes.Buffer
	w := newScreen(&b)
	printStatus(w, st, view{now: at})
	if err := w.done(); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(b.String(), "   memory 0 B resident (0 B anonymous)", "", 1)
}

// replaceBlock puts text into the fenced block behind the marker of this name,
// and gives what was in it.
func replaceBlock(page, name, text string) (changed, old string, err error) {
	head, rest, found := strings.Cut(page, "<!-- capture: "+name+" -->\n```")
	word, rest, opened := strings.Cut(rest, "\n")
	old, rest, closed := strings.Cut(rest, "```\n")
	if !found || !opened || !closed {
		return page, "", fmt.Errorf("%s has no block %q", outagePage, name)
	}
	return head + "<!-- capture: " + name + " -->\n```" + word + "\n" + text + "```\n" + rest, old, nil
}
