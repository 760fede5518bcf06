package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
)

func newBuffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look into the store: its state, a check, its points as files, a purge",
		Long: `Look into the store of the running agent, through its control socket, or into
the file of a stopped one. The socket and the file are those that --config
names; --file names the file of a stopped agent directly.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBufferStat(), newBufferVerify(), newBufferExport(), newBufferPurge())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

// storeFlags find a store.
type storeFlags struct {
	socketFlags
	file  string
	given func(flag string) bool
}

func (f *storeFlags) add(cmd *cobra.Command) {
	f.socketFlags.add(cmd)
	cmd.Flags().StringVar(&f.file, "file", "", "store of a stopped agent (default: the one that --config names)")
	cmd.MarkFlagsMutuallyExclusive("file", "socket")
	f.given = cmd.Flags().Changed
}

// check refuses flags that would silently lead to another store than the one
// that was meant, such as an empty variable of a script.
func (f *storeFlags) check() error {
	for _, flag := range []struct{ name, value string }{{"file", f.file}, {"socket", f.socket}, {"config", f.config}} {
		if f.given(flag.name) && flag.value == "" {
			return exitCode{exitUsage, fmt.Errorf("--%s is empty: name a file, or leave it out", flag.name)}
		}
	}
	if f.file != "" || f.socket != "" || !f.given("config") {
		return nil
	}
	file, err := os.Open(f.config)
	if err != nil {
		return fmt.Errorf("read the configuration: %w; name the agent's --config, or its store with --file", err)
	}
	return file.Close()
}

// opener opens the file of a stopped agent.
type opener func(path string) (export.Source, error)

// open gives the store of the running agent or, where none answers, of the
// stopped one.
func (f *storeFlags) open(ctx context.Context, open opener) (export.Source, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.file != "" {
		return f.openFile(f.file, open, nil)
	}
	running := export.Running{Ask: f.client().Ask}
	_, err := running.Stat(ctx)
	switch {
	case err == nil:
		return running, nil
	case !errors.Is(err, control.ErrNoAgent) || f.socket != "":
		return nil, err
	}
	return f.openFile(filepath.Join(config.StateDirOf(f.config), agent.StoreFile), open, err)
}

// openFile opens a file; absent is why no agent was asked.
func (f *storeFlags) openFile(path string, open opener, absent error) (export.Source, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the store: %w; name it with a --file that begins with /", err)
	}
	s, err := open(path)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, buffer.ErrRunning) && absent == nil:
		return nil, fmt.Errorf("%s is in use by a running agent: leave out --file and name the agent's --config or --socket, or stop it first", path)
	case errors.Is(err, buffer.ErrRunning):
		return nil, fmt.Errorf("%s is in use by a running agent, but none answers on its socket %s: name its socket with --socket or its configuration with --config; if it hangs, see its log and restart it", path, f.client().Path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no store %s, and no agent answers: name the agent's configuration with --config, or its store with --file", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this user may not open the store %s: use sudo", path)
	}
	return nil, err
}

// readOnly opens a file to look into it.
func readOnly(path string) (export.Source, error) {
	r, err := buffer.OpenReader(path)
	if err != nil {
		return nil, err
	}
	return export.Stopped{Store: r, Path: path}, nil
}

// with opens the store for one use.
func (f *storeFlags) with(ctx context.Context, open opener, use func(export.Source) error) error {
	s, err := f.open(ctx, open)
	if err != nil {
		return err
	}
	return errors.Join(use(s), s.Close())
}

func printDocument(w io.Writer, document any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func newBufferStat() *cobra.Command {
	var f storeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "Show what the store holds and how it is doing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), readOnly, func(s export.Source) error {
				st, err := s.Stat(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printDocument(cmd.OutOrStdout(), st)
				}
				w := newScreen(cmd.OutOrStdout())
				printStat(w, st, time.Now())
				return w.done()
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func whose(running bool) string {
	if running {
		return "of the running agent"
	}
	return "of a stopped agent"
}

func printStat(w io.Writer, st export.Stat, now time.Time) {
	fmt.Fprintf(w, "store    %s, %s\n", st.Path, whose(st.Running))
	if st.Alarm != "" {
		fmt.Fprintf(w, "ALARM    %s\n", st.Alarm)
	}
	for _, text := range st.Warnings {
		fmt.Fprintf(w, "warning  %s\n", text)
	}
	fmt.Fprintf(w, "file     %s, %s of the disk, %s in use", bytesText(st.FileBytes), bytesText(st.DiskBytes), bytesText(st.UsedBytes))
	if st.MaxBytes > 0 {
		fmt.Fprintf(w, ", quota %s", bytesText(st.MaxBytes))
	}
	fmt.Fprintf(w, "\nholds    %d series, %d records in %d segments", st.Series, st.Records, st.Segments)
	if st.BytesPerPoint > 0 {
		fmt.Fprintf(w, ", %.2f bytes in use for each point", st.BytesPerPoint)
	}
	if !st.Oldest.IsZero() {
		fmt.Fprintf(w, "\nwaiting  since %s, %s ago", st.Oldest.Local().Format(time.DateTime), span(now.Sub(st.Oldest)))
	}
	fmt.Fprintln(w)
	if st.Running {
		fmt.Fprintf(w, "memory   %d points wait to be committed, %d were dropped before, %d refused\n", st.Pending, st.Dropped, st.Refused)
	}
	if s := st.Salvage; s != nil {
		state := "is under way"
		if s.Done {
			state = "is done"
		}
		fmt.Fprintf(w, "salvage  of %s %s: %d points saved, %d lost; damaged on %s: %s\n", s.File, state, s.Saved, s.Lost, s.At.Local().Format(time.DateTime), s.Cause)
	}
	printAccount(w, control.Account(st.Account))
}

// verifyDocument is what `buffer verify --json` prints.
type verifyDocument struct {
	OK      bool           `json:"ok"`
	Damage  string         `json:"damage"`
	Account buffer.Account `json:"account"`
}

func newBufferVerify() *cobra.Command {
	var f storeFlags
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read everything in the store and compare it with the account",
		Long: `Read every record of the store, decode it and compare what is there with the
account. The exit code is 0 when all is well and 3 when damage is found.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), readOnly, func(s export.Source) error {
				bar := newProgress(cmd, quiet)
				account, err := s.Verify(cmd.Context(), func(done, of int64) { bar.show("read", done, of) })
				bar.end()
				var damage *export.Damage
				if err != nil && !errors.As(err, &damage) {
					return err
				}
				doc := verifyDocument{OK: damage == nil, Account: account}
				if damage != nil {
					doc.Damage = damage.Text
				}
				return printVerify(cmd, doc, asJSON)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress bar")
	return cmd
}

func printVerify(cmd *cobra.Command, doc verifyDocument, asJSON bool) error {
	if asJSON {
		if err := printDocument(cmd.OutOrStdout(), doc); err != nil {
			return err
		}
	} else {
		w := newScreen(cmd.OutOrStdout())
		if doc.OK {
			fmt.Fprintln(w, "good     every record can be read, and the account adds up")
		} else {
			fmt.Fprintf(w, "DAMAGED  %s\n", doc.Damage)
			fmt.Fprintln(w, "         a running agent leaves damaged records out and counts them; one that starts sets a damaged file aside and saves what can be read")
		}
		printAccount(w, control.Account(doc.Account))
		if err := w.done(); err != nil {
			return err
		}
	}
	if !doc.OK {
		return exitCode{code: exitCheck}
	}
	return nil
}
