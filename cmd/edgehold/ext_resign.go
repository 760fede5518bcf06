package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign"
)

type resignFlags struct {
	signerFlags
	trustFlags
	old      string
	noBackup bool
	asJSON   bool
	quiet    bool
}

func newExtResign() *cobra.Command {
	var f resignFlags
	cmd := &cobra.Command{
		Use:   "resign --old CERT --new CERT [--key KEY] FOLDER...",
		Short: "Sign again everything that a leaked or expired certificate signed",
		Long: `Look through folders, and all below them, for packages that the old certificate
signed, or another one with its key, and sign each again with the new one: bundles,
and extension.zip with extension.zip.sig beside it. It does not matter whether the
old certificate has expired or was revoked. A signature that does not fit its
package is not replaced, but told.

Each file is replaced as a whole or not at all, and the old one is kept as
FILE.old. The command may be interrupted and run again. Installed packages are
replaced by ` + "`edgehold ext install`" + ` of the new bundle, which is the same version.

  edgehold ext resign --old leaked.pem --new new.pem --key new.key packages/
  edgehold ext revoke --ca ca --cert leaked.pem

Nothing is signed with a certificate that the site of --config or --roots refuses.
The exit code is 3 then, and where something could not be signed again.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.signerFlags.add(cmd, "new")
	f.trustFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.old, "old", "", "certificate whose signatures are replaced")
	flags.BoolVar(&f.noBackup, "no-backup", false, "do not keep the old files as FILE.old")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress bar")
	cmd.MarkFlagsOneRequired("old")
	return cmd
}

// resignReport is what became of all packages that were found.
type resignReport struct {
	Resigned []resigned `json:"resigned"`
	Failed   []resigned `json:"failed"`   // signed by the old certificate, or not known whether
	Others   int        `json:"others"`   // signed by somebody else
	Unsigned int        `json:"unsigned"` // packages without a signature
	Done     int        `json:"done"`     // signed by the new certificate already
}

// resigned is one file.
type resigned struct {
	Path   string `json:"path"`
	Backup string `json:"backup,omitempty"`
	Reason string `json:"reason,omitempty"` // why not
}

func (f *resignFlags) run(cmd *cobra.Command, folders []string) error {
	old, err := readCertificateFile(f.old)
	if err != nil {
		return fmt.Errorf("read the old certificate: %w", err)
	}
	next, err := f.signerFlags.load(cmd.Context())
	if err != nil {
		return err
	}
	if old.Equal(next.cert) {
		return usage(cmd, errors.New("--old and --new are the same certificate"))
	}
	if err := f.fitSigner(cmd, next); err != nil {
		return err
	}
	if sameKey(old, next.cert) {
		warn(cmd, "the new certificate has the key of the old one: where that has leaked, make one with a new key")
	}
	r := resigner{old: old, next: next, backup: !f.noBackup, report: resignReport{Resigned: []resigned{}, Failed: []resigned{}}}
	found := r.find(folders)
	bar := newProgress(cmd, f.quiet)
	err = r.all(cmd.Context(), found, bar)
	bar.end()
	if err := f.print(cmd, &r.report); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if len(r.report.Failed) > 0 {
		return exitCode{code: exitCheck}
	}
	return nil
}

// all goes through the files; an interrupt ends it between two.
func (r *resigner) all(ctx context.Context, found []candidate, bar *progress) error {
	var done, of int64
	for _, c := range found {
		of += c.size
	}
	for _, c := range found {
		if ctx.Err() != nil {
			return errors.New("stopped before the end; the same command goes on")
		}
		bar.show("sign", done, of)
		r.one(c)
		done += c.size
	}
	return nil
}

func (f *resignFlags) print(cmd *cobra.Command, r *resignReport) error {
	if f.asJSON {
		return printDocument(cmd.OutOrStdout(), r)
	}
	w := newScreen(cmd.OutOrStdout())
	for _, one := range r.Resigned {
		fmt.Fprintf(w, "signed again  %s\n", oneLine(one.Path))
	}
	for _, one := range r.Failed {
		fmt.Fprintf(w, "FAILED        %s: %s\n", oneLine(one.Path), oneLine(one.Reason))
	}
	r.printSums(w)
	return w.done()
}

func (r *resignReport) printSums(w io.Writer) {
	fmt.Fprintf(w, "%s signed again, %d failed; left as they are: %d of other signers, %d signed by the new certificate already, %d unsigned\n",
		plural(len(r.Resigned), "package", "packages"), len(r.Failed), r.Others, r.Done, r.Unsigned)
}

// readCertificateFile reads the first certificate of a PEM or DER file.
func readCertificateFile(path string) (*x509.Certificate, error) {
	data, err := sign.ReadRegular(path, 1<<20)
	if err != nil {
		return nil, err
	}
	der := data
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			der = block.Bytes
			break
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s holds no certificate: %w", path, err)
	}
	return cert, nil
}

func sameKey(a, b *x509.Certificate) bool {
	return string(a.RawSubjectPublicKeyInfo) == string(b.RawSubjectPublicKeyInfo)
}
