package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

// socketFlags find the control socket of a running agent.
type socketFlags struct {
	socket string
	config string
}

func (f *socketFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.socket, "socket", "", "control socket of the running agent (default: the one that --config names)")
	addConfigFlag(cmd, &f.config)
}

// client finds the socket by the flag, then by the configuration file, which
// need not be free of errors for that.
func (f *socketFlags) client() control.Client {
	path := f.socket
	if path == "" {
		path = config.SocketOf(f.config)
	}
	return control.Client{Path: path, Timeout: 30 * time.Second}
}

// found refuses a configuration file that is named and not there, which would
// leave the default socket to be looked at.
func (f *socketFlags) found() error {
	if f.socket != "" || f.config == defaultConfig {
		return nil
	}
	if _, err := os.Stat(f.config); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--config %s: no such file; name the one of the running agent, or its socket with --socket", f.config)
	}
	return nil
}

func newReload() *cobra.Command {
	var f socketFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running agent read its configuration again",
		Long: `Make the running agent read its configuration again. A configuration with
errors is refused, the errors are printed, and the old one keeps running; the
exit code is then 78. Where only an entry is bad, such as a package, the rest
is taken up, the entry's last good files keep running, and the exit code is 3.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.found(); err != nil {
				return err
			}
			err := f.client().Reload(cmd.Context())
			var refused *control.Refused
			if errors.As(err, &refused) {
				return exitCode{exitConfig, err}
			}
			var part *control.Incomplete
			if err != nil && !errors.As(err, &part) {
				return err
			}
			if part != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "reloaded, but for what follows:\n%v\n", part)
				return exitCode{code: exitCheck}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "reloaded")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
