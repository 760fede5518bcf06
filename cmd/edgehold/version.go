package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/board"
)

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what it runs on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts := board.ReadFacts()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{
					"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
					"kernel": facts.Kernel, "machine": facts.Machine, "model": facts.Model, "hostname": facts.Hostname,
				})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "edgehold %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			fmt.Fprintf(cmd.OutOrStdout(), "on %s, kernel %s\n", cmp.Or(facts.Model, facts.Machine), facts.Kernel)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
