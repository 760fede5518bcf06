package main

import (
	"fmt"
	"io"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// printHub tells of a relay, in the place of devices and configurations.
func printHub(w io.Writer, h *control.Hub, now time.Time) {
	fmt.Fprintf(w, "\nrelay    %s, %s, store %s\n", h.ID, h.State, h.Store)
	for _, b := range h.Brokers {
		if b.Connected {
			fmt.Fprintf(w, "  broker %s: connected for %s\n", b.URL, span(now.Sub(b.Since)))
			continue
		}
		fmt.Fprintf(w, "  broker %s: not connected for %s: %s\n", b.URL, span(now.Sub(b.Since)), b.LastError)
	}
	states := map[string]int{}
	for _, s := range h.Sites {
		states[siteState(s)]++
	}
	fmt.Fprintf(w, "  sites: %d", len(h.Sites))
	for _, word := range []string{"online", "draining", "stopped", "lost", "unknown", "SILENT"} {
		if states[word] > 0 {
			fmt.Fprintf(w, ", %d %s", states[word], word)
		}
	}
	fmt.Fprintln(w, "; `edgehold relay sites` lists them")
	b := h.Blocks
	fmt.Fprintf(w, "  since the start: %d blocks came, %d stored, %d known before, %d rejected, %d without names, %d found no room\n",
		b.Came, b.Stored, b.Duplicates+b.Done, b.Rejected+b.Garbled, b.Names, b.Full)
	if h.Pressure > 0 {
		fmt.Fprintf(w, "  the store is filling up (%.0f%%): sites are asked to wait %s between blocks\n", 100*h.Pressure, span(time.Duration(h.SlowMS)*time.Millisecond))
	}
	if h.DenyNumber > 0 {
		fmt.Fprintf(w, "  deny list number %d is published\n", h.DenyNumber)
	}
}
