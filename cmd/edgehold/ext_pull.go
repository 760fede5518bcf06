package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/tenant"
)

type pullFlags struct {
	tenantFlags
	name  string
	out   string
	force bool
}

func newExtPull() *cobra.Command {
	f := pullFlags{out: "."}
	cmd := &cobra.Command{
		Use:   "pull --url URL [NAME[@VERSION]...]",
		Short: "List the extensions of a Dynatrace environment, or download some",
		Long: `Without NAME, list the extensions of a Dynatrace environment and say of each
whether it runs here: yes, partly, no, and why.

With NAME, download the package, in the version that the environment has
activated or in the one named, and its monitoring configurations as files that
this agent takes. An environment gives no secrets out: where one is missing the
file names a credential, {{NAME}}, and the command says which to add to the
agent's configuration. No file is replaced without --force.

The token needs the scope extensions.read, and extensionConfigurations.read for
the monitoring configurations.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.pull(cmd, args) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "list only extensions whose names contain this")
	cmd.Flags().StringVar(&f.out, "out", f.out, "folder for the files")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace files that are there")
	return cmd
}

func (f *pullFlags) pull(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && f.name != "" {
		return usage(cmd, errors.New("--name is for the list; give names alone to download"))
	}
	wanted := make([]tenant.Extension, len(args))
	for i, arg := range args {
		e, err := parseWanted(arg)
		if err != nil {
			return usage(cmd, err)
		}
		wanted[i] = e
	}
	client, err := f.open(cmd, ".")
	if err != nil {
		return err
	}
	defer client.Close()
	if len(wanted) == 0 {
		return f.list(cmd, client)
	}
	return f.download(cmd, client, wanted)
}

// parseWanted reads NAME or NAME@VERSION.
func parseWanted(arg string) (tenant.Extension, error) {
	name, version, given := strings.Cut(arg, "@")
	e := tenant.Extension{Name: name, Version: version}
	if err := tenant.CheckName(name); err != nil {
		return e, err
	}
	if given {
		return e, tenant.CheckVersion(version)
	}
	return e, nil
}

// listed is one extension of the environment.
type listed struct {
	Name    string `json:"extension"`
	Version string `json:"version"`
	Active  bool   `json:"active"` // the version is the activated one
	tenant.Judgement
}

func (f *pullFlags) list(cmd *cobra.Command, client *tenant.Client) error {
	all, err := client.Extensions(cmd.Context(), f.name)
	if err != nil {
		return err
	}
	versions := map[string][]string{}
	for _, e := range all {
		versions[e.Name] = append(versions[e.Name], e.Version)
	}
	rows := make([]listed, 0, len(versions))
	failed := false
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		row, err := describe(cmd.Context(), client, tenant.Extension{Name: name, Version: tenant.Highest(versions[name])})
		if err != nil {
			return err
		}
		failed = failed || row.Runs == tenant.RunsUnknown
		rows = append(rows, row)
	}
	if err := f.tellList(cmd, rows); err != nil {
		return err
	}
	if failed {
		return exitCode{exitError, errors.New("of some extensions the environment did not tell enough")}
	}
	return nil
}

// describe finds out whether an extension runs here. What the environment
// cannot tell of one extension does not hide the others.
func describe(ctx context.Context, client *tenant.Client, e tenant.Extension) (listed, error) {
	active, err := client.Active(ctx, e.Name)
	row := listed{Name: e.Name, Version: cmp.Or(active, e.Version), Active: active != ""}
	var m tenant.Metadata
	if err == nil {
		m, err = client.Metadata(ctx, e.Name, row.Version)
	}
	var refusal *tenant.Error
	switch {
	case err == nil:
		row.Judgement = tenant.JudgeSources(m.DataSources)
	case errors.As(err, &refusal) && (refusal.Status == 404 || refusal.Status >= 500):
		row.Judgement = tenant.Judgement{Runs: tenant.RunsUnknown, Why: []string{err.Error()}}
	default:
		return row, err
	}
	return row, nil
}

func (f *pullFlags) tellList(cmd *cobra.Command, rows []listed) error {
	if f.asJSON {
		return printIndented(cmd.OutOrStdout(), rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "edgehold: the environment has no such extension")
		return nil
	}
	table := [][]string{{"EXTENSION", "VERSION", "ACTIVE", "RUNS HERE", "WHY"}}
	for _, r := range rows {
		active := "no"
		if r.Active {
			active = "yes"
		}
		table = append(table, []string{r.Name, r.Version, active, string(r.Runs), strings.Join(r.Why, "; ")})
	}
	return printColumns(cmd.OutOrStdout(), table)
}
