package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
)

type pollFlags struct {
	credentialFlags
	kind          string
	config        string
	profile       string
	profiles      string
	featureSets   []string
	pkg           string
	untrusted     bool
	configuration string
	wait          time.Duration
	timing        bool
	asJSON        bool
}

func newPoll() *cobra.Command {
	var f pollFlags
	cmd := &cobra.Command{
		Use:   "poll [DEVICE... | --kind KIND KEY=VALUE...]",
		Short: "Poll once and print metric lines; nothing is stored or sent",
		Long: `Poll once and print what would be sent as metric lines on standard output.
Problems go to standard error, and for each device its profile and how many
points it makes a day. Nothing is stored or sent.

  edgehold poll 192.0.2.10 --community-file FILE     a device, with the profile that fits it
  edgehold poll 192.0.2.10 --v3-user NAME --auth SHA256 --auth-file FILE
  edgehold poll --package P --configuration C.json   a package and its monitoring configuration
  edgehold poll --config edgehold.yaml               what the agent would poll
  edgehold poll --kind ping targets=192.0.2.1        a probe, with the keys of its entry

With a package or a configuration file, DEVICE chooses among their devices.

With --kind, each KEY=VALUE is a key of an entry under probes, as in the
reference; lists are written a,b or [a, b]. The configuration file, if given
too, lends its credentials. What arrives by itself, such as the messages of
sensors, is listened to until the first of it is there, at most for --wait.

A package that has no signature, or one by somebody who is not known here, is
polled with a warning. One with a bad signature, that is revoked or that has
expired is refused, with exit code 3; --untrusted polls it all the same.

Counters are sent as what they grew by between two polls, so they show only
with --wait, which polls twice and prints the second poll.

The exit code is 3 where something failed, and 1 where something answered and
gave nothing; what is wrong is said.`,
		RunE: func(cmd *cobra.Command, devices []string) error {
			return poll(cmd, f, devices)
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file of an agent")
	f.credentialFlags.add(cmd)
	cmd.Flags().StringVar(&f.kind, "kind", "", "kind of probe, with its settings as KEY=VALUE")
	cmd.Flags().StringVar(&f.profile, "profile", "auto", "profile, or auto")
	cmd.Flags().StringVar(&f.profiles, "profiles", "", "folder with profiles of your own")
	cmd.Flags().StringSliceVar(&f.featureSets, "feature-sets", nil, "feature sets beside what is always read; all for all")
	cmd.Flags().StringVar(&f.pkg, "package", "", "extension package: a folder, zip or bundle")
	cmd.Flags().BoolVar(&f.untrusted, "untrusted", false, textUntrusted)
	cmd.Flags().StringVar(&f.configuration, "configuration", "", "monitoring configuration (JSON) for --package")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "poll twice, this far apart, so that counters show; e.g. 10s")
	cmd.Flags().BoolVar(&f.timing, "timing", false, "tell what each table cost, on standard error")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object per point")
	for _, own := range []string{"config", "package"} { // these say themselves how a device is asked
		for _, ofDevice := range []string{"community-file", "v3-user", "version", "profile", "profiles", "feature-sets"} {
			cmd.MarkFlagsMutuallyExclusive(own, ofDevice)
		}
	}
	cmd.MarkFlagsMutuallyExclusive("config", "package")
	for _, other := range []string{"package", "configuration", "community-file", "v3-user", "version", "profile", "feature-sets"} {
		cmd.MarkFlagsMutuallyExclusive("kind", other)
	}
	cmd.MarkFlagsRequiredTogether("package", "configuration")
	return cmd
}

func poll(cmd *cobra.Command, f pollFlags, devices []string) error {
	if f.untrusted && f.pkg == "" {
		return usage(cmd, errors.New("--untrusted needs --package"))
	}
	if f.wait < 0 {
		return usage(cmd, fmt.Errorf("--wait is %v, expected a duration such as 10s", f.wait))
	}
	cfg, err := f.target(cmd, devices)
	if err != nil {
		return err
	}
	once := agent.Once{Config: cfg, Kinds: kinds(), Wait: f.wait, Log: pollLog(cmd), Built: buildTime(), Named: f.pkg != "", Anyway: f.untrusted, Listen: f.kind != ""}
	once.Tell = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
	if f.kind == "" && (f.config != "" || f.pkg != "") {
		once.Devices = devices
	}
	polled, err := once.Poll(cmd.Context())
	if cmd.Context().Err() != nil { // what was read until then would pass for all there is
		return errors.New("stopped before the end")
	}
	defer printSummary(cmd.ErrOrStderr(), polled, summaryOptions{tables: f.timing, counters: f.wait > 0, slot: cfg.Uplink.Slot()})
	if printErr := printPolled(cmd, polled, pollPrint{asJSON: f.asJSON, nothing: f.nothing()}); printErr != nil {
		return errors.Join(err, printErr)
	}
	if f.pkg != "" {
		return refusedPackage(f.pkg, err)
	}
	return err
}

const textUntrusted = "poll the package also where it is tampered with, revoked or expired"

func pollLog(cmd *cobra.Command) zerolog.Logger {
	w := zerolog.ConsoleWriter{Out: cmd.ErrOrStderr(), NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}
	return zerolog.New(w).Level(zerolog.WarnLevel)
}

// target makes the configuration that is polled from the flags.
func (f pollFlags) target(cmd *cobra.Command, devices []string) (*config.Config, error) {
	if f.kind != "" {
		return f.ofKind(devices)
	}
	if f.config != "" {
		cfg, _, err := config.Load(f.config, kinds())
		return cfg, err
	}
	cfg := config.Default()
	cfg.SiteDimension = false
	if f.pkg != "" {
		cfg.Extensions = []config.Extension{{Package: f.pkg, Configuration: f.configuration, Where: "--package"}}
		return cfg, nil
	}
	if len(devices) == 0 {
		return nil, exitCode{exitUsage, errors.New("nothing to poll: give a device, --package with --configuration, or --config; see `edgehold poll --help`")}
	}
	credentials, err := f.given(cmd)
	if err != nil {
		return nil, err
	}
	options := &snmp.Options{Devices: devices, Profile: f.profile, FeatureSets: f.featureSets, Interval: probes.Duration(time.Minute)}
	cfg.Profiles, cfg.Credentials = f.profiles, map[string]probes.Credential{}
	for _, c := range credentials {
		cfg.Credentials[c.Name] = c
		options.Credentials = append(options.Credentials, c.Name)
	}
	for _, err := range options.Check() {
		return nil, exitCode{exitUsage, err}
	}
	cfg.Probes = []config.Probe{{Kind: "snmp", Options: options, Where: "command line"}}
	return cfg, nil
}

// ofKind makes a configuration of one probe, with the credentials of the file.
func (f pollFlags) ofKind(settings []string) (*config.Config, error) {
	cfg := config.Default()
	cfg.SiteDimension = false
	if f.config != "" {
		lent, _, err := config.Load(f.config, kinds())
		if err != nil {
			return nil, err
		}
		cfg.Credentials, cfg.Profiles = lent.Credentials, lent.Profiles
	}
	if f.profiles != "" {
		cfg.Profiles = f.profiles
	}
	probe, err := config.GivenProbe(f.kind, settings, kinds())
	if err != nil {
		return nil, exitCode{exitUsage, fmt.Errorf("--kind %s: %w", f.kind, err)}
	}
	cfg.Probes = []config.Probe{probe}
	return cfg, nil
}

// pollPrint says how points are printed, and what to look at where there are
// none.
type pollPrint struct {
	asJSON  bool
	nothing string
}

// printPolled prints points on standard output and problems on standard error.
func printPolled(cmd *cobra.Command, polled []agent.Polled, f pollPrint) error {
	failed := false
	for _, p := range polled {
		unsent, err := printPoints(cmd.OutOrStdout(), p.Points, f.asJSON)
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(unsent)) {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %q cannot be sent: %v\n", p.Task.Label, key, unsent[key])
		}
		if p.Err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %v\n", p.Task.Label, probes.StatusOf(p.Err), p.Err)
		}
		failed = failed || p.Err != nil || len(unsent) > 0
	}
	silent := agent.Silent(polled)
	for _, label := range silent {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: it answers, and nothing is collected: %s\n", label, f.nothing)
	}
	switch {
	case failed:
		return exitCode{code: exitCheck}
	case len(silent) > 0:
		return exitCode{code: exitError}
	}
	return nil
}

