package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
)

func newExtRevoke() *cobra.Command {
	var authority, passFile string
	var v ca.Revocation
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Take back a certificate: write the authority's revocation list (CRL)",
		Long: `Put a certificate on the authority's revocation list (CRL) and write the list,
under a higher number than the one before. Copied into the folder trust.roots of
an agent it stops all packages that the certificate signed.

Without --cert and --serial the list is written again with a later end.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openAuthority(cmd.Context(), authority, passFile)
			if err != nil {
				return err
			}
			done, err := a.Revoke(v)
			if err != nil {
				return err
			}
			return printRevoked(cmd, a, done)
		},
	}
	addAuthorityFlag(cmd, &authority)
	flags := cmd.Flags()
	flags.StringVar(&passFile, "pass-file", "", "file with the pass phrase of the root key")
	flags.StringVar(&v.CertFile, "cert", "", "the certificate to revoke")
	flags.StringVar(&v.Serial, "serial", "", "its serial number, as 'edgehold ext ca list' shows it")
	flags.StringVar(&v.Reason, "reason", "unspecified", "one of "+strings.Join(ca.Reasons(), ", "))
	flags.IntVar(&v.Days, "days", ca.CRLDays, "days until the next list is due")
	flags.StringVar(&v.Out, "crl", "", "where to put a copy of the list (it is ca.crl in the authority's folder)")
	cmd.MarkFlagsMutuallyExclusive("cert", "serial")
	return cmd
}

func printRevoked(cmd *cobra.Command, a *ca.Authority, done *ca.Revoked) error {
	what := "nothing new is revoked"
	if e := done.Entry; e != nil {
		what = fmt.Sprintf("revoked %s (%s, category %s)", oneLine(e.Serial), oneLine(e.Name), oneLine(e.Category))
		if done.Already {
			what += fmt.Sprintf(", as it was since %s", e.Revoked.Format(time.DateOnly))
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\nCRL number %d: %s, the next is due by %s\non every machine that trusts the root, run:\n  install -m 644 %s /etc/edgehold/certificates/%s.crl\n",
		what, done.Number, done.File, done.Next.Format(time.DateOnly), shellWord(done.File), a.FileName())
	return written(err)
}

func newExtDeny() *cobra.Command {
	var authority, passFile, number string
	var d ca.Denial
	var packages []string
	cmd := &cobra.Command{
		Use:   "deny",
		Short: "Take back certificates, packages or versions: write the signed deny list",
		Long: `Put certificates, packages or versions of extensions on the authority's deny
list, signed by the root under a higher number than the one before. Copied into
the folder trust.roots of an agent it stops them; agents remember the list with
the highest number, so that an older one does not bring them back.

  edgehold ext deny --ca ca --package bundle.zip --version custom:pumps@1.2.0
  edgehold ext deny --ca ca --withdraw --version custom:pumps@1.2.0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if d.Number, err = listNumber(number); err != nil {
				return usage(cmd, err)
			}
			if d.Packages, err = digestsOf(packages); err != nil {
				return err
			}
			a, err := openAuthority(cmd.Context(), authority, passFile)
			if err != nil {
				return err
			}
			done, err := a.Deny(d)
			if err != nil {
				return err
			}
			return printDenied(cmd, a, done)
		},
	}
	addAuthorityFlag(cmd, &authority)
	flags := cmd.Flags()
	flags.StringVar(&passFile, "pass-file", "", "file with the pass phrase of the root key")
	flags.StringSliceVar(&d.CertFiles, "cert", nil, "certificate of the authority")
	flags.StringSliceVar(&d.Serials, "serial", nil, "serial number of a certificate of the authority")
	flags.StringSliceVar(&packages, "package", nil, "package, or the SHA-256 of its extension.zip")
	flags.StringSliceVar(&d.Versions, "version", nil, "NAME@VERSION of an extension")
	flags.BoolVar(&d.Withdraw, "withdraw", false, "take them off the list")
	flags.StringVar(&d.Reason, "reason", "", "shown where something is refused, for the whole list")
	flags.StringVar(&number, "number", "auto", "number of the list, higher than the one before")
	flags.StringVar(&d.Out, "out", "", "where to put a copy, deny*.json (the list is deny.json in the authority's folder)")
	cmd.MarkFlagsOneRequired("cert", "serial", "package", "version")
	return cmd
}

func listNumber(text string) (int64, error) {
	if text == "auto" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("--number %q: want auto or a number from 1 on", text)
	}
	return n, nil
}

// digestsOf are the digests of packages that are named by file or by digest.
func digestsOf(packages []string) (digests []string, err error) {
	for _, p := range packages {
		if _, err := os.Stat(p); err != nil {
			digests = append(digests, p)
			continue
		}
		pack, err := sign.Open(p, sign.DefaultLimits())
		if err != nil {
			return nil, err
		}
		digest, form := pack.Digest, pack.Form
		if err := pack.Close(); err != nil {
			return nil, fmt.Errorf("close %s: %w", p, err)
		}
		if form == sign.Folder {
			return nil, fmt.Errorf("%s is a folder; give the package that was made of it", p)
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

func printDenied(cmd *cobra.Command, a *ca.Authority, done *ca.Denied) error {
	l := done.List
	_, err := fmt.Fprintf(cmd.OutOrStdout(), `deny list number %d: %s
it names %d certificates, %d packages, %d versions
on every machine that trusts the root, run:
  install -m 644 %s /etc/edgehold/certificates/deny-%s.json%s
  install -m 644 %s /etc/edgehold/certificates/deny-%s.json
`, l.Number, done.File, len(l.Certificates), len(l.Packages), len(l.Versions),
		shellWord(done.File+ca.SignatureEnding), a.FileName(), ca.SignatureEnding, shellWord(done.File), a.FileName())
	return written(err)
}
