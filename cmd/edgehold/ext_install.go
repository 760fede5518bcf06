package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// stateFlag says where packages are installed.
type stateFlag struct{ stateDir string }

func (f *stateFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "folder of the agent's state (default: state_dir of the configuration)")
}

// folder is where the agent keeps its state.
func (f *stateFlag) folder(configPath string) string {
	if f.stateDir != "" {
		return f.stateDir
	}
	return config.StateDirOf(configPath)
}

// packages opens the store of packages.
func (f *stateFlag) packages(configPath string) (*store.Store, error) {
	s, err := store.Open(f.folder(configPath))
	if err != nil {
		return nil, err
	}
	s.By = userName()
	return s, nil
}

// userName is who runs this: the number, which nobody chooses for himself, and
// the name that the environment gives, which says who sits at the keyboard.
func userName() string {
	number := fmt.Sprintf("uid %d", os.Getuid())
	for _, key := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if name := os.Getenv(key); name != "" {
			return number + ", " + key + "=" + oneLine(name)
		}
	}
	return number
}

// say prints what the store found wrong with its files.
func say(cmd *cobra.Command, s *store.Store) {
	for _, w := range s.Warnings() {
		warn(cmd, w)
	}
}

type installFlags struct {
	trustFlags
	stateFlag
	allowDowngrade bool
}

func newExtInstall() *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{
		Use:   "install BUNDLE|NAME@VERSION",
		Short: "Install a trusted package, or make an installed version the active one",
		Long: `Install a package that this site trusts, or make an installed version the active
one. The configuration names it as ` + "`package: NAME`" + `, which is the active version,
or as NAME@VERSION.

A version that was ever installed keeps its content: the same version with other
bytes is refused, also after it was removed. A version lower than the active one
needs --allow-downgrade. Everything is recorded: ` + "`edgehold ext history`" + ` shows it.

The exit code is 3 where the package is refused.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.trustFlags.add(cmd)
	f.stateFlag.add(cmd)
	cmd.Flags().BoolVar(&f.allowDowngrade, "allow-downgrade", false, "take a version lower than the active one")
	return cmd
}

func (f *installFlags) run(cmd *cobra.Command, what string) error {
	if f.roots != "" && f.stateDir == "" {
		return usage(cmd, errors.New("--roots takes the place of the configuration, so --state-dir is needed too"))
	}
	j, err := f.load(cmd)
	if err != nil {
		return err
	}
	s, err := f.packages(f.config)
	if err != nil {
		return err
	}
	defer say(cmd, s)
	path := what
	name, number, installed := strings.Cut(what, "@")
	if _, err := os.Stat(what); installed && errors.Is(err, fs.ErrNotExist) {
		if _, path, err = s.Find(name, number); err != nil {
			return err
		}
	} else {
		installed = false
	}
	x, err := j.examine(path)
	if errors.Is(err, fs.ErrNotExist) && path == what {
		return notAFile(s, what)
	}
	if err != nil {
		return refusedPackage(what, err)
	}
	var made store.Entry
	if installed {
		made, err = s.Activate(x.name, x.version, f.allowDowngrade)
	} else {
		made, err = s.Install(store.Candidate{
			Bundle: x.bundle, Name: x.name, Version: x.version, Verdict: x.verdict, AllowDowngrade: f.allowDowngrade,
		})
	}
	if err != nil {
		return refusedPackage(what, err)
	}
	f.compileMIBs(cmd, x)
	return printInstalled(cmd, made, x, estimateText(estimate(x.pkg.FS, what, j.slot)))
}

// notAFile says what to give in place of a path where nothing is.
func notAFile(s *store.Store, what string) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	var versions []string
	for _, e := range entries {
		if e.Name == what {
			versions = append(versions, what+"@"+e.Version)
		}
	}
	if len(versions) > 0 {
		return fmt.Errorf("%s is no file, and an installed package is named with its version; give %s", what, strings.Join(versions, " or "))
	}
	return fmt.Errorf("%s is no file; give the path of bundle.zip or extension.zip, or NAME@VERSION of an installed package", what)
}

// compileMIBs reads the MIB files of a package once and for all, so that the
// start of the agent does not have to.
func (f *installFlags) compileMIBs(cmd *cobra.Command, x *examined) {
	shelf := agent.NewMIBShelf(agent.MIBShelfOptions{State: f.folder(f.config), Writes: true, Site: config.MIBsOf(f.config)})
	_, warnings := shelf.Of(x.pkg.FS, x.pkg.Digest)
	for _, w := range warnings {
		warn(cmd, w)
	}
}

func printInstalled(cmd *cobra.Command, made store.Entry, x *examined, estimate string) error {
	w := newScreen(cmd.OutOrStdout())
	fmt.Fprintf(w, "%s %s is installed and the active version\n", oneLine(made.Name), oneLine(made.Version))
	if v := x.verdict; v != nil {
		fmt.Fprintf(w, "signed by %s, category %s\n", oneLine(v.Signer().Subject), textOr(strings.Join(categoryNames(v), ", "), "none"))
	} else {
		fmt.Fprintln(w, "UNSIGNED: it runs only while the configuration says trust.allow_unsigned")
	}
	if estimate != "" {
		fmt.Fprintln(w, estimate)
	}
	fmt.Fprintf(w, "where the configuration has `package: %s`, `edgehold reload` starts it\n", oneLine(made.Name))
	return w.done()
}

func newExtRemove() *cobra.Command {
	var f stateFlag
	var configPath string
	cmd := &cobra.Command{
		Use:   "remove NAME[@VERSION]",
		Short: "Remove an installed package",
		Long: `Remove an installed package. NAME alone is enough where one version is
installed. What its bytes were stays known, so that nobody can bring other ones
under its name and version.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.packages(configPath)
			if err != nil {
				return err
			}
			defer say(cmd, s)
			return removePackage(cmd, s, args[0])
		},
	}
	addConfigFlag(cmd, &configPath)
	f.add(cmd)
	return cmd
}

