package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

func newSNMPGet() *cobra.Command {
	var f snmpFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get DEVICE OID...",
		Short: "Read instances of one device",
		Long: `Read instances of one device and print them as snmpget does with -On.

  edgehold snmp get 192.0.2.10 1.3.6.1.2.1.1.5.0 --community-file FILE

The exit code is 3 where the device does not have all of them.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.get(cmd, args, asJSON)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per instance")
	return cmd
}

func (f *snmpFlags) get(cmd *cobra.Command, args []string, asJSON bool) error {
	oids, err := parseOIDs(cmd, args[1:])
	if err != nil {
		return err
	}
	c, err := f.open(cmd, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	vars, err := c.Get(cmd.Context(), oids)
	absent := false
	for _, v := range vars {
		absent = absent || v.Exception != ""
		if err := printVarbind(cmd.OutOrStdout(), v, asJSON); err != nil {
			return err
		}
	}
	if err == nil && absent {
		return exitCode{code: exitCheck}
	}
	return err
}

func parseOIDs(cmd *cobra.Command, texts []string) ([]string, error) {
	oids := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if oids[i], err = parseOID(text); err != nil {
			return nil, usage(cmd, err)
		}
	}
	return oids, nil
}

// defaultRoot is where a walk begins that is told nothing else: mib-2.
const defaultRoot = "1.3.6.1.2.1"

func newSNMPWalk() *cobra.Command {
	var f snmpFlags
	var asJSON, unordered bool
	cmd := &cobra.Command{
		Use:   "walk DEVICE [ROOT...]",
		Short: "Read all that a device has below an OID",
		Long: `Read all that a device has below ROOT (default 1.3.6.1.2.1) and print it as
snmpwalk does with -On. Big requests are made smaller where a device cannot
take them.

  edgehold snmp walk 192.0.2.10 1.3.6.1.2.1.2.2 --community-file FILE
  edgehold snmp walk 192.0.2.10 1.3.6.1.4.1.8691 --unordered

The exit code is 3 where the walk could not be brought to its end.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.walk(cmd, args, asJSON, snmp.WalkOptions{Unordered: unordered})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per instance")
	cmd.Flags().BoolVar(&unordered, "unordered", false, "go on where OIDs do not increase, until nothing new comes")
	return cmd
}

func (f *snmpFlags) walk(cmd *cobra.Command, args []string, asJSON bool, o snmp.WalkOptions) error {
	if len(args) == 1 {
		args = append(args, defaultRoot)
	}
	roots, err := parseOIDs(cmd, args[1:])
	if err != nil {
		return err
	}
	c, err := f.open(cmd, args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	whole := true
	for _, root := range roots {
		report, err := c.Walk(cmd.Context(), root, o, func(v snmp.Varbind) error { return printVarbind(out, v, asJSON) })
		if flushErr := out.Flush(); flushErr != nil {
			return fmt.Errorf("write to standard output: %w", flushErr)
		}
		if err != nil {
			return stopped(err)
		}
		whole = sayWalk(cmd, root, report) && whole
	}
	if !whole {
		return exitCode{code: exitCheck}
	}
	return nil
}

func stopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("stopped before the end")
	}
	return err
}

// sayWalk tells on standard error what was odd, and whether the walk is whole.
func sayWalk(cmd *cobra.Command, root string, r snmp.WalkReport) (whole bool) {
	w := cmd.ErrOrStderr()
	if r.Backwards > 0 || r.Repeated > 0 {
		fmt.Fprintf(w, "%s: %d OIDs did not increase, %d came again\n", root, r.Backwards, r.Repeated)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "%s: the device named %d instances without a value\n", root, r.Skipped)
	}
	switch {
	case errors.Is(r.Stopped, snmp.ErrUnordered):
		fmt.Fprintf(w, "%s: half read, %d OIDs: %v; --unordered goes on\n", root, r.Rows, r.Stopped)
	case r.Stopped != nil:
		fmt.Fprintf(w, "%s: half read, %d OIDs: %v\n", root, r.Rows, r.Stopped)
	case r.Rows == 0:
		fmt.Fprintf(w, "%s: the device has nothing there, or its view hides it\n", root)
	}
	return r.Stopped == nil
}

type varbindJSON struct {
	OID   string `json:"oid"`
	Type  string `json:"type,omitempty"`
	Value any    `json:"value"`
	Hex   string `json:"hex,omitempty"` // octets that are no text
	Error string `json:"error,omitempty"`
}

func printVarbind(w io.Writer, v snmp.Varbind, asJSON bool) error {
	line := []byte(v.String())
	if asJSON {
		var err error
		if line, err = json.Marshal(varbindDocument(v)); err != nil {
			return err
		}
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func varbindDocument(v snmp.Varbind) varbindJSON {
	doc := varbindJSON{OID: v.OID, Error: v.Exception}
	if v.Exception != "" {
		return doc
	}
	doc.Type = v.Type()
	switch {
	case doc.Type == "Hex-STRING" || v.Tag == snmp.TagOpaque:
		doc.Hex = hex.EncodeToString([]byte(v.Cell.Text))
	case v.Cell.Kind == plan.Octets || v.Cell.Kind == plan.Text:
		doc.Value = v.Cell.Text
	case v.Cell.Kind != plan.Absent:
		doc.Value = json.Number(v.Number())
	}
	return doc
}
