package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

// checkDocument is what `check --json` prints.
type checkDocument struct {
	File     string       `json:"file"`
	OK       bool         `json:"ok"`
	Errors   []string     `json:"errors"`
	Warnings []string     `json:"warnings"`
	Entries  []checkEntry `json:"entries"`

	Packages []control.Package `json:"packages"`
	Privacy  []checkRule       `json:"privacy"` // rules of the privacy policy
}

type checkEntry struct {
	Name      string `json:"name"`
	Devices   int    `json:"devices"`
	Endpoints int    `json:"endpoints"`
	Receivers int    `json:"trap_receivers"`
	Listeners int    `json:"listeners"`
	Tasks     int    `json:"tasks"`
	PerDay    int    `json:"points_per_day"` // about
	Assumed   string `json:"points_assumed,omitempty"`
}

func newCheck() *cobra.Command {
	var path string
	var asJSON, asSchema bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and everything it names",
		Long: `Check the configuration file, its secrets, packages and monitoring
configurations, and print all errors at once. Nothing is polled or sent.
The exit code is 0 when all is well and 78 when something is wrong.

With --schema nothing is checked: the JSON schema of the file is printed, for
editors that help to write it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asSchema {
				return printSchema(cmd.OutOrStdout())
			}
			doc, err := check(path)
			if err != nil {
				return err
			}
			return printCheck(cmd, doc, asJSON)
		},
	}
	addConfigFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asSchema, "schema", false, "print the JSON schema of the configuration")
	return cmd
}

func printSchema(w io.Writer) error {
	text, err := config.Schema(kinds())
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// asked is what an entry asks, in words.
func (e checkEntry) asked() string {
	var words []string
	for _, part := range []struct {
		n     int
		thing string
	}{{e.Devices, "device"}, {e.Endpoints, "endpoint"}, {e.Receivers, "trap receiver"}, {e.Listeners, "listener"}} {
		if part.n > 0 {
			words = append(words, counted(part.n, part.thing))
		}
	}
	if len(words) == 0 {
		return "nothing is asked"
	}
	return strings.Join(words, ", ")
}

func check(path string) (checkDocument, error) {
	doc := checkDocument{File: path, Errors: []string{}, Warnings: []string{}, Entries: []checkEntry{}, Packages: []control.Package{}, Privacy: []checkRule{}}
	cfg, warnings, err := config.Examine(path, kinds())
	for _, w := range warnings {
		doc.Warnings = append(doc.Warnings, w.String())
	}
	var list config.Errors
	if err != nil && !errors.As(err, &list) {
		return doc, err
	}
	for _, e := range list {
		doc.Errors = append(doc.Errors, e.Error())
	}
	if cfg == nil {
		return doc, nil
	}
	if target := cfg.Uplink; target.HasToken() {
		if _, err := target.Token(); err != nil {
			doc.Errors = append(doc.Errors, fmt.Sprintf("%s: uplink.%s.%v", target.TokenWhere, target.Kind, err))
		}
	}
	doc.Privacy = checkPrivacy(cfg)
	found := agent.Check(cfg, kinds(), buildTime())
	doc.Packages, doc.Warnings = found.Packages, append(doc.Warnings, found.Warnings...)
	for _, e := range found.Entries {
		for _, w := range e.Warnings {
			doc.Warnings = append(doc.Warnings, e.Name+": "+w)
		}
		if e.Err != nil {
			doc.Errors = appendNew(doc.Errors, strings.Split(e.Err.Error(), "\n"))
			continue
		}
		if e.Unsigned {
			doc.Warnings = append(doc.Warnings, e.Name+": runs without a checked signature (trust.allow_unsigned)")
		}
		doc.Entries = append(doc.Entries, checkEntry{
			Name: e.Name, Devices: e.Devices, Endpoints: e.Endpoints, Receivers: e.Receivers, Listeners: e.Listeners,
			Tasks: e.Tasks, PerDay: e.PerDay, Assumed: e.Assumed,
		})
	}
	doc.OK = len(doc.Errors) == 0
	return doc, nil
}

// appendNew says what entries share, such as a profile, once.
func appendNew(all, more []string) []string {
	for _, text := range more {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

func printCheck(cmd *cobra.Command, doc checkDocument, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		if err := enc.Encode(doc); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	} else {
		printCheckText(cmd, doc)
	}
	if !doc.OK {
		return exitCode{code: exitConfig}
	}
	return nil
}

func printCheckText(cmd *cobra.Command, doc checkDocument) {
	for _, w := range doc.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", plainText(w))
	}
	for _, e := range doc.Errors {
		fmt.Fprintln(cmd.ErrOrStderr(), "error:", plainText(e))
	}
	if !doc.OK {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s; nothing was changed\n", oneLine(doc.File), counted(len(doc.Errors), "error"))
		return
	}
	printPackages(cmd.OutOrStdout(), doc.Packages)
	for _, e := range doc.Entries {
		fmt.Fprintf(cmd.OutOrStdout(), "  %s: %s, %s\n", e.Name, e.asked(), counted(e.Tasks, "task"))
		if e.PerDay > 0 {
			each := "a device"
			if e.Devices == 0 {
				each = "an endpoint"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "    about %s a day, %s %s, %s\n",
				points(e.PerDay), grouped(e.PerDay/max(e.Devices+e.Endpoints, 1)), each, e.Assumed)
		}
	}
	printCheckPrivacy(cmd.OutOrStdout(), doc.Privacy)
	fmt.Fprintf(cmd.OutOrStdout(), "%s: good\n", doc.File)
}