func removePackage(cmd *cobra.Command, s *store.Store, what string) error {
	name, number, _ := strings.Cut(what, "@")
	entries, err := s.List()
	if err != nil {
		return err
	}
	var versions []string
	for _, e := range entries {
		if e.Name == name {
			versions = append(versions, e.Version)
		}
	}
	switch {
	case number == "" && len(versions) == 1:
		number = versions[0]
	case number == "" && len(versions) > 1:
		return usage(cmd, fmt.Errorf("%s is installed in the versions %s: name one, as %s@%s", name, strings.Join(versions, ", "), name, versions[0]))
	}
	if err := s.Remove(name, number); err != nil {
		return err
	}
	w := newScreen(cmd.OutOrStdout())
	fmt.Fprintf(w, "removed %s %s\n", oneLine(name), oneLine(number))
	return w.done()
}

func newExtList() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the installed packages, and whether this site trusts them now",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.list(cmd) },
	}
	f.add(cmd)
	return cmd
}

type listFlags struct {
	trustFlags
	stateFlag
	asJSON bool
}

func (f *listFlags) add(cmd *cobra.Command) {
	f.trustFlags.add(cmd)
	f.stateFlag.add(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// installedReport is an installed version and what this site thinks of it now.
type installedReport struct {
	store.Entry
	Trusted bool      `json:"trusted"`
	Expires time.Time `json:"expires,omitzero"`
	Rule    string    `json:"rule,omitempty"` // that it breaks
	Reason  string    `json:"reason,omitempty"`
	signer  string
}

func (f *listFlags) list(cmd *cobra.Command) error {
	s, err := f.packages(f.config)
	if err != nil {
		return err
	}
	defer say(cmd, s)
	entries, err := s.List()
	if err != nil {
		return err
	}
	j, err := f.load(cmd)
	if err != nil {
		warn(cmd, fmt.Sprintf("whether the packages are trusted is not known: %v", err))
	}
	all := []installedReport{}
	for _, e := range entries {
		all = append(all, j.installed(s, e))
	}
	if f.asJSON {
		return printDocument(cmd.OutOrStdout(), all)
	}
	if len(all) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "no package is installed; `edgehold ext install BUNDLE` installs one")
		return nil
	}
	rows := [][]string{{"NAME", "VERSION", "ACTIVE", "SIGNER", "CATEGORY", "INSTALLED", "TRUST"}}
	for _, r := range all {
		active := ""
		if r.Active {
			active = "active"
		}
		rows = append(rows, []string{
			oneLine(r.Name), oneLine(r.Version), active, oneLine(r.signer), textOr(strings.Join(r.Categories, ", "), "-"),
			r.Installed.Local().Format("2006-01-02 15:04"), r.trustWords(),
		})
	}
	return printColumns(cmd.OutOrStdout(), rows)
}

func (r installedReport) trustWords() string {
	switch {
	case r.Rule != "":
		return "REFUSED: " + r.Rule
	case r.Reason != "":
		return "unknown: " + oneLine(r.Reason)
	case !r.Trusted:
		return "unsigned, allowed"
	case r.Expires.IsZero():
		return "trusted"
	}
	return "until " + r.Expires.Format(time.DateOnly)
}

// installed judges an installed version; j may be nil.
func (j *judge) installed(s *store.Store, e store.Entry) installedReport {
	r := installedReport{Entry: e, signer: "unsigned"}
	if e.Signer != "" {
		r.signer = e.Signer[:min(len(e.Signer), 16)]
	}
	if j == nil {
		r.Reason = "no trust settings"
		return r
	}
	x, err := j.examineInstalled(s, e)
	var refused *sign.Refusal
	switch {
	case errors.As(err, &refused):
		r.Rule, r.Reason = string(refused.Rule), refused.Error()
	case err != nil:
		r.Reason = err.Error()
	case x.verdict != nil:
		r.Trusted, r.Expires, r.signer = true, x.verdict.Expires, x.verdict.Signer().Subject
		r.Categories = categoryNames(x.verdict)
	}
	return r
}

func (j *judge) examineInstalled(s *store.Store, e store.Entry) (*examined, error) {
	_, path, err := s.Find(e.Name, e.Version)
	if err != nil {
		return nil, err
	}
	x, err := j.examine(path)
	if err != nil {
		return nil, err
	}
	if x.pkg.Digest != e.Digest || x.name != e.Name || x.version != e.Version {
		return nil, &sign.Refusal{Rule: store.RuleSameVersion, Text: path + " is no longer the package that was installed", Mend: "install it again"}
	}
	return x, nil
}
