package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/demo"
)

func newDemo() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch the agent through an outage and a kill, with simulated devices",
		Long: `Tell the story of the agent on this machine: a simulated switch and UPS, a
stand-in for Dynatrace, and the real agent as a child process. The link is cut,
the agent is killed, the link comes back, and both sides are counted. The exit
status is 1 if a point was lost or arrived twice. On a terminal it stays up
afterwards until Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < demo.MinLength {
				return usage(cmd, fmt.Errorf("--length %s is too short, the story takes %s or more", length, demo.MinLength))
			}
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return demo.Run(cmd.Context(), demo.Options{
				Binary: binary, Out: cmd.OutOrStdout(), Terminal: isTerminal(os.Stdout), Length: length,
			})
		},
	}
	cmd.Flags().DurationVar(&length, "length", 45*time.Second, "how long the story takes, at least 10s")
	return cmd
}
