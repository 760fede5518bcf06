package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
)

// trustFlags say whom a command trusts.
type trustFlags struct {
	config, roots string
}

func (f *trustFlags) add(cmd *cobra.Command) {
	addConfigFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.roots, "roots", "", "folder of trusted certificates, instead of those of the configuration")
	cmd.MarkFlagsMutuallyExclusive("config", "roots")
}

// judge decides on packages as the agent would.
type judge struct {
	trust         *sign.Trust
	at            sign.Moment
	allowUnsigned bool
	slot          time.Duration // of several points in it one is sent
	notes         []string      // what a verdict leaves out
}

// load reads the trust settings and says what is wrong with the files they name.
func (f *trustFlags) load(cmd *cobra.Command) (*judge, error) {
	j := &judge{slot: config.Default().Uplink.Slot(), at: agent.MachineMoment(buildTime())}
	options := sign.TrustOptions{Roots: f.roots}
	if f.roots == "" {
		if _, err := os.Stat(f.config); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read trust settings: %w; name the configuration with --config, or a folder of trusted certificates with --roots", err)
		}
		cfg, _, err := config.Load(f.config, kinds())
		if err != nil {
			return nil, err
		}
		options, j.allowUnsigned, j.slot = trustOptions(cfg), cfg.Trust.AllowUnsigned, cfg.Uplink.Slot()
	} else if _, err := os.ReadDir(f.roots); err != nil {
		return nil, fmt.Errorf("--roots: %w", err)
	} else {
		j.notes = []string{
			"categories are those of a configuration: name it with --config in place of --roots",
			"only the CRLs and deny lists in the folder count: those that the agent remembers are not consulted",
		}
	}
	var warnings []string
	var err error
	if j.trust, warnings, err = sign.LoadTrust(options); err != nil {
		return nil, fmt.Errorf("load trusted certificates: %w", err)
	}
	if err := keepOwner(options.State); err != nil {
		warn(cmd, err.Error())
	}
	for _, w := range slices.Concat(warnings, j.trust.Warnings(j.at)) {
		warn(cmd, w)
	}
	return j, nil
}

// fitSigner refuses to sign with a certificate that the site at hand has taken
// back. Where it is told which site, it must trust the certificate; the site of
// this machine, if it is one, may be another one than the packages are for.
func (f *trustFlags) fitSigner(cmd *cobra.Command, s *signer) error {
	told := f.roots != "" || cmd.Flags().Changed("config")
	if _, err := os.Stat(f.config); !told && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	j, err := f.load(cmd)
	if err != nil && told {
		return err
	}
	if err != nil {
		warn(cmd, fmt.Sprintf("whether this site trusts the signer is not known: %v", err))
		return nil
	}
	var refused *sign.Refusal
	switch err := j.trust.JudgeSigner(s.cert, j.at); {
	case !errors.As(err, &refused):
		return err
	case told || refused.Rule == sign.RuleRevoked || refused.Rule == sign.RuleDenied:
		return exitCode{exitCheck, fmt.Errorf("nothing was signed: %s, so what it signs is refused by the rule %s; make another certificate with `edgehold ext cert` and sign with that",
			refused.Text, refused.Rule)}
	}
	warn(cmd, "this machine would not trust what is signed: "+refused.Error())
	return nil
}

func warn(cmd *cobra.Command, text string) {
	fmt.Fprintln(cmd.ErrOrStderr(), "warning:", plainText(text))
}

// trustOptions are those of the agent, with the deny lists that it remembers,
// if it has run here.
func trustOptions(cfg *config.Config) sign.TrustOptions {
	options := agent.TrustOptions(cfg, cfg.StateDir)
	if info, err := os.Stat(cfg.StateDir); err != nil || !info.IsDir() {
		options.State = ""
	}
	return options
}

