package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/board"
)

// A gateway has processor time to spare and little memory, so garbage is
// collected at half the usual growth. GOGC overrides it.
const gcPercent = 50

func newRun() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run the agent in the foreground until SIGTERM or Ctrl-C. SIGHUP, or
"edgehold reload", reads the configuration again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(o agent.Options) (daemon, error) { return agent.New(o) })
		},
	}
	f.add(cmd)
	return cmd
}

// daemon is what runs until it is stopped.
type daemon interface {
	Run(ctx context.Context) error
}

// daemonFlags are those of a command that runs as one.
type daemonFlags struct{ path, level, format string }

func (f *daemonFlags) add(cmd *cobra.Command) {
	addConfigFlag(cmd, &f.path)
	cmd.Flags().StringVar(&f.level, "log-level", "", "debug, info, warn or error (default: log.level of the configuration)")
	cmd.Flags().StringVar(&f.format, "log-format", "", "text or json (default: log.format of the configuration, else text on a terminal and json elsewhere)")
}

// run makes a daemon and runs it. SIGHUP is for the daemon.
func (f *daemonFlags) run(cmd *cobra.Command, start func(agent.Options) (daemon, error)) error {
	flags := config.Log{Level: f.level, Format: f.format}
	if _, err := newLog(flags, config.Log{Level: "info"}); err != nil {
		return usage(cmd, err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if limit := memoryLimit(os.Getenv, board.MemoryMax); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	d, err := start(agent.Options{Path: f.path, Kinds: kinds(), Version: version, Built: buildTime(), Hangup: hangup, Notify: agent.NotifyOf(os.Getenv), NewLog: func(file config.Log) zerolog.Logger {
		log, _ := newLog(flags, file) // both were checked
		return log
	}})
	if err != nil {
		return err
	}
	return d.Run(cmd.Context())
}

// newLog writes to standard error, for people on a terminal and as JSON
// otherwise. What a flag says goes before what the file says.
func newLog(flags, file config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cmp.Or(flags.Level, file.Level))
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("--log-level %q is not a level, expected debug, info, warn or error", flags.Level)
	}
	format := cmp.Or(flags.Format, file.Format)
	if format == "" && isTerminal(os.Stderr) {
		format = "text"
	}
	switch format {
	case "text":
		w := zerolog.ConsoleWriter{Out: os.Stderr, NoColor: !isTerminal(os.Stderr) || os.Getenv("NO_COLOR") != "", TimeFormat: "15:04:05"}
		return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
	case "", "json":
		return zerolog.New(os.Stderr).Level(level).With().Timestamp().Logger(), nil
	}
	return zerolog.Nop(), fmt.Errorf("--log-format %q is not a format, expected text or json", flags.Format)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
