package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

// printPackages is a table of packages: what is thought of each, and why. In
// the text of `check` a refusal stands among the errors already.
func printPackages(w io.Writer, packages []control.Package) {
	for _, p := range packages {
		fmt.Fprintf(w, "  %-10s %s%s\n", p.State, strings.TrimSpace(cmp.Or(p.Name, p.Package)+" "+p.Version), signerText(p))
		if p.Message != "" {
			for line := range strings.SplitSeq(p.Message, "\n") {
				fmt.Fprintf(w, "  %-10s   %s\n", p.Rule, oneLine(line))
			}
		}
	}
}

// signerText tells who signed a package, of which categories it is and how long
// it is trusted.
func signerText(p control.Package) string {
	if p.Signer == "" {
		return ""
	}
	text := ": signed by " + oneLine(p.Signer)
	if p.Root != p.Signer {
		text += ", root " + oneLine(p.Root)
	}
	if len(p.Categories) > 0 {
		text += ", category " + strings.Join(p.Categories, ", ")
	}
	if !p.StampedAt.IsZero() {
		text += ", on " + p.StampedAt.UTC().Format(time.DateOnly)
	}
	if !p.Expires.IsZero() {
		text += ", until " + p.Expires.UTC().Format(time.DateOnly)
	}
	if p.DaysLeft != nil {
		text += fmt.Sprintf(" (%d days)", *p.DaysLeft)
	}
	return text
}
