package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
)

// certFlags are those of commands that make a developer certificate.
type certFlags struct {
	authority, passFile string
	kind, keyPassFile   string
	plain               bool
	out                 ca.Output
}

func (f *certFlags) add(cmd *cobra.Command) {
	addAuthorityFlag(cmd, &f.authority)
	addKeyFlag(cmd, &f.kind)
	flags := cmd.Flags()
	flags.StringVar(&f.passFile, "pass-file", "", "file with the pass phrase of the root key")
	flags.StringVar(&f.keyPassFile, "key-pass-file", "", "file with the pass phrase for the new key")
	flags.BoolVar(&f.plain, "plain", false, "leave the new key without a pass phrase")
	flags.BoolVar(&f.out.Fused, "fused", false, "also write one file with certificate and plain key, for the vendor's tools")
	flags.IntVar(&f.out.Days, "days", 0, fmt.Sprintf("days until the certificate ends (default %d, at most until the root ends)", ca.DeveloperDays))
	cmd.MarkFlagsMutuallyExclusive("key-pass-file", "plain")
}

// openAuthority opens an authority with its key.
func openAuthority(ctx context.Context, dir, passFile string) (*ca.Authority, error) {
	a, err := ca.Open(dir, time.Now)
	if err != nil {
		return nil, err
	}
	return a, a.Unlock(keyPhrase(ctx, passFile, "the root key"))
}

// makesKey prepares for a key that is made here.
func (f *certFlags) makesKey(cmd *cobra.Command, name string) (err error) {
	f.out.Kind = ca.Kind(f.kind)
	if !f.plain {
		if f.out.Phrase, err = newPhrase(cmd.Context(), f.keyPassFile, "the key of "+name, "key-pass-file"); err != nil {
			return err
		}
	}
	sayKeyTakesTime(cmd, f.out.Kind)
	return nil
}

func newExtCert() *cobra.Command {
	var f certFlags
	var r ca.Request
	var csr string
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make a developer certificate of a category",
		Long: `Make a developer certificate, with which packages of one category are signed.
Its key is made here, protected by a pass phrase, or stays where it is: then the
developer sends a request (CSR), whose signature is checked.

The files never go into the folder of the root, nor into one that holds a root
key. The category is written into the certificate as organizational unit.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if csr == "" && r.Name == "" {
				return usage(cmd, fmt.Errorf("give --name, or a request that has one with --csr"))
			}
			if err := config.CheckCategoryName(r.Category); err != nil {
				return usage(cmd, fmt.Errorf("--category: %w", err))
			}
			a, err := openAuthority(cmd.Context(), f.authority, f.passFile)
			if err != nil {
				return err
			}
			if csr == "" {
				if err = a.CheckPlace(f.out.Dir, r.Name); err == nil {
					err = f.makesKey(cmd, r.Name)
				}
			} else {
				r.CSR, err = readRequest(csr)
			}
			if err != nil {
				return err
			}
			r.Output = f.out
			made, err := a.Issue(r)
			if err != nil {
				return err
			}
			return printMade(cmd, made, f.out.Phrase != nil)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&r.Category, "category", "", "category of the packages that it signs")
	flags.StringVar(&r.Name, "name", "", "name of the developer or the build machine")
	flags.StringVar(&csr, "csr", "", "request of a developer who has a key")
	flags.StringVar(&f.out.Dir, "out", "", "folder for certificate and key")
	cmd.MarkFlagsOneRequired("category")
	cmd.MarkFlagsOneRequired("out")
	for _, own := range []string{"key", "key-pass-file", "plain", "fused"} {
		cmd.MarkFlagsMutuallyExclusive("csr", own)
	}
	return cmd
}

// readRequest reads a CSR of sane size.
func readRequest(path string) ([]byte, error) {
	data, err := sign.ReadRegular(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("read CSR: %w", err)
	}
	return data, nil
}

func newExtRenew() *cobra.Command {
	var f certFlags
	var r ca.Renewal
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Make a certificate in place of one that ends",
		Long: `Make a certificate with the name and the category of an older one, for the same
key or, with --new-key, for a new one. The older one stays valid until it ends;
after a leak revoke it (edgehold ext revoke) and sign its packages again
(edgehold ext resign).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := f.checkRenewal(cmd, r.NewKey); err != nil {
				return usage(cmd, err)
			}
			a, err := openAuthority(cmd.Context(), f.authority, f.passFile)
			if err != nil {
				return err
			}
			if r.NewKey {
				if err := f.makesKey(cmd, r.CertFile); err != nil {
					return err
				}
			}
			r.Output = f.out
			made, err := a.Renew(r)
			if err != nil {
				return err
			}
			return printMade(cmd, made, f.out.Phrase != nil)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&r.CertFile, "cert", "", "the certificate that ends")
	flags.BoolVar(&r.NewKey, "new-key", false, "make a new key")
	flags.StringVar(&f.out.Dir, "out", "", "folder for the new files (default: the one of --cert)")
	cmd.MarkFlagsOneRequired("cert")
	return cmd
}

// checkRenewal refuses options of a new key where the key stays.
func (f *certFlags) checkRenewal(cmd *cobra.Command, newKey bool) error {
	for _, of := range []string{"key", "key-pass-file", "plain", "fused"} {
		if !newKey && cmd.Flags().Changed(of) {
			return fmt.Errorf("--%s is about a new key; give --new-key too", of)
		}
	}
	return nil
}

func printMade(cmd *cobra.Command, m *ca.Made, encrypted bool) error {
	rows := [][]string{{"certificate", m.CertFile}}
	if m.KeyFile != "" {
		protection := "no pass phrase"
		if encrypted {
			protection = "with a pass phrase"
		}
		rows = append(rows, []string{"key", m.KeyFile + " (" + protection + ")"})
	}
	if m.FusedFile != "" {
		rows = append(rows, []string{"both", m.FusedFile})
		cmd.PrintErrf("edgehold: warning: %s holds the private key without a pass phrase, as the vendor's tools need it; remove it when they are done\n", m.FusedFile)
	}
	end := m.Certificate.NotAfter.Format(time.DateOnly)
	if m.Shortened {
		end += " (the root ends then)"
	}
	rows = append(rows, []string{"serial", m.Certificate.SerialNumber.Text(16)}, []string{"valid until", end})
	return printColumns(cmd.OutOrStdout(), rows)
}
