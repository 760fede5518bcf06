package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/sign/store"
)

type extHistoryFlags struct {
	stateFlag
	config string
	verify bool
	head   string
	asJSON bool
}

func newExtHistory() *cobra.Command {
	var f extHistoryFlags
	cmd := &cobra.Command{
		Use:   "history [NAME]",
		Short: "Show, or verify, the record of what was installed and trusted",
		Long: `Show the record of what was installed, activated and removed, which packages ran,
and of changes of the configuration and of allow_unsigned; with NAME that of one
extension.

Each record holds the hash of the one before, so that a record that was changed,
removed, put in or moved is found by --verify. Whether the end was cut off is
told by the index, and for sure by a hash that is kept on another machine:
--verify prints it, and a later --head HASH looks for it.

The exit code of --verify is 3 where the record is not what was written, and
where there is none.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	addConfigFlag(cmd, &f.config)
	f.stateFlag.add(cmd)
	cmd.Flags().BoolVar(&f.verify, "verify", false, "hold every record against the one before it")
	cmd.Flags().StringVar(&f.head, "head", "", "with --verify: a hash that an earlier --verify printed")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (f *extHistoryFlags) run(cmd *cobra.Command, args []string) error {
	f.verify = f.verify || f.head != ""
	if f.verify && len(args) > 0 {
		return usage(cmd, errors.New("the history is verified as a whole: leave out NAME"))
	}
	s, err := f.packages(f.config)
	if err != nil {
		return err
	}
	if f.verify {
		return f.check(cmd, s)
	}
	defer say(cmd, s)
	records, faults := []shownRecord{}, []string{}
	for r, err := range s.History() {
		var fault *store.HistoryError
		switch {
		case errors.As(err, &fault):
			faults = append(faults, err.Error())
		case err != nil:
			return err
		case len(args) == 0 || r.Name == args[0]:
			records = append(records, shownRecord{r, r.Hash})
		}
	}
	for _, text := range faults {
		warn(cmd, text)
	}
	if f.asJSON {
		return printDocument(cmd.OutOrStdout(), records)
	}
	if len(records) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "nothing is recorded")
		return nil
	}
	rows := [][]string{{"NUMBER", "TIME", "KIND", "NAME", "VERSION", "BY", "DETAIL"}}
	for _, r := range records {
		rows = append(rows, []string{
			strconv.Itoa(r.Number), r.Time.Local().Format(time.DateTime), oneLine(r.Kind), oneLine(r.Name),
			oneLine(r.Version), oneLine(r.By), oneLine(r.Detail),
		})
	}
	return printColumns(cmd.OutOrStdout(), rows)
}

// historyVerdict is the document of `ext history --verify`.
type historyVerdict struct {
	OK      bool   `json:"ok"`
	Records int    `json:"records"`
	Head    string `json:"head,omitempty"` // hash of the last record
	Torn    bool   `json:"torn,omitempty"` // the last line was not written to its end, as when the power goes
	Reason  string `json:"reason,omitempty"`
}

func (f *extHistoryFlags) check(cmd *cobra.Command, s *store.Store) error {
	head, n, err := s.VerifyHistory()
	v := historyVerdict{OK: err == nil, Records: n, Head: head}
	var fault *store.HistoryError
	if errors.As(err, &fault) && fault.Torn {
		v.OK, v.Torn = true, true
	}
	if err != nil {
		v.Reason = err.Error()
	}
	if err == nil && n == 0 {
		v = historyVerdict{Reason: "there is no history here: name the state folder with --state-dir, or the configuration with --config"}
	}
	if v.OK && f.head != "" && !hasRecord(s, strings.ToLower(strings.TrimSpace(f.head))) {
		v.OK, v.Reason = false, fmt.Sprintf("no record has the hash %s: the end of the history was cut off, or it was written anew", f.head)
	}
	if f.asJSON {
		err = printDocument(cmd.OutOrStdout(), v)
	} else {
		err = v.print(cmd)
	}
	if err == nil && !v.OK {
		return exitCode{code: exitCheck}
	}
	return err
}

func hasRecord(s *store.Store, hash string) bool {
	for r, err := range s.History() {
		if err == nil && r.Hash == hash {
			return true
		}
	}
	return false
}

func (v *historyVerdict) print(cmd *cobra.Command) error {
	w := newScreen(cmd.OutOrStdout())
	if !v.OK && v.Records == 0 && v.Head == "" {
		fmt.Fprintln(w, v.Reason)
		return w.done()
	}
	if !v.OK {
		fmt.Fprintf(w, "NOT as it was written: %s\n%s; find out who changed the file: nothing here can mend it\n", oneLine(v.Reason), plural(v.Records, "record", "records"))
		return w.done()
	}
	if v.Torn {
		fmt.Fprintln(w, oneLine(v.Reason))
	}
	fmt.Fprintf(w, "%s, each follows from the one before\nhead %s\nkeep the head on another machine: --head tells later whether the end was cut off\n", plural(v.Records, "record", "records"), v.Head)
	return w.done()
}