// keepOwner gives a folder that root made in the state folder to the agent's
// user, who writes there too.
func keepOwner(folder string) error {
	if folder == "" || os.Geteuid() != 0 {
		return nil
	}
	parent, err := ownerOf(filepath.Dir(folder))
	if err != nil {
		return err
	}
	own, err := ownerOf(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && *own == *parent {
		return nil
	}
	if err == nil {
		err = os.Lchown(folder, int(parent.uid), int(parent.gid))
	}
	if err != nil {
		return fmt.Errorf("give folder to the agent: %w", err)
	}
	return nil
}

type owner struct{ uid, gid uint32 }

func ownerOf(path string) (*owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%s has no owner", path)
	}
	return &owner{s.Uid, s.Gid}, nil
}

// examined is a package and what is known of it.
type examined struct {
	path        string
	bundle      []byte // with its signature, if it has one
	pkg         *sign.Package
	name        string
	version     string
	verdict     *sign.Verdict // nil: unsigned
	permissions extension.Permissions
}

// readPackageFile reads a bundle, or an extension.zip whose signature may lie
// beside it, and makes a bundle of that.
func readPackageFile(path string) ([]byte, error) {
	limits := sign.DefaultLimits()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read package: %s is a folder; give bundle.zip or extension.zip, of a folder `edgehold ext build` makes one", path)
	}
	data, err := sign.ReadRegular(path, limits.PackageBytes)
	if err != nil {
		return nil, fmt.Errorf("read package: %w", err)
	}
	signature, err := sign.ReadRegular(path+".sig", 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return data, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	parts, err := sign.Split(data, limits)
	if err != nil || parts.Signature != nil {
		return data, nil //nolint:nilerr // whoever judges it says what is wrong
	}
	return sign.WriteBundle(data, signature), nil
}

// examine reads the file at path once and judges it. Whoever is not trusted is
// refused with a *sign.Refusal, and nothing of the content is given.
func (j *judge) examine(path string) (*examined, error) {
	data, err := readPackageFile(path)
	if err != nil {
		return nil, err
	}
	x := &examined{path: path, bundle: data}
	x.pkg, x.verdict, err = j.trust.OpenBytes(path, data, sign.DefaultLimits(), j.at)
	var refused *sign.Refusal
	if errors.As(err, &refused) && refused.Rule == sign.RuleUnsigned && j.allowUnsigned {
		x.pkg, err = sign.Read(path, data, sign.DefaultLimits())
	}
	if err != nil {
		return nil, err
	}
	if err := x.describe(); err != nil {
		return nil, err
	}
	if err := sign.CheckIdentity(x.name, x.version); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := j.trust.Denied(x.pkg.Digest, x.name, x.version); err != nil {
		return nil, err
	}
	return x, x.withinLimits()
}

// peek reads a package without asking who signed it.
func peek(path string) (*examined, error) {
	data, err := readPackageFile(path)
	if err != nil {
		return nil, err
	}
	x := &examined{path: path, bundle: data}
	if x.pkg, err = sign.Read(path, data, sign.DefaultLimits()); err != nil {
		return nil, err
	}
	return x, x.describe()
}

func (x *examined) describe() (err error) {
	if x.name, x.version, err = extension.Identity(x.pkg.FS, x.path); err != nil {
		return err
	}
	x.permissions, err = extension.ReadPermissions(x.pkg.FS, x.path)
	return err
}

// withinLimits holds the content against the categories of the signer.
func (x *examined) withinLimits() error {
	if x.verdict == nil {
		return nil
	}
	var lines []string
	for _, c := range x.verdict.Categories {
		for _, v := range x.permissions.Beyond(extension.Limits(c.Limits), nil) {
			lines = append(lines, v.String()+" (category "+c.Name+")")
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &sign.Refusal{
		Rule: sign.RuleCategory, Text: strings.Join(lines, "\n"),
		Mend: "change what the package does, have it signed for another category, or change trust.categories." + x.verdict.Categories[0].Name,
	}
}

// refusedPackage makes the error of a command of a refusal, and leaves others as
// they are.
func refusedPackage(path string, err error) error {
	var refused *sign.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	if !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return exitCode{exitCheck, fmt.Errorf("refused by the rule %s: %w", refused.Rule, err)}
}
