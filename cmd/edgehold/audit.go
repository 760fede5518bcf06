package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look for risks: what leaves this machine, credentials that could change devices",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditSNMP(), newAuditEgress())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

type auditFlags struct {
	snmpFlags
	probeWrite bool
	asJSON     bool
}

func newAuditSNMP() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "snmp [DEVICE...]",
		Short: "Tell which SNMP credentials could change a device",
		Long: `Tell of each credential and device whether it could change the device, which
an agent that only reads should not be able to. Without DEVICE the devices of
the configuration are looked at.

By itself the command only reads: the device's table of access rights, where it
shows it. With --probe-write each device is asked to set ifNumber.0, which no
device can: the answer tells whether the credential may write, and nothing is
changed. A device may log it, so it has to be asked for.

The exit code is 3 where a credential can write.`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.audit(cmd, args) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.probeWrite, "probe-write", false, "ask each device to set what cannot be set")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

// finding is what is known of one credential at one device.
type finding struct {
	Device     string `json:"device"`
	Credential string `json:"credential"`
	Version    string `json:"version"`
	Access     string `json:"access"` // write, read, unknown, none
	Reason     string `json:"reason"`
}

const (
	accessWrite   = "write"
	accessRead    = "read"
	accessUnknown = "unknown"
	accessNone    = "none"
)

func (f *auditFlags) audit(cmd *cobra.Command, args []string) error {
	devices, err := f.devices(cmd, args)
	if err != nil {
		return err
	}
	var all []finding
	for _, d := range devices {
		for _, c := range d.Credentials {
			one := d
			one.Credentials = []probes.Credential{c}
			all = append(all, f.look(cmd, one))
			if cmd.Context().Err() != nil {
				return errors.New("stopped before the end")
			}
		}
	}
	if err := printFindings(cmd, all, f.asJSON); err != nil {
		return err
	}
	for _, found := range all {
		if found.Access == accessWrite {
			return exitCode{code: exitCheck}
		}
	}
	return nil
}

func (f *auditFlags) devices(cmd *cobra.Command, args []string) (devices []plan.Device, err error) {
	if len(args) == 0 {
		return f.configuredDevices(cmd)
	}
	for _, address := range args {
		d, err := f.device(cmd, address)
		if err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// configuredDevices are the SNMP devices of the configuration, with the
// credentials that it gives to each.
func (f *auditFlags) configuredDevices(cmd *cobra.Command) ([]plan.Device, error) {
	cfg, _, err := config.Load(cmp.Or(f.config, defaultConfig), kinds())
	if err != nil {
		return nil, err
	}
	var devices []plan.Device
	for _, p := range cfg.Probes {
		options, ok := p.Options.(*snmp.Options)
		if !ok {
			continue
		}
		list, err := options.Targets(cfg.Credentials)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Where, err)
		}
		devices = append(devices, list...)
	}
	for _, e := range cfg.Extensions {
		list, err := extensionDevices(e, cfg.Credentials)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Where, err)
		}
		devices = append(devices, list...)
	}
	if len(devices) == 0 {
		return nil, usage(cmd, fmt.Errorf("%s has no SNMP devices: give some on the command line", cfg.Path))
	}
	for i := range devices {
		devices[i].Timeout, devices[i].Retries = f.timeout, f.retries
	}
	return devices, nil
}

func extensionDevices(e config.Extension, credentials map[string]probes.Credential) (devices []plan.Device, err error) {
	data, err := os.ReadFile(e.Configuration)
	if err != nil {
		return nil, fmt.Errorf("read monitoring configuration: %w", err)
	}
	configurations, err := extension.ParseConfiguration(data, e.Configuration)
	if err != nil {
		return nil, err
	}
	for _, c := range configurations {
		list, err := c.Devices(credentials)
		if err != nil {
			return nil, err
		}
		devices = append(devices, list...)
	}
	return devices, nil
}

// look finds out what one credential may do at one device.
func (f *auditFlags) look(cmd *cobra.Command, d plan.Device) finding {
	c := d.Credentials[0]
	found := finding{Credential: c.Name, Version: versionOf(c), Access: accessNone, Device: d.Host}
	if d.Port != 161 {
		found.Device = fmt.Sprintf("%s:%d", d.Host, d.Port)
	}
	client, err := snmp.Open(cmd.Context(), d, snmp.ClientOptions{})
	if err != nil {
		found.Reason, _, _ = strings.Cut(err.Error(), ": check")
		return found
	}
	defer client.Close()
	if !f.probeWrite {
		found.Access, found.Reason = passive(cmd, client)
		return found
	}
	access, why, err := client.CanWrite(cmd.Context())
	found.Reason = why
	switch {
	case err != nil:
		found.Access, found.Reason = accessUnknown, err.Error()
	case access == snmp.CanWrite:
		found.Access = accessWrite
	case access == snmp.CannotWrite:
		found.Access = accessRead
	default:
		found.Access = accessUnknown
	}
	return found
}

func versionOf(c probes.Credential) string {
	return map[probes.SNMPVersion]string{probes.SNMPv1: "v1", probes.SNMPv2c: "v2c", probes.SNMPv3: "v3"}[c.Version]
}

// vacmAccessWriteViewName names, for each group of users, what they may write.
const vacmAccessWriteViewName = "1.3.6.1.6.3.16.1.4.1.6"

// passive looks at the device's own table of access rights. It does not tell to
// which group the credential belongs.
func passive(cmd *cobra.Command, c *snmp.Client) (access, reason string) {
	groups, writers := 0, 0
	_, err := c.Walk(cmd.Context(), vacmAccessWriteViewName, snmp.WalkOptions{}, func(v snmp.Varbind) error {
		groups++
		if text := v.Cell.Text; text != "" && !strings.EqualFold(text, "none") {
			writers++
		}
		return nil
	})
	switch {
	case err != nil:
		return accessUnknown, err.Error()
	case groups == 0:
		return accessUnknown, "the device does not show its access rights; --probe-write asks it"
	case writers == 0:
		return accessRead, "no group of users has a view to write to"
	}
	return accessUnknown, fmt.Sprintf("%d of %d groups of users have a view to write to; --probe-write tells whether this one does", writers, groups)
}

func printFindings(cmd *cobra.Command, all []finding, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		if err := enc.Encode(all); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		return nil
	}
	says := map[string]string{accessWrite: "CAN WRITE", accessRead: "read only", accessUnknown: "unknown", accessNone: "no access"}
	rows := [][]string{{"DEVICE", "CREDENTIAL", "VERSION", "ACCESS", "WHY"}}
	for _, f := range all {
		rows = append(rows, []string{f.Device, f.Credential, f.Version, says[f.Access], f.Reason})
	}
	return printColumns(cmd.OutOrStdout(), rows)
}
