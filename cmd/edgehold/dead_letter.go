package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
)

func newDeadLetter() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letter",
		Short: "Look at what the environment refused for good, send it again or delete it",
		Long: `A dead letter is a metric line, an event or a log record that the environment
refused for good, with its reason. The newest are kept. These commands work on
the store of the running agent, through its control socket, or on the file of a
stopped one, as those of ` + "`edgehold buffer`" + ` do.

  edgehold dead-letter ls --reason "too old"
  edgehold dead-letter show 17
  edgehold dead-letter retry 17 18
  edgehold dead-letter purge --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLetterLs(), newLetterShow(), newLetterRetry(), newLetterPurge())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

// letterFlags choose dead letters.
type letterFlags struct {
	storeFlags
	filter export.LetterFilter
	all    bool
	asJSON bool
}

func (f *letterFlags) add(cmd *cobra.Command) {
	f.storeFlags.add(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

func (f *letterFlags) addFilter(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.filter.Reason, "reason", "", "only those with this text in their reason")
	cmd.Flags().StringVar(&f.filter.Series, "series", "", "only those with this text in their line")
}

// numbers reads the arguments of a command that names dead letters, or all of
// them.
func (f *letterFlags) numbers(cmd *cobra.Command, args []string) error {
	var err error
	if f.filter.Numbers, err = letterNumbers(args); err != nil {
		return usage(cmd, err)
	}
	filtered := f.filter.Reason != "" || f.filter.Series != ""
	switch {
	case len(args) > 0 && (f.all || filtered):
		return usage(cmd, errors.New("numbers are given beside --all, --reason or --series: give one or the other"))
	case len(args) == 0 && !f.all && !filtered:
		return usage(cmd, errors.New("no dead letter is named: give their numbers, --reason, --series or --all"))
	}
	return nil
}

func letterNumbers(args []string) (numbers []uint64, err error) {
	for _, arg := range args {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not the number of a dead letter, expected one such as 17", arg)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// read gives the dead letters that are chosen. One that is named and not there
// is an error.
func (f *letterFlags) read(ctx context.Context, s export.Source) ([]buffer.Letter, error) {
	letters := []buffer.Letter{}
	err := s.Letters(ctx, f.filter, func(x buffer.Letter) error {
		letters = append(letters, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range f.filter.Numbers {
		if !slices.ContainsFunc(letters, func(x buffer.Letter) bool { return x.Number == n }) {
			return nil, fmt.Errorf("there is no dead letter %d: it was sent again, purged or pushed out by newer ones; `edgehold dead-letter ls` lists those that are there", n)
		}
	}
	return letters, nil
}

func newLetterLs() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the dead letters, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), readOnly, func(s export.Source) error {
				letters, err := f.read(cmd.Context(), s)
				if err != nil {
					return err
				}
				if f.asJSON {
					return printDocument(cmd.OutOrStdout(), letters)
				}
				return printLetters(cmd.OutOrStdout(), letters, f.filter)
			})
		},
	}
	f.add(cmd)
	f.addFilter(cmd)
	return cmd
}

func printLetters(out io.Writer, letters []buffer.Letter, filter export.LetterFilter) error {
	w := newScreen(out)
	width := min(mostWidth, max(leastWidth, terminalWidth(out)))
	for _, x := range letters {
		head := fmt.Sprintf("%-6d %s  %-6s  ", x.Number, x.Time.Local().Format(time.DateTime), letterKind(x))
		fmt.Fprintf(w, "%s%s\n       %s\n", head, clip(x.Reason, width-len(head)), clip(x.Line, width-7))
	}
	switch {
	case len(letters) == 0 && filter.Reason+filter.Series == "":
		fmt.Fprintln(w, "there are no dead letters")
	case len(letters) == 0:
		fmt.Fprintln(w, "no dead letter is like that; without --reason and --series all are listed")
	default:
		fmt.Fprintf(w, "%s; `edgehold dead-letter show N` shows one in full\n", plural(len(letters), "dead letter", "dead letters"))
	}
	return w.done()
}

func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func letterKind(x buffer.Letter) string { return cmp.Or(x.Kind, "metric") }

// clip makes a text one line of at most n characters.
func clip(text string, n int) string {
	r := []rune(oneLine(text))
	if n = max(n, 10); len(r) <= n {
		return string(r)
	}
	return string(r[:n-2]) + ".."
}

func newLetterShow() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "show N",
		Short: "Show one dead letter in full",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.numbers(cmd, args); err != nil {
				return err
			}
			return f.with(cmd.Context(), readOnly, func(s export.Source) error {
				letters, err := f.read(cmd.Context(), s)
				if err != nil {
					return err
				}
				x := letters[0]
				if f.asJSON {
					return printDocument(cmd.OutOrStdout(), x)
				}
				w := newScreen(cmd.OutOrStdout())
				fmt.Fprintf(w, "number   %d\nkind     %s\nrefused  %s, %s ago\nreason   %s\n\n%s\n", x.Number, letterKind(x),
					x.Time.Local().Format(time.DateTime), span(time.Since(x.Time)), oneLine(x.Reason), oneLine(x.Line))
				return w.done()
			})
		},
	}
	f.add(cmd)
	return cmd
}

func newLetterRetry() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:   "retry [N...]",
		Short: "Send dead letters again, with the time they had",
		Long: `Make dead letters wait to be sent again, with the time they had. It helps where
