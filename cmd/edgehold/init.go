package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/agent/setup"
)

type initFlags struct {
	credentialFlags
	config       string
	site         string
	url          string
	otlp, broker string
	tokenFile    string
	proxy, ca    string
	cert, key    string
	mqttUser     string
	passwordFile string
	subnets      []string
	noDevices    bool
	port         uint16
	rate         int
	force, yes   bool
	goOn         bool
	noStart      bool
	dryRun       bool
}

func newInit() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set up this gateway: ask, test each answer, write the configuration, start the service",
		Long: `Ask for the site, where the points go, the token and the devices; test each
answer as it is given; write the configuration and the files of the secrets;
start the service and wait until the first point is accepted.

  sudo edgehold init

What a flag gives is not asked. Where nobody can answer, or with --yes, flags
give everything:

  sudo edgehold init --yes --site plant-7 --url https://abc12345.live.dynatrace.com \
    --token-file token --subnet 192.0.2.0/24 --community-file community

Secrets come from files that others cannot read, or are typed and not shown. A
configuration that is there is kept: --force writes a new one and keeps the old
one as FILE.bak. Without /etc/edgehold/edgehold.yaml in --config, the store and
the control socket lie beside the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	return cmd
}

func (f *initFlags) add(cmd *cobra.Command) {
	addConfigFlag(cmd, &f.config)
	flags := cmd.Flags()
	flags.StringVar(&f.site, "site", "", "name of this place")
	flags.StringVar(&f.url, "url", "", "address of the Dynatrace environment, or of an ActiveGate with /e/ID")
	flags.StringVar(&f.otlp, "otlp", "", "instead of --url: address of a receiver of OTLP over HTTP")
	flags.StringVar(&f.broker, "broker", "", "instead of --url: MQTT broker of a relay, e.g. mqtts://hub.example.com")
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds the token, not readable by others")
	flags.StringVar(&f.proxy, "proxy", "", "URL of a proxy (default: HTTPS_PROXY, which is written down)")
	flags.StringVar(&f.ca, "ca-file", "", "certificates (PEM) to trust beside the system's")
	flags.StringVar(&f.cert, "cert-file", "", "with --broker: certificate of this site (PEM)")
	flags.StringVar(&f.key, "key-file", "", "with --broker: its key, not readable by others")
	flags.StringVar(&f.mqttUser, "mqtt-user", "", "with --broker: user, where the broker wants one")
	flags.StringVar(&f.passwordFile, "mqtt-password-file", "", "file that holds the user's password, not readable by others")
	flags.StringSliceVar(&f.subnets, "subnet", nil, "networks or addresses in which devices are looked for")
	flags.BoolVar(&f.noDevices, "no-devices", false, "look for no devices")
	flags.Uint16Var(&f.port, "port", 161, "UDP port of the devices")
	flags.IntVar(&f.rate, "packets-per-second", discover.DefaultPerSecond, "packets that may leave in a second while devices are looked for")
	f.credentialFlags.add(cmd)
	flags.BoolVar(&f.force, "force", false, "replace a configuration, and keep it as FILE.bak")
	flags.BoolVarP(&f.yes, "yes", "y", false, "ask nothing")
	flags.BoolVar(&f.goOn, "go-on", false, "write the configuration although a test fails")
	flags.BoolVar(&f.noStart, "no-start", false, "do not start the service")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be written, and write nothing")
	cmd.MarkFlagsMutuallyExclusive("url", "otlp", "broker")
	cmd.MarkFlagsMutuallyExclusive("subnet", "no-devices")
	cmd.MarkFlagsRequiredTogether("cert-file", "key-file")
	cmd.MarkFlagsRequiredTogether("mqtt-user", "mqtt-password-file")
}

// errBack takes one step back, errLeave ends the questions.
var (
	errBack  = errors.New("back")
	errLeave = errors.New("stopped; nothing was written")
)

// initSession goes through the steps and keeps what was answered.
type initSession struct {
	*initFlags
	cmd     *cobra.Command
	ctx     context.Context
	console *console // nil: nobody answers
	out     *screen  // what people read
	answers setup.Answers
	began   time.Time
	env     *setup.Environment // that was tested

	unreached bool // the environment is not, and the user goes on all the same
}

func (f *initFlags) run(cmd *cobra.Command) error {
	if f.rate < 1 || f.rate > 10_000 {
		return usage(cmd, fmt.Errorf("--packets-per-second is %d, expected 1 to 10000", f.rate))
	}
	// A hang-up of a serial line is a way to leave, too.
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	s := &initSession{initFlags: f, cmd: cmd, ctx: ctx, out: newScreen(cmd.OutOrStdout()), began: time.Now()}
	if f.dryRun {
		s.out = newScreen(cmd.ErrOrStderr()) // what would be written stands alone
	}
	if err := f.fits(cmd); err != nil {
		return err
	}
	if err := s.mayWrite(); err != nil {
		return err
	}
	if !f.yes && isTerminal(os.Stdin) {
		c, err := openConsole(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		s.console, s.out = c, newScreen(c.tty)
	} else if err := f.missing(cmd); err != nil {
		return err
	}
	return s.ended(s.all())
}

// ended gives an end by the user its words and its code.
func (s *initSession) ended(err error) error {
	if err != nil && (s.ctx.Err() != nil || errors.Is(err, context.Canceled)) {
		return errLeave
	}
	return err
}

// all goes through the steps, forth and back.
func (s *initSession) all() error {
	if s.console != nil {
		fmt.Fprint(s.out, "Setting up Edgehold. Enter takes what stands in [brackets], < goes back, ? explains,\nCtrl-C leaves; nothing is written before the end.\n")
	}
	steps := []func(again bool) error{s.askSite, s.askUplink, s.askAccess, s.askDevices, s.review}
	again := false
	for i := 0; i < len(steps); {
		switch err := steps[i](again); {
		case errors.Is(err, errBack):
			i, again = max(0, i-1), true
		case err != nil:
			return err
		default:
			i, again = i+1, false
		}
	}
	return s.finish()
}

// missing names the flags that nobody can be asked for.
func (f *initFlags) missing(cmd *cobra.Command) error {
	var names []string
	need := func(given bool, name string) {
		if !given {
			names = append(names, name)
		}
	}
	need(f.site != "", "--site")
	need(f.url+f.otlp+f.broker != "", "--url (or --otlp, --broker)")
	if f.broker == "" && f.otlp == "" {
		need(f.tokenFile != "", "--token-file")
	}
	need(len(f.subnets) > 0 || f.noDevices, "--subnet (or --no-devices)")
	if !f.noDevices {
		need(f.communityFile != "" || f.user != "", "--community-file (or --v3-user)")
	}
	if len(names) == 0 {
		return nil
	}
	return usage(cmd, errors.New("nobody can be asked, and these flags are missing: "+strings.Join(names, ", ")))
}

// fits finds flags that are wrong, or that others leave without effect, before
// anything is asked or tested.
func (f *initFlags) fits(cmd *cobra.Command) error {
	useless := func(why string, names ...string) error {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return usage(cmd, fmt.Errorf("--%s %s", name, why))
			}
		}
		return nil
	}
	var err error
	switch {
	case f.broker != "":
		err = useless("is not for a broker: leave it out, or give --url or --otlp in place of --broker", "token-file", "proxy")
	case f.url+f.otlp != "":
		err = useless("is for a broker: leave it out, or give --broker in place of the other address", "cert-file", "mqtt-user")
	}
	if err != nil {
		return err
	}
	if f.noDevices {
		return useless("has no effect with --no-devices: leave one of them out",
			"community-file", "v3-user", "auth", "priv", "context", "version", "port", "packets-per-second")
	}
	if _, err := parseNetworks(strings.Join(f.subnets, ",")); err != nil && len(f.subnets) > 0 {
		return usage(cmd, fmt.Errorf("--subnet: %w", err))
	}
	_, err = f.given(cmd)
	return err
}

// mayWrite finds out before the first question what would stop the last step.
func (s *initSession) mayWrite() error {
	path, err := filepath.Abs(s.config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	s.config = path
	if s.dryRun {
		return nil
	}
	folder := filepath.Dir(path)
	for {
		if _, err := os.Stat(folder); err == nil || folder == "/" {
			break
		}
		folder = filepath.Dir(folder)
	}
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("this user may not write to %s: run `sudo edgehold init`, or name a file in a folder of your own with --config", folder)
	}
	site, written := setup.Configured(path)
	if !written || s.force {
		return nil
	}
	is := ""
	if site != "" {
		is = fmt.Sprintf(" for the site %s", oneLine(site))
	}
	return fmt.Errorf("%s is written already%s, and stays as it is: change it there and run `edgehold reload`, or give --force for a new one (the old one is kept as %s.bak)", path, is, path)
}

// say prints what a test has found, and tells whether points would arrive.
func (s *initSession) say(found []setup.Finding) bool {
	for _, x := range found {
		word := [...]string{setup.Good: "ok", setup.Note: "note", setup.Failed: "FAILED"}[x.Grade]
		fmt.Fprintf(s.out, "  %-7s %s\n", word, oneLine(x.Text))
		if x.Mend != "" {
			fmt.Fprintf(s.out, "          %s\n", oneLine(x.Mend))
		}
	}
	return !setup.AnyFailed(found)
}

// what came of a test that failed.
type choice uint8

const (
	tryAgain choice = iota
	change
	goOn
)

// failed asks what to do about a test that failed.
func (s *initSession) failed() (choice, error) {
	if s.ctx.Err() != nil {
		return 0, errLeave
	}
	if s.goOn {
		return goOn, nil
	}
	if s.console == nil {
		return 0, exitCode{exitCheck, errors.New("a test failed, and nothing was written; --go-on writes the configuration all the same")}
	}
	words := []string{"again", "change", "on", "leave"}
	word, err := s.console.choose("Test again, change the answer, go on all the same, or leave?", words, "change")
	switch {
	case err != nil:
		return change, err
	case word == "leave":
		return 0, errLeave
	}
	return map[string]choice{"again": tryAgain, "change": change, "on": goOn}[word], nil
}
