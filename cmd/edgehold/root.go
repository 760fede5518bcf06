package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
)

// The exit codes of all commands.
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2
	exitCheck  = 3  // a check failed
	exitConfig = 78 // bad configuration (EX_CONFIG of sysexits.h)
)

const defaultConfig = "/etc/edgehold/edgehold.yaml"

// exitCode is an error that knows how the process ends. Its text may be empty
// where everything has been said.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitCode) Unwrap() error { return e.err }

// execute runs the command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return report(stderr, err)
}

// report says what went wrong in one place and chooses the exit code.
func report(stderr io.Writer, err error) int {
	var list config.Errors
	if errors.As(err, &list) {
		for _, e := range list {
			fmt.Fprintln(stderr, "edgehold:", plainText(e.Error()))
		}
		return exitConfig
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "edgehold:", plainText(text))
	}
	var code exitCode
	if errors.As(err, &code) {
		return code.code
	}
	return exitError
}

// plainText makes a text with words from outside harmless for a terminal. Its line
// breaks stay.
func plainText(text string) string { return harmless(text, "\n", !utf8Locale(os.Getenv)) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "edgehold",
		Short: "Poll gear at the edge, hold every measurement through outages, drain it to Dynatrace",
		Long: `Edgehold polls network gear and sensors, keeps every measurement in one file
through outages of any length and drains it to Dynatrace.

A first look:      edgehold demo
A first device:    edgehold poll 192.0.2.10 --community-file FILE
This gateway:      edgehold init
The agent:         edgehold check && edgehold run`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, err)
	})
	root.AddCommand(newInit(), newRun(), newDemo(), newDemoApp(), newCheck(), newReload(), newPoll(), newStatus(), newBuffer(), newDeadLetter(), newHistory(),
		newSNMP(), newExt(), newAudit(), newRelay(), newBoard(), newVersion())
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	root.Args = usageArgs(root.Args)
	return root
}

// usageArgs makes an error in the arguments, or in flags that do not go
// together, end with the usage exit code.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var err error
		if check != nil {
			err = check(cmd, args)
		}
		if err == nil {
			err = cmd.ValidateFlagGroups()
		}
		if err != nil {
			return usage(cmd, err)
		}
		return nil
	}
}

func usage(cmd *cobra.Command, err error) error {
	return exitCode{exitUsage, fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
}

func kinds() []probes.Kind { return catalog.Kinds(agent.OpenProfiles, agent.OpenModbusProfiles) }

func addConfigFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration file")
}
