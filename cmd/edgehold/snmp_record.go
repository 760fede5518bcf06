package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/probes/snmp/snmprec"
)

type recordFlags struct {
	snmpFlags
	out    string
	roots  []string
	noMask bool
}

func newSNMPRecord() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record DEVICE",
		Short: "Write all that a device answers to a file, masked, for a bug report",
		Long: `Write all that a device answers as a recording (.snmprec), which
"edgehold snmp test" and snmpsim play back.

Masked, each by the same text wherever it stands: names, contacts, places and
descriptions of ports; IPv4 and IPv6 addresses, in indices too; MAC addresses
but for the vendor; serial numbers. The tables of communities, users and trap
receivers are left out. Look through the file before you give it away: a text
of a vendor's own table may tell more.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.record(cmd, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "file to write; it must not exist (default: standard output)")
	cmd.Flags().StringSliceVar(&f.roots, "root", []string{"1.0", "1.2", "1.3"}, "record only what is below these OIDs")
	cmd.Flags().BoolVar(&f.noMask, "no-mask", false, "mask nothing")
	return cmd
}

func (f *recordFlags) record(cmd *cobra.Command, address string) error {
	roots, err := parseOIDs(cmd, f.roots)
	if err != nil {
		return err
	}
	c, err := f.open(cmd, address)
	if err != nil {
		return err
	}
	defer c.Close()
	out, written := cmd.OutOrStdout(), false
	if f.out != "" {
		file, err := createNew(f.out)
		if err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		defer closeRecording(file, &written)
		out = file
	}
	rows, whole, err := f.read(cmd, c, roots)
	if err != nil {
		return err
	}
	if !f.noMask {
		var report snmprec.Report
		rows, report = snmprec.Mask(rows, secretsOf(c.Credential()))
		fmt.Fprintln(cmd.ErrOrStderr(), maskedText(report))
	}
	if err := writeRecording(cmd, out, rows); err != nil {
		return err
	}
	written = true
	if !whole {
		return exitCode{code: exitCheck}
	}
	return nil
}

// createNew makes a file that is not there yet, before a long walk and not after
// it.
func createNew(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists, give another name or remove it", path)
	}
	return file, err
}

// closeRecording leaves no file behind that nothing was written to.
func closeRecording(file *os.File, written *bool) {
	_ = file.Close()
	if !*written {
		_ = os.Remove(file.Name())
	}
}

// read walks the roots. An OID that comes twice is recorded once, as it came first.
func (f *recordFlags) read(cmd *cobra.Command, c *snmp.Client, roots []string) (rows []snmprec.Row, whole bool, err error) {
	bar := newProgress(cmd, false)
	defer bar.end()
	whole = true
	seen := map[string]bool{}
	for _, root := range roots {
		report, err := c.Walk(cmd.Context(), root, snmp.WalkOptions{Unordered: true}, func(v snmp.Varbind) error {
			if seen[v.OID] {
				return nil
			}
			seen[v.OID] = true
			rows = append(rows, snmprec.Row{OID: v.OID, Tag: uint8(v.Tag), Cell: v.Cell})
			bar.count(len(rows), "OIDs, at "+v.OID)
			return nil
		})
		if err != nil {
			return nil, false, stopped(err)
		}
		if report.Stopped != nil {
			whole = sayWalk(cmd, root, report)
		}
	}
	snmprec.Sort(rows)
	if len(rows) == 0 {
		return nil, false, errors.New("nothing to record: the device shows nothing to this credential")
	}
	return rows, whole, nil
}

// secretsOf are the texts of a credential that must not be in a file.
func secretsOf(c probes.Credential) []string {
	return []string{c.Community.Reveal(), c.User, c.AuthPass.Reveal(), c.PrivPass.Reveal()}
}

func maskedText(r snmprec.Report) string {
	return fmt.Sprintf("masked: %d IPv4, %d IPv6 and %d MAC addresses, %d names and descriptions, %d serial numbers; left out: %d rows of tables with secrets\n"+
		"look through it before you give it away", r.IPv4, r.IPv6, r.MAC, r.Names, r.Serials, r.LeftOut)
}

func writeRecording(cmd *cobra.Command, out io.Writer, rows []snmprec.Row) error {
	var b []byte
	lost := 0
	for _, r := range rows {
		var ok bool
		if b, ok = snmprec.AppendRow(b, r); !ok {
			lost++
		}
	}
	if _, err := out.Write(b); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	if lost > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d values could not be read and are not in the recording\n", lost)
	}
	return nil
}
