package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
)

// outputFlags say where a package is written.
type outputFlags struct {
	out   string
	force bool
}

func (f *outputFlags) add(cmd *cobra.Command, otherwise string) {
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "file or folder to write to (default: "+otherwise+")")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace a file that is there")
}

// file is the path of what is to be written, in folder if nothing else is said.
func (f *outputFlags) file(folder, base string) string {
	if f.out == "" {
		return filepath.Join(folder, base)
	}
	if info, err := os.Stat(f.out); err == nil && info.IsDir() {
		return filepath.Join(f.out, base)
	}
	return f.out
}

// write makes the file, whole or not at all.
func (f *outputFlags) write(path string, data []byte) error {
	temp, err := tempBeside(path, data, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(temp) // gone already, where it was renamed
	if !f.force {
		err = os.Link(temp, path) // which replaces nothing
	}
	if _, there := os.Lstat(path); f.force || err != nil && errors.Is(there, fs.ErrNotExist) { // or a file system without links
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and is left as it is; --force replaces it, --out names another file", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// tempBeside writes a file that is to become path.
func tempBeside(path string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// bundleName is what the vendor's tools name a package.
func bundleName(name, version, suffix string) string {
	safe := strings.NewReplacer(":", "_", "/", "_", `\`, "_").Replace(name + "-" + version)
	return strings.TrimLeft(safe, ".") + suffix
}

func newExtBuild() *cobra.Command {
	var f outputFlags
	cmd := &cobra.Command{
		Use:   "build FOLDER",
		Short: "Make an unsigned package of a folder",
		Long: `Make extension.zip, the package without a signature, of the folder that holds
extension.yaml. The package is looked over first, as ` + "`edgehold ext lint`" + ` does: errors
stop it with exit code 3, warnings are shown.

The same files give the same bytes, on every machine and at any time. Files and
folders whose name begins with a dot are left out.

  edgehold ext build switch                       writes custom_switch-1.0.0.unsigned.zip beside the folder
  edgehold ext sign custom_switch-1.0.0.unsigned.zip --cert dev.pem --key dev.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.build(cmd, args[0]) },
	}
	f.add(cmd, "NAME-VERSION.unsigned.zip beside the folder")
	return cmd
}

func (f *outputFlags) build(cmd *cobra.Command, dir string) error {
	data, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		return err
	}
	pkg, err := sign.Read(dir, data, sign.DefaultLimits())
	if err != nil {
		return err
	}
	report := extension.Lint(pkg.FS, dir)
	sayFindings(cmd, report)
	if n := len(report.Errors); n > 0 {
		return exitCode{exitCheck, fmt.Errorf("%s: %s, so nothing was built", dir, plural(n, "error", "errors"))}
	}
	name, version, err := extension.Identity(pkg.FS, dir)
	if err == nil {
		err = sign.CheckIdentity(name, version)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	path := f.file(filepath.Dir(whole), bundleName(name, version, ".unsigned.zip"))
	if within(whole, path) {
		return usage(cmd, fmt.Errorf("%s lies in the package folder and would become part of the package: name another place with --out", path))
	}
	if err := f.write(path, data); err != nil {
		return err
	}
	w := newScreen(cmd.OutOrStdout())
	fmt.Fprintf(w, "built %s, %s\n%s %s, not signed yet\ndigest %s\n", oneLine(path), bytesText(int64(len(data))), oneLine(name), oneLine(version), pkg.Digest)
	return w.done()
}

// within tells whether path lies in a folder, links followed.
func within(folder, path string) bool {
	parent, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(parent); err == nil {
		parent = real
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	rest, err := filepath.Rel(folder, parent)
	return err == nil && rest != ".." && !strings.HasPrefix(rest, "../")
}

// sayFindings shows what lint found where it is not what was asked for.
func sayFindings(cmd *cobra.Command, r *extension.Report) {
	for _, found := range r.Errors {
		fmt.Fprintln(cmd.ErrOrStderr(), "error:", oneLine(found.String()))
	}
	for _, found := range r.Warnings {
		warn(cmd, found.String())
	}
}
