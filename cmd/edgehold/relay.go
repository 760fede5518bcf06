package main

import (
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
)

func newRelay() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "The hub of sites that reach only an MQTT broker",
		Long: `Run a relay in the foreground until SIGTERM or Ctrl-C: it takes what sites
publish to the brokers of relay.mqtt, keeps it in relay.db in its state_dir and
sends it on by its uplink. SIGHUP, or "edgehold reload", reads the configuration
again. "edgehold status" shows it as it does an agent.

  edgehold relay --config /etc/edgehold/relay.yaml
  edgehold relay sites --config /etc/edgehold/relay.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(o agent.Options) (daemon, error) { return agent.NewHub(o) })
		},
	}
	f.add(cmd)
	cmd.AddCommand(newRelaySites(), newRelayStatus(), newRelayLost(), newRelayImport(), newRelayCert(), newRelayProbe())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

// newRelayStatus is `edgehold status` under the name that one looks for.
func newRelayStatus() *cobra.Command {
	cmd := newStatus()
	cmd.Short = "Show brokers, store, uplink and account of the running relay"
	return cmd
}
