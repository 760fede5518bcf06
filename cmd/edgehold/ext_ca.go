package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign/ca"
)

// extAuthority are the commands of a certificate authority.
func extAuthority() []*cobra.Command {
	return []*cobra.Command{newExtCA(), newExtCert(), newExtRenew(), newExtRevoke(), newExtDeny()}
}

func newExtCA() *cobra.Command {
	var o ca.RootOptions
	var kind, passFile string
	var plain bool
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make a certificate authority: the root that this site trusts",
		Long: `Make a root in a folder of its own: ca.pem, the certificate that every agent
trusts, ca.key, its key, and a record of what it issues.

  edgehold ext ca --out ca --name "Plant 7 root"
  edgehold ext cert --ca ca --category network --name anna --out anna

The key is protected by a pass phrase, asked on the terminal or read from a
file. Keep the folder off the machines that build packages: who has the key can
sign for everybody. A backup of the folder holds all there is.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			o.Kind, o.Now = ca.Kind(kind), time.Now
			if err := o.Check(); err != nil {
				return usage(cmd, err)
			}
			if !plain {
				if o.Phrase, err = newPhrase(cmd.Context(), passFile, "the root key", "pass-file"); err != nil {
					return err
				}
			}
			sayKeyTakesTime(cmd, o.Kind)
			a, err := ca.Create(o)
			if err != nil {
				return err
			}
			return printRoot(cmd, a, plain)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "out", "", "folder of the root, new or empty")
	flags.StringVar(&o.Name, "name", "", "name of the root")
	flags.IntVar(&o.Days, "days", ca.RootDays, "days until the root ends")
	addKeyFlag(cmd, &kind)
	flags.StringVar(&passFile, "pass-file", "", "file with the pass phrase of the root key")
	flags.BoolVar(&plain, "plain", false, "leave the key without a pass phrase")
	cmd.MarkFlagsOneRequired("out")
	cmd.MarkFlagsOneRequired("name")
	cmd.MarkFlagsMutuallyExclusive("pass-file", "plain")
	list := newExtCAList()
	list.Args = usageArgs(list.Args)
	cmd.AddCommand(list)
	return cmd
}

func addKeyFlag(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "key", string(ca.RSA4096), "kind of key: rsa4096 (what the vendor's tools take) or p256")
}

func sayKeyTakesTime(cmd *cobra.Command, kind ca.Kind) {
	if kind == ca.RSA4096 {
		cmd.PrintErrln("making an RSA key of 4096 bits, which takes a while on a small machine")
	}
}

func printRoot(cmd *cobra.Command, a *ca.Authority, plain bool) error {
	if plain {
		cmd.PrintErrf("edgehold: warning: the root key in %s has no pass phrase; who can read it can sign for everybody\n", a.Dir())
	}
	cert := filepath.Join(a.Dir(), "ca.pem")
	_, err := fmt.Fprintf(cmd.OutOrStdout(), `made %s, valid until %s
on every machine that trusts it, run:
  install -m 644 %s /etc/edgehold/certificates/%s.pem
next, a developer certificate:
  edgehold ext cert --ca %s --category CATEGORY --name NAME --out FOLDER
`, cert, a.Certificate.NotAfter.Format(time.DateOnly), shellWord(cert), a.FileName(), shellWord(a.Dir()))
	return written(err)
}

// shellWord is text as one word of a shell command.
func shellWord(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:,"
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// written wraps an error of writing to standard output.
func written(err error) error {
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func newExtCAList() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what an authority has issued, and when it ends",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := ca.Open(dir, time.Now)
			if err != nil {
				return err
			}
			s, err := a.Summary()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return written(enc.Encode(s))
			}
			return printIssued(cmd, s)
		},
	}
	addAuthorityFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func addAuthorityFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "ca", "", "folder of the authority, as 'edgehold ext ca' made it")
	cmd.MarkFlagsOneRequired("ca")
}

func printIssued(cmd *cobra.Command, s *ca.Summary) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, valid until %s (%d days), %s\nfingerprint %s\nlast CRL %s, last deny list %s\n\n",
		oneLine(s.Name), s.NotAfter.Format(time.DateOnly), s.DaysLeft, s.State, s.Fingerprint, numberOf(s.CRLNumber), numberOf(s.DenyNumber))
	if err != nil {
		return written(err)
	}
	rows := [][]string{{"SERIAL", "NAME", "CATEGORY", "UNTIL", "DAYS", "STATE"}}
	for _, c := range s.Certificates {
		state := c.State
		if c.Reason != "" {
			state += " (" + c.Reason + ")"
		} else if c.RenewedBy != "" {
			state += " (renewed)"
		}
		rows = append(rows, []string{oneLine(c.Serial), oneLine(c.Name), oneLine(c.Category), c.NotAfter.Format(time.DateOnly), strconv.Itoa(c.DaysLeft), oneLine(state)})
	}
	return printColumns(cmd.OutOrStdout(), rows)
}

func numberOf(n int64) string {
	if n == 0 {
		return "none"
	}
	return "number " + strconv.FormatInt(n, 10)
}
