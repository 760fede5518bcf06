package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

type discoverFlags struct {
	snmpFlags
	rate     int
	force    bool
	write    string
	profiles string
	asJSON   bool
}

func newSNMPDiscover() *cobra.Command {
	var f discoverFlags
	cmd := &cobra.Command{
		Use:   "discover NETWORK...",
		Short: "Find the devices in networks, and write a configuration for them",
		Long: `Ask every address of the networks, at a bounded rate and with each credential
in order, and print the devices that answer. Addresses of one device are told
as one (SNMP engine id, serial number, chassis MAC address, or name and type).

  edgehold snmp discover 192.0.2.0/24 --credentials plant-v3,plant-v2
  edgehold snmp discover 192.0.2.0/24 --community-file FILE --write config.d/found.yaml

Ctrl-C prints what was found until then. The exit code is 3 where nothing was
found. Networks beyond 65536 addresses need --force.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.discover(cmd, args) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.IntVar(&f.rate, "packets-per-second", discover.DefaultPerSecond, "packets that may leave in a second")
	flags.BoolVar(&f.force, "force", false, "scan networks of any size")
	flags.StringVar(&f.write, "write", "", "write the configuration of the devices to this file, e.g. in config.d; it must not exist")
	flags.StringVar(&f.profiles, "profiles", "", "folder with profiles of your own")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (f *discoverFlags) discover(cmd *cobra.Command, args []string) error {
	networks, err := f.networks(cmd, args)
	if err != nil {
		return err
	}
	if f.rate < 1 || f.rate > 10_000 {
		return usage(cmd, fmt.Errorf("--packets-per-second is %d, expected 1 to 10000", f.rate))
	}
	credentials, err := f.credentials(cmd)
	if err != nil {
		return err
	}
	profile, err := profileChooser(f.profiles)
	if err != nil {
		return err
	}
	if f.write != "" {
		if _, err := os.Lstat(f.write); err == nil {
			return fmt.Errorf("--write: %s exists, give another name or remove it", f.write)
		}
	}
	bar := newProgress(cmd, f.asJSON)
	found, scanErr := discover.Scan(cmd.Context(), discover.Options{
		Networks: networks, Credentials: credentials, PerSecond: f.rate, Port: f.port, Timeout: f.timeout, Retries: f.retries,
		Profile: profile, Progress: func(done, of uint64, devices int) { bar.scan(done, of, devices) },
	})
	bar.end()
	return f.tell(cmd, discover.Proposal{
		Devices: found, Networks: networks, When: time.Now().Format("2006-01-02 15:04"), Credentials: f.definitions(credentials),
	}, scanErr)
}

func (f *discoverFlags) tell(cmd *cobra.Command, p discover.Proposal, scanErr error) error {
	if err := printFound(cmd, p.Devices, f.asJSON); err != nil {
		return err
	}
	if f.write != "" && len(p.Devices) > 0 {
		if err := writeProposal(f.write, p.YAML()); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s; `edgehold check`, then `edgehold reload`\n", f.write, counted(len(p.Devices), "device"))
	}
	switch {
	case scanErr != nil:
		return errors.New("stopped before the end: there may be more devices")
	case len(p.Devices) == 0:
		return exitCode{exitCheck, errors.New("no device answered: check networks and credentials, and that the devices allow this machine to ask")}
	}
	return nil
}

func (f *discoverFlags) networks(cmd *cobra.Command, args []string) (networks []netip.Prefix, err error) {
	for _, text := range args {
		p, err := discover.ParseNetwork(text)
		if err != nil {
			return nil, usage(cmd, err)
		}
		networks = append(networks, p)
	}
	if n := discover.Size(networks); n > discover.MaxAddresses && !f.force {
		return nil, usage(cmd, fmt.Errorf("these networks have more than %d addresses, about %v at %d packets a second: give smaller ones, or --force",
			discover.MaxAddresses, (time.Duration(min(n, 1<<32)/uint64(max(f.rate, 1)))*time.Second).Round(time.Hour), f.rate))
	}
	return networks, nil
}

// profileChooser names the profile that fits a device.
func profileChooser(folder string) (func(sysObjectID, sysDescr string) string, error) {
	profiles, err := agent.OpenProfiles(folder)
	if err != nil {
		return nil, err
	}
	return func(sysObjectID, sysDescr string) string {
		p, err := profiles.For(sysObjectID, sysDescr, plan.ProfileOptions{Interval: time.Minute})
		if err != nil {
			return ""
		}
		return p.Extension
	}, nil
}

// definitions are the credentials that came from flags, as a configuration
// has them; secrets stay in their files.
func (f *discoverFlags) definitions(credentials []probes.Credential) string {
	if f.config != "" || len(f.names) > 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("credentials:\n")
	for _, c := range credentials {
		fmt.Fprintf(&b, "  %s:\n", c.Name)
		switch {
		case c.Version == probes.SNMPv3:
			f.defineUser(&b, c)
		case f.communityFile == "":
			b.WriteString("    community_file: public.community # a file that holds: public\n")
		default:
			fmt.Fprintf(&b, "    community_file: %q\n", absolutePath(f.communityFile))
		}
		if c.Version == probes.SNMPv1 {
			b.WriteString("    version: v1\n")
		}
	}
	return b.String()
}

func (f *discoverFlags) defineUser(b *strings.Builder, c probes.Credential) {
	for _, line := range [][2]string{
		{"user", c.User},
		{"auth", string(c.Auth)},
		{"auth_file", absolutePath(f.authFile)},
		{"priv", string(c.Priv)},
		{"priv_file", absolutePath(f.privFile)},
		{"context", c.Context},
	} {
		if line[1] != "" {
			fmt.Fprintf(b, "    %s: %q\n", line[0], line[1])
		}
	}
}

// absolutePath is "" for "".
func absolutePath(path string) string {
	if path == "" {
		return ""
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

func writeProposal(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = file.Write(data)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func printFound(cmd *cobra.Command, found []discover.Device, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		if found == nil {
			found = []discover.Device{}
		}
		if err := enc.Encode(found); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	rows := [][]string{{"ADDRESS", "NAME", "PROFILE", "CREDENTIAL", "DESCRIPTION"}}
	for _, d := range found {
		rows = append(rows, []string{d.Target(), orDash(d.Name), d.Profile, d.Credential, firstRunes(d.Description, 50)})
		for _, also := range d.Addresses[1:] {
			rows = append(rows, []string{"  " + also, "the same device", "", "", ""})
		}
	}
	return printColumns(cmd.OutOrStdout(), rows)
}

// printColumns makes each column as wide as its widest text.
func printColumns(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range rows {
		line := ""
		for i, text := range row {
			line += text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func firstRunes(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return s
}
