package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/demoapp"
)

// basicLogin is the user and the password of --basic, as the tutorials have it.
const basicLogin = "ruxit"

type demoAppFlags struct {
	demoapp.Options
	listen   string
	spelling string
	basic    bool
	auth     string
	write    string
}

func newDemoApp() *cobra.Command {
	f := demoAppFlags{}
	cmd := &cobra.Command{
		Use:   "demo-app",
		Short: "Serve a small application to learn monitoring with",
		Long: `Serve a small application as JSON over HTTP, until Ctrl-C: groups of devices with
a counter, a random number, a state, a statistic and a battery. GET /topology
tells of all devices, GET / of the application itself.

With each request counters rise by one and batteries lose 0.1 %; states change
every few requests. The same seed shows the same numbers. To make something
happen:

  edgehold demo-app --counter 850     batteries begin at 15 %
  edgehold demo-app --appear 5        from the fifth request on there is one more device
  edgehold demo-app --seed 2          other numbers and states

edgehold demo-app --write tutorial makes a folder with the files of the tutorial
and ends: a package for the application, its configuration and the agent's.

Started again, the counters begin anew, as those of a device that was switched
off and on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8769", "address and port")
	flags.StringVar(&f.spelling, "spelling", string(demoapp.Spelling1221), "names in the JSON: 1.221, or tutorial for the older ones (nodes, stats_counter, no battery)")
	flags.IntVar(&f.Groups, "groups", 1, "groups, 1 to 99")
	flags.IntVar(&f.Devices, "devices", 2, "devices of each group, 1 to 99")
	flags.Uint64Var(&f.Seed, "seed", 1, "what numbers and states follow from")
	flags.Int64Var(&f.Counter, "counter", 0, "where the counters begin")
	flags.IntVar(&f.Appear, "appear", 0, "from so many requests on the last group has one more device; 0: never")
	flags.StringVar(&f.auth, "auth", "", "ask for a user and password (basic authentication), as USER:FILE with the password in FILE")
	flags.BoolVar(&f.basic, "basic", false, "ask for the user "+basicLogin+" with the password "+basicLogin)
	flags.StringVar(&f.write, "write", "", "write the files of the tutorial into this new folder, and serve nothing")
	cmd.MarkFlagsMutuallyExclusive("auth", "basic")
	return cmd
}

func (f *demoAppFlags) run(cmd *cobra.Command) error {
	if f.write != "" {
		if err := demoapp.Write(f.write); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", oneLine(f.write))
		return nil
	}
	f.Spelling = demoapp.Spelling(f.spelling)
	if err := f.login(); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return usage(cmd, fmt.Errorf("--%w", err))
	}
	out := cmd.OutOrStdout()
	f.Tell = func(text string) { fmt.Fprintln(out, text) }
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; --listen names another address", f.listen, cause(err))
	}
	fmt.Fprintf(out, "http://%s and http://%s/topology answer%s; Ctrl-C ends it\n", l.Addr(), l.Addr(), f.loginText())
	return demoapp.New(f.Options).Serve(cmd.Context(), l)
}

// cause is the error below the words of package net, which repeat the address.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return cmp.Or(op.Err, err)
	}
	return err
}

// login finds out who may ask.
func (f *demoAppFlags) login() error {
	if f.basic {
		f.User, f.Password = basicLogin, basicLogin
	}
	if f.auth == "" {
		return nil
	}
	user, path, both := strings.Cut(f.auth, ":")
	if !both || user == "" || path == "" {
		return exitCode{exitUsage, errors.New("--auth: expected USER:FILE, a user and a file with the password")}
	}
	password, err := config.ReadSecretFile(path)
	if err != nil {
		return fmt.Errorf("--auth: %w", err)
	}
	f.User, f.Password = user, password.Reveal()
	return nil
}

func (f *demoAppFlags) loginText() string {
	if f.User == "" {
		return ""
	}
	return " to the user " + oneLine(f.User)
}