// nothing is what to look at where a poll gave nothing.
func (f pollFlags) nothing() string {
	if f.kind != "" {
		return "counters need a second poll, such as --wait 10s"
	}
	look := "look at the feature sets, the variables and the filters of the monitoring configuration"
	if f.config == "" && f.pkg == "" {
		look = "look at --profile and --feature-sets"
	}
	if f.wait > 0 {
		return look
	}
	return "counters need a second poll, such as --wait 10s; if they are not what is missing, " + look
}

// printPoints gives back the metric keys that no line can be made of, and why.
func printPoints(w io.Writer, points []probes.Point, asJSON bool) (unsent map[string]error, err error) {
	unsent = map[string]error{}
	for _, p := range points {
		line, err := pointLine(p, asJSON)
		if err != nil {
			unsent[p.Series.Key()] = err
			continue
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return nil, fmt.Errorf("write to standard output: %w", err)
		}
	}
	return unsent, nil
}

func pointLine(p probes.Point, asJSON bool) ([]byte, error) {
	if asJSON {
		return json.Marshal(pointDocument(p))
	}
	return mint.AppendLine(nil, p)
}

type pointJSON struct {
	Key        string            `json:"key"`
	Type       string            `json:"type"`
	Dimensions map[string]string `json:"dimensions"`
	Value      any               `json:"value"`
	Time       time.Time         `json:"time"`
}

type summaryJSON struct {
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Sum   float64 `json:"sum"`
	Count uint64  `json:"count"`
}

func pointDocument(p probes.Point) pointJSON {
	doc := pointJSON{
		Key: p.Series.Key(), Type: p.Series.Type().String(),
		Dimensions: map[string]string{}, Time: p.Stamp.Time().UTC(),
	}
	for _, d := range p.Series.Dims() {
		doc.Dimensions[d.Key] = d.Value
	}
	switch p.Value.Form() {
	case probes.FormInt:
		doc.Value = p.Value.Int64()
	case probes.FormUint:
		doc.Value = p.Value.Uint64()
	case probes.FormSummary:
		doc.Value = summaryJSON(p.Value.Summary())
	default:
		doc.Value = p.Value.Float64()
	}
	return doc
}
