package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

type adoptFlags struct {
	signerFlags
	outputFlags
	stateFlag
	trustFlags
	yes       bool
	forceLint bool
}

func newExtAdopt() *cobra.Command {
	var f adoptFlags
	cmd := &cobra.Command{
		Use:   "adopt BUNDLE --cert CERT [--key KEY]",
		Short: "Review a package of somebody else and counter-sign it",
		Long: `Review a package that somebody else signed, or nobody, and sign the same content
with a certificate of this site: for packages of the vendor where its root is not
at hand, and for those of other sites.

The review shows who signed it, what lint finds, what the package asks for, and
how manifest and requests differ from the highest version installed here. Then
it asks; where nobody can answer, --yes is needed.

A package whose signature does not fit its content is refused with exit code 3, and
so is one that lint finds errors in, unless --force-lint is given, and a --cert
that the site of --config or --roots has revoked or denied.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.signerFlags.add(cmd, "cert")
	f.outputFlags.add(cmd, "NAME-VERSION.zip beside BUNDLE")
	f.trustFlags.add(cmd)
	f.stateFlag.add(cmd)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&f.forceLint, "force-lint", false, "sign although lint finds errors")
	return cmd
}

func (f *adoptFlags) run(cmd *cobra.Command, path string) error {
	x, err := peek(path)
	if err != nil {
		return err
	}
	parts, err := sign.Split(x.bundle, sign.DefaultLimits())
	if err != nil {
		return err
	}
	state, signers := claimedSigners(x.bundle)
	if state != "none" && state != "intact" {
		return exitCode{exitCheck, fmt.Errorf("%s is refused: its signature does not fit: %s; get it again from its author", path, state)}
	}
	target := f.file(filepath.Dir(path), bundleName(x.name, x.version, ".zip"))
	if _, err := os.Lstat(target); err == nil && !f.force {
		return fmt.Errorf("%s exists already and is left as it is; --force replaces it, --out names another file", target)
	}
	s, err := f.packages(f.config)
	if err != nil {
		return err
	}
	w := newScreen(cmd.OutOrStdout())
	faults := printReview(w, x, signers)
	if err := errors.Join(f.compare(w, s, x), w.done()); err != nil {
		return err
	}
	if faults > 0 && !f.forceLint {
		return exitCode{exitCheck, fmt.Errorf("%s is refused: lint finds %s; have its author mend them, or sign it all the same with --force-lint", path, plural(faults, "error", "errors"))}
	}
	if err := f.confirm(cmd); err != nil {
		return err
	}
	key, err := f.signerFlags.load(cmd.Context())
	if err != nil {
		return err
	}
	if err := f.fitSigner(cmd, key); err != nil {
		return err
	}
	if err := f.signAs(cmd, key, x, parts.Inner); err != nil {
		return err
	}
	return f.record(cmd, s, x, key)
}

// record tells the history, where this machine has one.
func (f *adoptFlags) record(cmd *cobra.Command, s *store.Store, x *examined, key *signer) error {
	defer say(cmd, s)
	if entries, err := s.List(); err != nil || len(entries) == 0 && !hasHistory(s) {
		return nil // a machine that signs and runs nothing
	}
	c := sign.Describe(key.cert)
	err := s.Append(store.Record{
		Kind: "adopt", Name: x.name, Version: x.version, Digest: x.pkg.Digest, Signer: c.Fingerprint,
		Detail: "reviewed and signed by " + c.Subject,
	})
	if err != nil {
		warn(cmd, fmt.Sprintf("the adoption is not in the history: %v", err))
	}
	return nil
}

func hasHistory(s *store.Store) bool {
	for _, err := range s.History() {
		return err == nil
	}
	return false
}

// printReview gives the number of errors that lint finds.
func printReview(w io.Writer, x *examined, signers []certificateReport) (faults int) {
	fmt.Fprintf(w, "package    %s %s\nfile       %s, %s\ndigest     %s\n", oneLine(x.name), oneLine(x.version), oneLine(x.path), bytesText(int64(len(x.bundle))), x.pkg.Digest)
	if len(signers) == 0 {
		fmt.Fprintln(w, "signer     NOBODY: who wrote it is not known")
	}
	for _, c := range signers {
		fmt.Fprintf(w, "signer     %s, by %s\n           fingerprint %s\n           the signature fits; whether this is who it says is not known\n",
			oneLine(c.Subject), oneLine(c.Issuer), c.Fingerprint)
	}
	report := extension.Lint(x.pkg.FS, x.path)
	fmt.Fprintf(w, "lint       %s, %s\n", plural(len(report.Errors), "error", "errors"), plural(len(report.Warnings), "warning", "warnings"))
	for _, found := range report.Errors {
		fmt.Fprintf(w, "  error: %s\n", oneLine(found.String()))
	}
	for _, found := range report.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", oneLine(found.String()))
	}
	printPermissions(w, x.permissions)
	return len(report.Errors)
}

// compare shows how the package differs from the highest version that is
// installed, and whether what was here before stands against it.
func (f *adoptFlags) compare(w io.Writer, s *store.Store, x *examined) error {
	var refused *sign.Refusal
	err := s.Admissible(store.Admission{Name: x.name, Version: x.version, Digest: x.pkg.Digest, Signer: "who adopts it"})
	if errors.As(err, &refused) {
		fmt.Fprintf(w, "NOTE: it could not be used here as it is: %s\n", oneLine(refused.Error()))
	}
	entry, path, err := highest(s, x.name)
	if errors.Is(err, store.ErrNotInstalled) || errors.Is(err, fs.ErrPermission) {
		fmt.Fprintln(w, "no version of it is installed here to compare with")
		return nil
	}
	if err != nil {
		fmt.Fprintf(w, "it cannot be compared with what is installed: %s\n", oneLine(err.Error()))
		return nil
	}
	before, err := peek(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "against the installed version %s\n", oneLine(entry.Version))
	if entry.Digest == x.pkg.Digest {
		fmt.Fprintln(w, "  the content is the same")
		return nil
	}
	printPermissionChanges(w, before.permissions, x.permissions)
	return printFileChanges(w, before.pkg.FS, x.pkg.FS)
}

// highest finds the highest version of an extension that is installed.
func highest(s *store.Store, name string) (store.Entry, string, error) {
	entries, err := s.List()
	if err != nil {
		return store.Entry{}, "", err
	}
	number := ""
	for _, e := range entries {
		if e.Name == name && (number == "" || sign.CompareVersions(e.Version, number) > 0) {
			number = e.Version
		}
	}
	return s.Find(name, number)
}

func printPermissionChanges(w io.Writer, before, after extension.Permissions) {
	texts := func(p extension.Permissions) (out []string) {
		for _, line := range permissionLines(p) {
			out = append(out, line.what)
		}
		return out
	}
	old, now := texts(before), texts(after)
	changed := false
	for _, text := range now {
		if !slices.Contains(old, text) {
			fmt.Fprintf(w, "  asks for more: %s\n", oneLine(text))
			changed = true
		}
	}
	for _, text := range old {
		if !slices.Contains(now, text) {
			fmt.Fprintf(w, "  no longer asks for: %s\n", oneLine(text))
			changed = true
		}
	}
	if !changed {
		fmt.Fprintln(w, "  asks for the same")
	}
}

// printFileChanges lists files that differ, and the lines of the manifest that
// do.
func printFileChanges(w io.Writer, before, after fs.FS) error {
	old, err := filesOf(before)
	if err != nil {
		return err
	}
	now, err := filesOf(after)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(old, now) {
		a, was := old[name]
		b, is := now[name]
		switch {
		case !was:
			fmt.Fprintf(w, "  new file %s\n", oneLine(name))
		case !is:
			fmt.Fprintf(w, "  file gone: %s\n", oneLine(name))
		case a != b && name == "extension.yaml":
			fmt.Fprintf(w, "  changed: %s\n", name)
			for _, line := range diffLines(strings.Split(a, "\n"), strings.Split(b, "\n")) {
				fmt.Fprintf(w, "    %s\n", oneLine(line))
			}
		case a != b:
			fmt.Fprintf(w, "  changed: %s\n", oneLine(name))
		}
	}
	return nil
}

func sortedKeys(maps ...map[string]string) []string {
	var names []string
	for _, m := range maps {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func filesOf(files fs.FS) (map[string]string, error) {
	all := map[string]string{}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read package: %w", err)
	}
	return all, nil
}

func (f *adoptFlags) confirm(cmd *cobra.Command) error {
	if f.yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) {
		return exitCode{exitUsage, errors.New("nobody can be asked here whether to sign it: look the review over and add --yes")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "With your signature it runs on every machine that trusts you. Type yes to sign it: ")
	if awaitLine(cmd.Context(), in) != nil || !isYes(in) {
		return errors.New("nothing was signed")
	}
	return nil
}
