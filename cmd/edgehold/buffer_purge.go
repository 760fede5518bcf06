package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
)

type purgeFlags struct {
	storeFlags
	before      string
	deadLetters bool
	all         bool
	yes         bool
	asJSON      bool
}

func newBufferPurge() *cobra.Command {
	var f purgeFlags
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Delete points or dead letters from the store, unsent",
		Long: `Delete points or dead letters from the store. They are not sent; the account
counts them as purged. Points that are on their way to the uplink stay.

  edgehold buffer purge --before 30d         records whose points all are older than 30 days
  edgehold buffer purge --before 2026-03-01  or than the day
  edgehold buffer purge --dead-letters       the lines that the environment refused
  edgehold buffer purge --all                everything

It asks first; where nobody can answer, --yes is needed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.before, "before", "", "what is older than this: a duration such as 30d, or a date")
	cmd.Flags().BoolVar(&f.deadLetters, "dead-letters", false, "the dead letters")
	cmd.Flags().BoolVar(&f.all, "all", false, "every point and every dead letter")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.MarkFlagsOneRequired("before", "dead-letters", "all")
	cmd.MarkFlagsMutuallyExclusive("before", "all")
	return cmd
}

func (f *purgeFlags) run(cmd *cobra.Command) error {
	p := buffer.Purge{DeadLetters: f.deadLetters, All: f.all}
	if f.before != "" {
		now := time.Now()
		var err error
		if p.Before, err = export.ParseMoment(f.before, now); err != nil {
			return usage(cmd, fmt.Errorf("--before: %w", err))
		}
		if p.Before.After(now) { // such as a year with two digits exchanged
			return usage(cmd, fmt.Errorf("--before is %s, which is yet to come: to delete everything use --all", p.Before.Format(time.DateTime)))
		}
	}
	if p.Before.IsZero() && !p.DeadLetters && !p.All {
		return usage(cmd, errors.New("nothing is named to be purged: give --before, --dead-letters or --all"))
	}
	if err := f.confirm(cmd, p); err != nil {
		return err
	}
	return f.with(cmd.Context(), forPurge, func(s export.Source) error {
		return f.purge(cmd, s, p)
	})
}

func (f *purgeFlags) purge(cmd *cobra.Command, s export.Source, p buffer.Purge) error {
	st, err := s.Stat(cmd.Context())
	if err != nil {
		return err
	}
	done, err := s.Purge(cmd.Context(), p)
	if err != nil && cmd.Context().Err() != nil {
		return errors.New("the purge was interrupted, but may still come with the store's next commit: `edgehold buffer stat` tells what is left")
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		return printDocument(cmd.OutOrStdout(), done)
	}
	w := newScreen(cmd.OutOrStdout())
	fmt.Fprintf(w, "purged   %d points and dead letters of %s\n", done.Purged, st.Path)
	printAccount(w, control.Account(done.Account))
	return w.done()
}

// confirm asks whoever sits at the terminal. Nothing is held open meanwhile
// that would keep an agent from starting.
func (f *purgeFlags) confirm(cmd *cobra.Command, p buffer.Purge) error {
	if f.yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) {
		return exitCode{exitUsage, errors.New("a purge cannot be undone and nobody can be asked here: add --yes")}
	}
	var st export.Stat
	err := f.with(cmd.Context(), readOnly, func(s export.Source) (err error) {
		st, err = s.Stat(cmd.Context())
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The store %s, %s, holds %d points to be sent, %d late ones and %d dead letters.\n%s will be deleted, unsent. Type yes to go on: ",
		st.Path, whose(st.Running), st.Account.Buffered, st.Account.Late, st.Account.DeadLetter, purgeWords(p))
	if awaitLine(cmd.Context(), in) != nil || !isYes(in) {
		return errors.New("nothing was purged")
	}
	return nil
}

// awaitLine returns when the terminal has a line to read, or with an error
// when ctx ends: a read would not hear of a Ctrl-C.
func awaitLine(ctx context.Context, terminal *os.File) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(terminal.Fd()), Events: unix.POLLIN}}, 100)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for an answer: %w", err)
		case n > 0:
			return nil
		}
	}
}

func isYes(in io.Reader) bool {
	answer, _ := bufio.NewReader(in).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "yes")
}

func purgeWords(p buffer.Purge) string {
	var words []string
	if p.All {
		return "All of them"
	}
	if !p.Before.IsZero() {
		words = append(words, "Points from before "+p.Before.Format(time.DateTime))
	}
	if p.DeadLetters {
		words = append(words, "All dead letters")
	}
	return strings.Join(words, ", and: ")
}

// purgeStore is the file of a stopped agent, open for writing.
type purgeStore struct {
	*buffer.Store
	path  string
	owner *syscall.Stat_t
}

// forPurge opens a file for writing. It is first opened for reading, which
// refuses a file that is in use or damaged and leaves it as it is.
func forPurge(path string) (export.Source, error) {
	r, err := buffer.OpenReader(path)
	if err != nil {
		return nil, err
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at the store: %w", err)
	}
	options := buffer.Options{Path: path, Window: agent.Window, Log: zerolog.Nop()}
	if quota := info.Size() + info.Size()/4; quota > defaultQuota() { // the quota of the agent must not be undercut, or points would go
		options.MaxSize = quota
	}
	s, err := buffer.Open(options)
	if err != nil {
		return nil, err
	}
	// What the agent left for its next start stays for that.
	state, err := s.TakeState()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.SaveState(state)
	owner, _ := info.Sys().(*syscall.Stat_t)
	return export.Stopped{Store: purgeStore{s, path, owner}, Path: path}, nil
}

func defaultQuota() int64 {
	if ^uint(0)>>32 == 0 {
		return 256 << 20
	}
	return 1 << 30
}

// Close closes the store and gives a file that was made anew to the owner of
// the one before, who is the agent's user and not root.
func (s purgeStore) Close() error {
	if err := s.Store.Close(); err != nil {
		return err
	}
	if s.owner == nil || os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(s.path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		return fmt.Errorf("give the store back to its owner: %w", err)
	}
	return nil
}
