package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign/mtls"
)

func newRelayCertList() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "Show what was issued, and when it ends",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := fleetSummary(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return printIndented(cmd.OutOrStdout(), s)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, valid until %s (%d days), revocation list number %d\n\n", oneLine(s.Name), s.NotAfter.Format(time.DateOnly), s.DaysLeft, s.CRLNumber)
			if err != nil {
				return written(err)
			}
			return printFleet(cmd, s.Certificates)
		},
	}
	addFleetReadFlags(cmd, &dir, &asJSON)
	return cmd
}

func addFleetReadFlags(cmd *cobra.Command, dir *string, asJSON *bool) {
	cmd.Flags().StringVar(dir, "ca", defaultFleetCA, "folder of the authority")
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON")
}

func fleetSummary(dir string) (*mtls.Summary, error) {
	a, err := mtls.Open(dir, time.Now)
	if err != nil {
		return nil, err
	}
	return a.Summary()
}

func printFleet(cmd *cobra.Command, all []mtls.Issued) error {
	rows := [][]string{{"ROLE", "NAME", "UNTIL", "DAYS", "STATE", "SERIAL"}}
	for _, e := range all {
		state := e.State
		if e.Reason != "" {
			state += " (" + e.Reason + ")"
		}
		rows = append(rows, []string{oneLine(string(e.Role)), oneLine(e.Name), e.NotAfter.Format(time.DateOnly), strconv.Itoa(e.DaysLeft), oneLine(state), oneLine(e.Serial)})
	}
	return printColumns(cmd.OutOrStdout(), rows)
}

func newRelayCertShow() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "Show a certificate, in a file or all of a name",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := findFleet(dir, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printIndented(cmd.OutOrStdout(), found)
			}
			for i, e := range found {
				rows := [][]string{
					{"name", oneLine(e.Name)},
					{"role", orDash(oneLine(string(e.Role)))},
					{"valid", fmt.Sprintf("%s to %s (%d days left), %s", e.NotBefore.Format(time.DateOnly), e.NotAfter.Format(time.DateOnly), e.DaysLeft, e.State)},
					{"hosts", orDash(oneLine(strings.Join(e.Hosts, " ")))},
					{"serial", e.Serial},
					{"SHA-256", e.Fingerprint},
				}
				if i > 0 {
					rows = append([][]string{{"", ""}}, rows...)
				}
				if err := printColumns(cmd.OutOrStdout(), rows); err != nil {
					return err
				}
			}
			return nil
		},
	}
	addFleetReadFlags(cmd, &dir, &asJSON)
	return cmd
}

// findFleet finds a certificate in a file, or those that were issued to a name.
func findFleet(dir, what string) ([]mtls.Issued, error) {
	if info, err := os.Stat(what); err == nil && !info.IsDir() {
		e, err := mtls.Show(what, time.Now())
		return []mtls.Issued{e}, err
	}
	s, err := fleetSummary(dir)
	if err != nil {
		return nil, err
	}
	var found []mtls.Issued
	for _, e := range s.Certificates {
		if e.Name == what {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%q is no file and no name that %s has issued; see `edgehold relay cert ls`", what, dir)
	}
	return found, nil
}

func newRelayCertRevoke() *cobra.Command {
	var f fleetFlags
	var v mtls.Revocation
	var role string
	cmd := &cobra.Command{
		Use:   "revoke [NAME]",
		Short: "Take certificates back: write the list (CRL) that brokers read",
		Long: `Put all certificates of a site or relay, or one by its serial number, on the list
of those that were taken back, and write the list in the form that mosquitto's
crlfile takes. Without either the list is written again. Restart the broker
afterwards: a reload (SIGHUP) is enough to keep them out, but who is connected
stays connected.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				v.Name = args[0]
			}
			if v.Name != "" && v.Serial != "" {
				return usage(cmd, fmt.Errorf("give a name or --serial, not both"))
			}
			v.Role = mtls.Role(role)
			a, err := f.open(cmd)
			if err != nil {
				return err
			}
			done, err := a.Revoke(v)
			if err != nil {
				return err
			}
			return printFleetRevoked(cmd, done)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&v.Serial, "serial", "", "serial number, as 'edgehold relay cert ls' shows it")
	flags.StringVar(&role, "role", "", "role of the name: broker, site or relay (default: site or relay)")
	flags.StringVar(&v.Reason, "reason", "unspecified", "unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation")
	flags.IntVar(&v.Days, "days", 0, "days until a next list is due; brokers refuse everybody after that (default: when the authority ends)")
	return cmd
}

func printFleetRevoked(cmd *cobra.Command, done *mtls.Revoked) error {
	text := "nothing new is revoked\n"
	if len(done.Entries) > 0 {
		text = ""
	}
	for _, e := range done.Entries {
		text += fmt.Sprintf("revoked %s %s, serial %s\n", oneLine(string(e.Role)), oneLine(e.Name), oneLine(e.Serial))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%slist number %d: %s, counts until %s\nnext: copy it to each broker (its crlfile), then restart the broker: a reload keeps them from coming again, and lets who is connected stay\n",
		text, done.Number, done.File, done.Next.Format(time.DateOnly))
	return written(err)
}