the reason was one of the environment, and is gone. A dead letter whose text
cannot be read back stays one, and the exit code is then 3.

  edgehold dead-letter retry 17 18
  edgehold dead-letter retry --reason "limit exceeded"
  edgehold dead-letter retry --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.numbers(cmd, args); err != nil {
				return err
			}
			return f.with(cmd.Context(), forPurge, func(s export.Source) error {
				if _, err := f.read(cmd.Context(), s); err != nil {
					return err
				}
				done, err := s.Retry(cmd.Context(), f.filter)
				if err != nil && cmd.Context().Err() != nil {
					return errors.New("interrupted, but what had begun may still come with the store's next commit: `edgehold dead-letter ls` tells what is left")
				}
				if err != nil {
					return err
				}
				return f.printRetried(cmd, done)
			})
		},
	}
	f.add(cmd)
	f.addFilter(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them")
	return cmd
}

func (f *letterFlags) printRetried(cmd *cobra.Command, done export.Retried) error {
	if f.asJSON {
		if err := printDocument(cmd.OutOrStdout(), done); err != nil {
			return err
		}
	} else {
		w := newScreen(cmd.OutOrStdout())
		fmt.Fprintf(w, "retry    %s to be sent again\n", plural(done.Retried, "dead letter waits", "dead letters wait"))
		if done.Old > 0 {
			fmt.Fprintf(w, "         %d of them are older than the hour that the metrics API takes: they count as late\n", done.Old)
		}
		if done.Same > 0 {
			fmt.Fprintf(w, "same     %d dead letters were of the same line as one of them, and are purged\n", done.Same)
		}
		for _, x := range done.Failed {
			fmt.Fprintf(w, "stays    %d: %s\n", x.Number, oneLine(x.Reason))
		}
		printAccount(w, control.Account(done.Account))
		if err := w.done(); err != nil {
			return err
		}
	}
	if len(done.Failed) > 0 {
		return exitCode{code: exitCheck}
	}
	return nil
}

func newLetterPurge() *cobra.Command {
	var f letterFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge [N...]",
		Short: "Delete dead letters",
		Long: `Delete dead letters; the account counts them as purged. Without numbers it asks
first; where nobody can answer, --yes is needed.

  edgehold dead-letter purge 17 18
  edgehold dead-letter purge --reason "invalid"
  edgehold dead-letter purge --all --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.numbers(cmd, args); err != nil {
				return err
			}
			numbers := f.filter.Numbers
			if len(numbers) == 0 {
				var err error
				if numbers, err = f.ask(cmd, yes); err != nil {
					return err
				}
			}
			return f.purge(cmd, numbers)
		},
	}
	f.add(cmd)
	f.addFilter(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// ask finds the dead letters that are not named by number and asks whoever
// sits at the terminal. What is purged are those, and no newer ones.
func (f *letterFlags) ask(cmd *cobra.Command, yes bool) (numbers []uint64, err error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !yes && (!ok || !isTerminal(in)) {
		return nil, exitCode{exitUsage, errors.New("a purge cannot be undone and nobody can be asked here: add --yes")}
	}
	err = f.with(cmd.Context(), readOnly, func(s export.Source) error {
		letters, err := f.read(cmd.Context(), s)
		for _, x := range letters {
			numbers = append(numbers, x.Number)
		}
		return err
	})
	if err != nil || yes || len(numbers) == 0 {
		return numbers, err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s will be deleted, unsent. Type yes to go on: ", plural(len(numbers), "dead letter", "dead letters"))
	if awaitLine(cmd.Context(), in) != nil || !isYes(in) {
		return nil, errors.New("nothing was purged")
	}
	return numbers, nil
}

func (f *letterFlags) purge(cmd *cobra.Command, numbers []uint64) error {
	f.filter.Reason, f.filter.Series = "", "" // they are found
	return f.with(cmd.Context(), forPurge, func(s export.Source) error {
		if len(f.filter.Numbers) > 0 {
			if _, err := f.read(cmd.Context(), s); err != nil {
				return err
			}
		}
		done, err := export.PurgeLetters(cmd.Context(), s, numbers)
		if err != nil && cmd.Context().Err() != nil {
			return errors.New("the purge was interrupted, but may still come with the store's next commit: `edgehold dead-letter ls` tells what is left")
		}
		if err != nil {
			return err
		}
		if f.asJSON {
			return printDocument(cmd.OutOrStdout(), done)
		}
		w := newScreen(cmd.OutOrStdout())
		fmt.Fprintf(w, "purged   %s\n", plural(done.Purged, "dead letter", "dead letters"))
		printAccount(w, control.Account(done.Account))
		return w.done()
	})
}
