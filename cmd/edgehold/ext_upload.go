package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
	"github.com/edgehold/edgehold/sign"
)

type uploadFlags struct {
	tenantFlags
	validateOnly bool
	activate     bool
}

func newExtUpload() *cobra.Command {
	var f uploadFlags
	cmd := &cobra.Command{
		Use:   "upload BUNDLE --url URL",
		Short: "Give a signed package to a Dynatrace environment",
		Long: `Give a signed package (bundle.zip) to a Dynatrace environment, which checks it
first and keeps it only then.

A version that the environment holds already is never replaced: the command
says so, and which version is free. The token needs the scope extensions.write,
and extensions.read for that look at the versions. Without --token-file it is
taken from plugin_upload.token beside the bundle or in the current folder.

The exit code is 3 where the environment finds something wrong with the package
or holds its version already.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.upload(cmd, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.validateOnly, "validate-only", false, "have the package checked, but not kept")
	cmd.Flags().BoolVar(&f.activate, "activate", false, "make it the version that the environment runs")
	cmd.MarkFlagsMutuallyExclusive("validate-only", "activate")
	return cmd
}

// uploaded is what came of an upload.
type uploaded struct {
	Extension string `json:"extension"`
	Version   string `json:"version"`
	SHA256    string `json:"sha256"` // of the bundle
	Stored    bool   `json:"stored"`
	Activated bool   `json:"activated"`
}

func (f *uploadFlags) upload(cmd *cobra.Command, path string) error {
	own, bundle, err := readBundle(path)
	if err != nil {
		return err
	}
	client, err := f.open(cmd, filepath.Dir(path), ".")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := cmd.Context()
	held, err := f.versions(ctx, cmd, client, own)
	if err != nil {
		return err
	}
	if _, err := client.Validate(ctx, bundle); err != nil {
		return uploadError(path, held, err)
	}
	sum := sha256.Sum256(bundle)
	result := uploaded{Extension: own.Name, Version: own.Version, SHA256: hex.EncodeToString(sum[:])}
	if f.validateOnly {
		return f.tell(cmd.OutOrStdout(), result)
	}
	if _, err := client.Upload(ctx, own, bundle); err != nil {
		return uploadError(path, held, err)
	}
	result.Stored = true
	if f.activate {
		if err := client.Activate(ctx, own); err != nil {
			return fmt.Errorf("%s is uploaded, but not activated: %w", own.Name+" "+own.Version, err)
		}
		result.Activated = true
	}
	return f.tell(cmd.OutOrStdout(), result)
}

// readBundle reads a signed package and whose it is.
func readBundle(path string) (tenant.Extension, []byte, error) {
	none := tenant.Extension{}
	p, err := sign.Open(path, sign.DefaultLimits())
	if err != nil {
		return none, nil, err
	}
	defer p.Close()
	if p.Form != sign.Bundle || !p.Signed {
		return none, nil, fmt.Errorf("%s is not signed, and an environment takes signed bundles only; make one with `edgehold ext sign`", path)
	}
	name, version, err := extension.Identity(p.FS, path)
	if err != nil {
		return none, nil, err
	}
	own := tenant.Extension{Name: name, Version: version}
	if err := errors.Join(tenant.CheckName(name), tenant.CheckVersion(version)); err != nil {
		return none, nil, fmt.Errorf("%s: extension.yaml: %w", path, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return none, nil, fmt.Errorf("read bundle: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, tenant.MaxPackage+1))
	if err != nil {
		return none, nil, fmt.Errorf("read bundle: %w", err)
	}
	return own, data, nil
}

// versions are those that the environment holds. That the version is one of
// them is an error; that the token may not ask is not.
func (f *uploadFlags) versions(ctx context.Context, cmd *cobra.Command, client *tenant.Client, own tenant.Extension) ([]string, error) {
	held, err := client.Versions(ctx, own.Name)
	var refusal *tenant.Error
	switch {
	case errors.As(err, &refusal) && refusal.Status == 403:
		fmt.Fprintln(cmd.ErrOrStderr(), "edgehold: the token lacks the scope "+tenant.ScopeRead+", so the environment's versions are not looked at")
		return nil, nil
	case err != nil:
		return nil, err
	case !slices.Contains(held, own.Version):
		return held, nil
	}
	next := tenant.NextVersion(own.Version, held)
	return nil, exitCode{exitCheck, fmt.Errorf(
		"%s %s is in the environment already, and a version is never replaced; the next free one is %s: write version: %s into extension.yaml, build and sign anew",
		own.Name, own.Version, next, next)}
}

// maxHeld is how many versions of an extension an environment holds.
const maxHeld = 10

// uploadError says what the environment does not like about a package, one line
// for each.
func uploadError(path string, held []string, err error) error {
	var refusal *tenant.Error
	if !errors.As(err, &refusal) || refusal.Status != 400 {
		return err
	}
	text := fmt.Sprintf("the environment refuses %s: %s", path, orDash(refusal.Message))
	for _, v := range refusal.Violations {
		text += "\n  " + v.String()
	}
	if mend := refusal.Mend(); mend != "" {
		text += "\n" + mend
	}
	if len(held) >= maxHeld {
		text += fmt.Sprintf("\nit holds %d versions of this extension, and at most %d are possible: delete one there, the lowest is %s",
			len(held), maxHeld, slices.MinFunc(held, tenant.CompareVersions))
	}
	return exitCode{exitCheck, errors.New(text)}
}

func (f *uploadFlags) tell(w io.Writer, u uploaded) error {
	if f.asJSON {
		return printIndented(w, u)
	}
	did := "is sound; it was not kept"
	if u.Stored {
		did = "is uploaded"
	}
	if u.Activated {
		did += " and activated"
	}
	if _, err := fmt.Fprintf(w, "%s %s %s\n", u.Extension, u.Version, did); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func printIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

var errNoURL = errors.New("give the address of the environment with --url, e.g. --url https://abc12345.live.dynatrace.com or https://HOST/e/ID")

// tokenName is what tools for packages call the file of a token.
const tokenName = "plugin_upload.token"

func tokenHint(folders []string) string {
	places := make([]string, len(folders))
	for i, folder := range folders {
		places[i] = filepath.Join(folder, tokenName)
	}
	return strings.Join(slices.Compact(places), " or ")
}
