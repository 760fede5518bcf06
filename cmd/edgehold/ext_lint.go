package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
)

func newExtLint() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lint FOLDER|ZIP|BUNDLE",
		Short: "Look for mistakes in an extension package",
		Long: `Look for mistakes in an extension package: against the schema and the limits
of Dynatrace, keys and OIDs that come twice, tables and counters taken for
something else, dimensions that should not leave a site without thought, and
secrets in its files. Each finding has its file, line and column and says what
to do. Signatures are not looked at, which ` + "`edgehold ext verify`" + ` does.

About how many points a device or endpoint would give in a day is told too.

Errors are what the environment refuses or what cannot work; the exit code is 3
where there are some. Warnings are what runs, but perhaps not as meant.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := sign.Open(args[0], sign.DefaultLimits())
			if err != nil {
				return err
			}
			defer p.Close()
			report := lintReport{Report: extension.Lint(p.FS, args[0]), Points: estimate(p.FS, args[0], config.Default().Uplink.Slot())}
			if err := printLint(cmd, report, asJSON); err != nil {
				return err
			}
			if len(report.Errors) > 0 {
				return exitCode{code: exitCheck}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// lintReport is the document of `ext lint`.
type lintReport struct {
	*extension.Report
	Points *extension.PackageEstimate `json:"pointsPerDay,omitempty"` // missing where the package cannot be read
}

// estimate is about what a package gives in a day, nil where it cannot be read.
func estimate(files fs.FS, path string, slot time.Duration) *extension.PackageEstimate {
	m, _, err := extension.ParseManifest(files, path)
	if err != nil {
		return nil
	}
	mibs, _ := extension.PackageMIBs(files)
	e := extension.EstimatePackage(m, mibs, slot)
	return &e
}

// estimateText tells of an estimate, "" where there is nothing to tell.
func estimateText(e *extension.PackageEstimate) string {
	switch {
	case e == nil || e.Assumed == "":
		return ""
	case e.All == 0:
		return "how many points that is in a day nobody knows before a device was asked: `edgehold poll` tells"
	case e.All == e.Always:
		return fmt.Sprintf("about %s a day for each device or endpoint, %s", points(e.All), e.Assumed)
	}
	return fmt.Sprintf("about %s a day for each device or endpoint without feature sets, %s with all, %s", points(e.Always), grouped(e.All), e.Assumed)
}

func printLint(cmd *cobra.Command, r lintReport, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		return nil
	}
	out := newScreen(cmd.OutOrStdout())
	for _, f := range r.Errors {
		fmt.Fprintln(out, "error  ", oneLine(f.String()))
	}
	for _, f := range r.Warnings {
		fmt.Fprintln(out, "warning", oneLine(f.String()))
	}
	fmt.Fprintf(out, "%s, %s\n", counted(len(r.Errors), "error"), counted(len(r.Warnings), "warning"))
	fmt.Fprintln(out, readOnlyText(r.Report))
	if text := estimateText(r.Points); text != "" {
		fmt.Fprintln(out, text)
	}
	return out.done()
}

// readOnlyText tells what is known of whether a package only reads.
func readOnlyText(r *extension.Report) string {
	if r.ReadOnly {
		return "read only: the schema of its data sources has no way to change a device, and the agent sends no SET"
	}
	about := func(f extension.Finding) bool { return f.Rule == "data_source" || f.Rule == "read_only" }
	if slices.ContainsFunc(r.Errors, about) || slices.ContainsFunc(r.Warnings, about) {
		return "not known to be read only: see the findings of data_source and read_only"
	}
	return "not known to be read only: the package could not be read so far"
}
