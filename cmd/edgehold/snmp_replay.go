package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

type replayFlags struct {
	recording     string
	pkg           string
	untrusted     bool
	configuration string
	profile       string
	profiles      string
	featureSets   []string
	interval      time.Duration
	asJSON        bool
}

const (
	replayCommunity = "recording"
	replayGap       = 50 * time.Millisecond // so that sysUpTime goes on between the polls
)

func newSNMPTest() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Poll a recording in place of a device and print metric lines",
		Long: `Serve a recording on loopback, poll it twice as the agent would, with every
counter moved by 1000 in between, and print the points of the second poll.
The profile, the tables and the points per day go to standard error.

  edgehold snmp test --recording switch.snmprec
  edgehold snmp test --recording switch.snmprec --profile edgehold.generic
  edgehold snmp test --recording switch.snmprec --package P [--configuration C.json]

With --package the devices of --configuration are replaced by the recording;
without it all feature sets of the package are on. A package with a bad
signature, that is revoked or that has expired is refused, with exit code 3;
--untrusted polls it all the same.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.recording, "recording", "", "the recording (.snmprec)")
	flags.StringVar(&f.pkg, "package", "", "extension package: a folder, zip or bundle")
	flags.BoolVar(&f.untrusted, "untrusted", false, textUntrusted)
	flags.StringVar(&f.configuration, "configuration", "", "monitoring configuration (JSON) for --package")
	flags.StringVar(&f.profile, "profile", "auto", "profile, or auto")
	flags.StringVar(&f.profiles, "profiles", "", "folder with profiles of your own")
	flags.StringSliceVar(&f.featureSets, "feature-sets", nil, "feature sets beside what is always read; all for all")
	flags.DurationVar(&f.interval, "interval", time.Minute, "interval that the points per day are told for")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object per point")
	for _, own := range []string{"profile", "profiles", "feature-sets"} {
		cmd.MarkFlagsMutuallyExclusive("package", own)
	}
	return cmd
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	if f.recording == "" {
		return usage(cmd, errors.New("--recording is missing"))
	}
	if f.configuration != "" && f.pkg == "" {
		return usage(cmd, errors.New("--configuration needs --package"))
	}
	if f.untrusted && f.pkg == "" {
		return usage(cmd, errors.New("--untrusted needs --package"))
	}
	mib, problems, err := snmptest.LoadRecording(f.recording)
	if err != nil {
		return err
	}
	sayProblems(cmd.ErrOrStderr(), f.recording, problems)
	if mib.Len() == 0 {
		return fmt.Errorf("%s holds no values, expected lines of the form OID|TAG|VALUE", f.recording)
	}
	live(mib)
	device, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{replayCommunity: mib}})
	if err != nil {
		return err
	}
	defer device.Close()
	cfg, remove, err := f.target(cmd, device.Addr())
	if err != nil {
		return err
	}
	defer remove()
	once := agent.Once{Config: cfg, Kinds: kinds(), Wait: replayGap, Log: pollLog(cmd), Built: buildTime(), Named: f.pkg != "", Anyway: f.untrusted, Between: func() {
		mib.Bump(snmptest.MustOID("1.3"), func(snmptest.OID) uint64 { return 1000 })
	}}
	once.Tell = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
	polled, err := once.Poll(cmd.Context())
	printErr := printPolled(cmd, polled, pollPrint{
		asJSON: f.asJSON, nothing: "the recording has nothing of what is asked for; look at the profile or package, and its feature sets",
	})
	printSummary(cmd.ErrOrStderr(), polled, summaryOptions{tables: true, counters: true})
	if f.pkg != "" {
		err = refusedPackage(f.pkg, err)
	}
	return errors.Join(err, printErr)
}

// sayProblems tells of lines that are left out; of a file that is no recording
// not of all.
func sayProblems(w io.Writer, path string, problems []snmptest.Problem) {
	const most, longest = 10, 160
	for i, p := range problems {
		if i == most {
			fmt.Fprintf(w, "%s: %d further lines are left out\n", path, len(problems)-most)
			return
		}
		text := []rune(fmt.Sprint(p))
		if len(text) > longest {
			text = append(text[:longest], []rune("...")...)
		}
		fmt.Fprintf(w, "%s: %s: left out\n", path, string(text))
	}
}

// live makes the recorded sysUpTime go on.
func live(mib *snmptest.MIB) {
	oid := snmptest.MustOID("1.3.6.1.2.1.1.3.0")
	from, _ := mib.Get(oid).Uint64()
	started := time.Now()
	mib.SetFunc(oid, func() snmptest.Value {
		return snmptest.TimeTicks(uint32(from + uint64(time.Since(started).Milliseconds()/10)))
	})
}

// target makes the configuration that is polled. remove takes away the file
// that it may need.
func (f *replayFlags) target(cmd *cobra.Command, addr string) (cfg *config.Config, remove func(), err error) {
	cfg, remove = config.Default(), func() {}
	cfg.SiteDimension = false
	if f.pkg != "" {
		dir, err := os.MkdirTemp("", "edgehold-test-")
		if err != nil {
			return nil, nil, fmt.Errorf("create temporary folder: %w", err)
		}
		path := filepath.Join(dir, "configuration.json")
		remove = func() { _ = os.RemoveAll(dir) }
		if err := f.configurationFor(addr, path); err != nil {
			remove()
			return nil, nil, err
		}
		cfg.Extensions = []config.Extension{{Package: f.pkg, Configuration: path, Where: "--package"}}
		return cfg, remove, nil
	}
	cfg.Profiles = f.profiles
	cfg.Credentials = map[string]probes.Credential{replayCommunity: {
		Name: replayCommunity, Version: probes.SNMPv2c, Community: probes.NewSecret(replayCommunity),
	}}
	options := &snmp.Options{
		Devices: []string{addr}, Credentials: []string{replayCommunity}, Profile: f.profile,
		FeatureSets: f.featureSets, Interval: probes.Duration(f.interval),
	}
	for _, err := range options.Check() {
		return nil, nil, usage(cmd, err)
	}
	cfg.Probes = []config.Probe{{Kind: "snmp", Options: options, Where: "command line"}}
	return cfg, remove, nil
}

// configurationFor writes the monitoring configuration with the recording as
// its only device.
func (f *replayFlags) configurationFor(addr, path string) error {
	var doc any = map[string]any{"snmp": map[string]any{"devices": nil}, "featureSets": []any{"all"}}
	if f.configuration != "" {
		data, err := os.ReadFile(f.configuration)
		if err != nil {
			return fmt.Errorf("read monitoring configuration: %w", err)
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return fmt.Errorf("read monitoring configuration %s: %w", f.configuration, err)
		}
	}
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	replaceDevices(doc, []any{map[string]any{
		"ip": host, "port": number, "authentication": map[string]any{"type": "SNMPv2c", "community": replayCommunity},
	}})
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write monitoring configuration: %w", err)
	}
	return nil
}

// replaceDevices puts devices into each `snmp` of a monitoring configuration.
func replaceDevices(doc any, devices []any) {
	switch doc := doc.(type) {
	case []any:
		for _, entry := range doc {
			replaceDevices(entry, devices)
		}
	case map[string]any:
		if value, wrapped := doc["value"]; wrapped {
			replaceDevices(value, devices)
		}
		if snmp, ok := doc["snmp"].(map[string]any); ok {
			snmp["devices"] = devices
		}
	}
}
