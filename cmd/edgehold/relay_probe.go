package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/courier/probe"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/sign/mtls"
)

// probeFlags say which broker is tried, as whom, and how hard.
type probeFlags struct {
	config, broker, site string
	mqtt                 config.MQTT
	mb                   int64
	o                    probe.Options
	asJSON               bool
}

func newRelayProbe() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try a broker: sizes, queue, loss, round trip, before sites rely on it",
		Long: `Try a broker with blocks that nobody stores, sent from a site to itself and to
the relay that is online. It finds what brokers do in silence: messages that they
acknowledge and throw away, because of their size or of a full queue.

  edgehold relay probe                             the brokers of the configuration
  edgehold relay probe --broker mqtts://hub.example.com --cert probe-1/probe-1.pem --key probe-1/probe-1.key --ca probe-1/ca.pem

Give it a certificate of its own (edgehold relay cert site probe-1), or stop the
agent that uses the same: a broker may allow one connection for each. It sends up
to --mb; on a link that costs money begin with --mb 2.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return usage(cmd, err)
			}
			return f.run(cmd)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *probeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration file of a site or relay (default without --broker: "+defaultConfig+")")
	flags.StringVar(&f.broker, "broker", "", "broker, such as mqtts://hub.example.com:8883")
	flags.StringVar(&f.mqtt.CAFile, "ca", "", "certificate of the authority that signed the broker's")
	flags.StringVar(&f.mqtt.CertFile, "cert", "", "client certificate")
	flags.StringVar(&f.mqtt.KeyFile, "key", "", "its key")
	flags.StringVar(&f.mqtt.User, "user", "", "user, for brokers that want one")
	flags.StringVar(&f.mqtt.PasswordFile, "password-file", "", "file with the password")
	flags.StringVar(&f.mqtt.Prefix, "prefix", wire.DefaultPrefix, "begin of all topics")
	flags.StringVar(&f.site, "site", "", "site to be (default: the name in the certificate)")
	flags.Int64Var(&f.mb, "mb", 125, "send at most so many megabytes to a broker")
	flags.IntVar(&f.o.Blocks, "blocks", 1500, "blocks for a relay that does not acknowledge")
	flags.IntVar(&f.o.BlockSize, "block-size", wire.DefaultBlock, "bytes of a block")
	flags.DurationVar(&f.o.Time, "time", 5*time.Minute, "stop after this time")
	flags.StringSliceVar(&f.o.Only, "only", nil, "checks to make, of "+strings.Join(probe.Names[:], ", "))
	flags.BoolVar(&f.o.Restart, "restart", false, "ask for a restart of the broker in the end, to see what it keeps")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, own := range []string{"ca", "cert", "key", "user", "password-file", "prefix", "site"} {
		cmd.MarkFlagsMutuallyExclusive("config", own)
	}
}

func (f *probeFlags) check() error {
	switch {
	case f.mb < 1 || f.mb > 100_000:
		return fmt.Errorf("--mb %d: want 1 to 100000", f.mb)
	case f.o.Blocks < 1 || f.o.Blocks > 100_000:
		return fmt.Errorf("--blocks %d: want 1 to 100000", f.o.Blocks)
	case f.o.BlockSize < 4<<10 || f.o.BlockSize > wire.MaxBlock:
		return fmt.Errorf("--block-size %d: want %d to %d", f.o.BlockSize, 4<<10, wire.MaxBlock)
	case f.o.Time < 10*time.Second:
		return fmt.Errorf("--time %v: want 10s or more", f.o.Time)
	}
	for _, name := range f.o.Only {
		if !slices.Contains(probe.Names[:], name) {
			return fmt.Errorf("--only %s: want some of %s", name, strings.Join(probe.Names[:], ", "))
		}
	}
	return nil
}

// target is the brokers and the identity.
func (f *probeFlags) target() (err error) {
	if f.config == "" && f.broker != "" {
		f.mqtt.Brokers = []string{f.broker}
		return f.identity()
	}
	if f.config == "" {
		f.config = defaultConfig
	}
	cfg, _, err := config.Load(f.config, kinds())
	if err != nil {
		return err
	}
	switch {
	case cfg.Relay.ID != "":
		f.mqtt, f.site = cfg.Relay.MQTT, cfg.Relay.ID
	case cfg.Uplink.Kind == "mqtt":
		f.mqtt, f.site = cfg.Uplink.MQTT, cfg.Site
		f.o.BlockSize = int(f.mqtt.BlockSize)
	default:
		return exitCode{exitConfig, fmt.Errorf("%s names no broker; it needs uplink.mqtt or relay, or name one here with --broker", f.config)}
	}
	if f.broker != "" {
		f.mqtt.Brokers = []string{f.broker}
	}
	return nil
}

// identity finds the name of the site in the certificate.
func (f *probeFlags) identity() error {
	if f.site == "" && f.mqtt.CertFile != "" {
		e, err := mtls.Show(f.mqtt.CertFile, time.Now())
		if err != nil {
			return err
		}
		f.site = e.Name
	}
	if err := wire.CheckID("--site", f.site); err != nil {
		return exitCode{exitUsage, err}
	}
	return wire.CheckPrefix(f.mqtt.Prefix)
}

func (f *probeFlags) run(cmd *cobra.Command) error {
	if err := f.target(); err != nil {
		return err
	}
	all := []*probe.Report{}
	failed := false
	for _, broker := range f.mqtt.Brokers {
		r, err := probe.Run(cmd.Context(), f.options(cmd, broker))
		if err != nil {
			if cmd.Context().Err() != nil {
				return errors.New("stopped")
			}
			r.Checks = append(r.Checks, probe.Check{Name: "connect", Status: probe.Failed, Found: err.Error()})
		}
		failed = failed || r.Failed()
		all = append(all, r)
		if !f.asJSON {
			if err := printProbe(cmd, r); err != nil {
				return err
			}
		}
	}
	if f.asJSON {
		if err := printIndented(cmd.OutOrStdout(), all); err != nil {
			return err
		}
	}
	if failed {
		return exitCode{code: exitCheck}
	}
	return nil
}

func (f *probeFlags) options(cmd *cobra.Command, broker string) probe.Options {
	o, m := f.o, f.mqtt
	o.Site, o.Topics, o.Bytes = f.site, wire.Topics{Prefix: m.Prefix}, f.mb*1_000_000
	o.MQTT = mqtt.Options{Broker: broker, ClientID: f.site + "-probe", CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, User: m.User}
	if m.HasPassword() {
		o.MQTT.Password = m.Password
	}
	o.Tell = func(text string) { cmd.PrintErrln(plainText(text)) }
	return o
}

func printProbe(cmd *cobra.Command, r *probe.Report) error {
	rows := [][]string{}
	for _, c := range r.Checks {
		word := strings.ToUpper(c.Status)
		if c.Status == probe.Failed {
			word = "FAIL"
		}
		rows = append(rows, []string{word, c.Name, oneLine(c.Found)})
		if c.Mend != "" {
			rows = append(rows, []string{"", "", "-> " + oneLine(c.Mend)})
		}
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s as %s\n", oneLine(r.Broker), oneLine(r.Site)); err != nil {
		return written(err)
	}
	if err := printColumns(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d blocks, %.1f MB in %v; %d lost, %d came twice\n", r.Sent, float64(r.Bytes)/1e6,
		(time.Duration(r.TookMS) * time.Millisecond).Round(100*time.Millisecond), r.Lost, r.Twice)
	return written(err)
}
