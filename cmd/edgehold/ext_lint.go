package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

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

Errors are what the environment refuses or what cannot work; the exit code is 3
where there are some. Warnings are what runs, but perhaps not as meant.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := sign.Open(args[0], sign.DefaultLimits())
			if err != nil {
				return err
			}
			defer p.Close()
			report := extension.Lint(p.FS, args[0])
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

func printLint(cmd *cobra.Command, r *extension.Report, asJSON bool) error {
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
	fmt.Fprintf(out, "%d errors, %d warnings\n", len(r.Errors), len(r.Warnings))
	if r.ReadOnly {
		fmt.Fprintln(out, "read only: the schema of its data sources has no way to change a device, and the agent sends no SET")
	} else {
		fmt.Fprintln(out, "not known to be read only: see the findings of data_source and read_only")
	}
	return out.done()
}
