package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// extCommands are the parts of `ext`, each in a file of its own.
func extCommands() []*cobra.Command {
	return slices.Concat(
		extAuthority(),
		extPackages(),
		[]*cobra.Command{newExtLint()},
		[]*cobra.Command{newExtUpload(), newExtPull()},
	)
}

func newExt() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ext",
		Short: "Make, sign, check and install extension packages",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(extCommands()...)
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}
