package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
	"github.com/edgehold/edgehold/sign/cms"
)

// signerFlags name the certificate and the key that sign.
type signerFlags struct {
	cert, key, passFile string
}

func (f *signerFlags) add(cmd *cobra.Command, certFlag string) {
	flags := cmd.Flags()
	flags.StringVar(&f.cert, certFlag, "", "developer certificate; a file that holds the key too is enough")
	flags.StringVar(&f.key, "key", "", "key of the certificate")
	flags.StringVar(&f.passFile, "pass-file", "", "file with the pass phrase of the key (default: it is asked for)")
	cmd.MarkFlagsOneRequired(certFlag)
}

// signer signs packages.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (f *signerFlags) load(ctx context.Context) (*signer, error) {
	what := f.key
	if what == "" {
		what = f.cert
	}
	cert, key, err := ca.LoadSigner(f.cert, f.key, keyPhrase(ctx, f.passFile, what))
	if err != nil {
		return nil, fmt.Errorf("load signer: %w", err)
	}
	if err := fitToSign(cert, agent.MachineMoment(buildTime()).Time); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.cert, err)
	}
	return &signer{cert, key}, nil
}

// fitToSign refuses certificates whose signatures nobody would take.
func fitToSign(cert *x509.Certificate, now time.Time) error {
	switch {
	case cert.IsCA:
		return errors.New("it is that of a CA, whose signature on a package is refused everywhere; sign with one that `edgehold ext cert` makes")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("its key usage lacks digitalSignature; sign with one that `edgehold ext cert` makes")
	case now.After(cert.NotAfter):
		return fmt.Errorf("it has expired on %s; `edgehold ext renew` makes the next one", cert.NotAfter.Format(time.DateOnly))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("it is valid from %s on only; set the clock of this machine", cert.NotBefore.Format(time.DateTime))
	}
	return nil
}

// sign makes the bundle of extension.zip and holds it against itself.
func (s *signer) sign(inner []byte) (signature []byte, err error) {
	if signature, err = cms.SignDetached(inner, s.cert, s.key); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	verified, err := verifiedSigners(sign.Parts{Inner: inner, Signature: signature})
	if err != nil {
		return nil, fmt.Errorf("verify what was signed: %w", err)
	}
	if len(verified) != 1 || !bytes.Equal(verified[0].Certificate.Raw, s.cert.Raw) {
		return nil, errors.New("verify what was signed: another certificate is in the signature")
	}
	return signature, nil
}

func newExtSign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign ZIP --cert CERT [--key KEY]",
		Short: "Sign a package with a developer certificate",
		Long: `Sign a package that ` + "`edgehold ext build`" + ` made: writes bundle.zip, with the
package and its signature in it, as NAME-VERSION.zip. What was written is read
again and verified.

  edgehold ext sign custom_switch-1.0.0.unsigned.zip --cert dev.pem --key dev.key

A package that is signed already is refused: ` + "`edgehold ext adopt`" + ` reviews one of
somebody else, ` + "`edgehold ext resign`" + ` replaces the signatures of a certificate.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.signerFlags.add(cmd, "cert")
	f.outputFlags.add(cmd, "NAME-VERSION.zip beside ZIP")
	return cmd
}

type signFlags struct {
	signerFlags
	outputFlags
}

func (f *signFlags) run(cmd *cobra.Command, path string) error {
	x, err := peek(path)
	if err != nil {
		return err
	}
	parts, err := sign.Split(x.bundle, sign.DefaultLimits())
	if err != nil {
		return err
	}
	if parts.Signature != nil {
		return fmt.Errorf("%s is signed already; `edgehold ext adopt` counter-signs what somebody else signed, `edgehold ext resign` replaces a certificate", path)
	}
	s, err := f.signerFlags.load(cmd.Context())
	if err != nil {
		return err
	}
	return f.signAs(cmd, s, x, parts.Inner)
}

// signAs writes the bundle that s signs.
func (f *outputFlags) signAs(cmd *cobra.Command, s *signer, x *examined, inner []byte) error {
	if err := sign.CheckIdentity(x.name, x.version); err != nil {
		return exitCode{exitCheck, fmt.Errorf("%s: %w", x.path, err)} // it could be installed nowhere
	}
	signature, err := s.sign(inner)
	if err != nil {
		return err
	}
	bundle := sign.WriteBundle(inner, signature)
	path := f.file(filepath.Dir(x.path), bundleName(x.name, x.version, ".zip"))
	if err := f.write(path, bundle); err != nil {
		return err
	}
	written, err := peek(path)
	if err != nil {
		return fmt.Errorf("read what was written: %w", err)
	}
	if !bytes.Equal(written.bundle, bundle) {
		return fmt.Errorf("read what was written: %s has other content; sign once more", path)
	}
	w := newScreen(cmd.OutOrStdout())
	fmt.Fprintf(w, "signed %s, %s\n%s %s by %s, valid until %s\n", oneLine(path), bytesText(int64(len(bundle))),
		oneLine(x.name), oneLine(x.version), oneLine(sign.Describe(s.cert).Subject), s.cert.NotAfter.Format(time.DateOnly))
	return w.done()
}
