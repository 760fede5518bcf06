package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/cms"
	"github.com/edgehold/edgehold/sign/store"
)

func newExtShow() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "show NAME[@VERSION]|BUNDLE",
		Short: "Show what is in a package, installed or not, trusted or not",
		Long: `Show what is in a package: its files, what it asks for, who says to have signed
it, and of an installed one what became of it here. A package that this site does
not trust is shown too, and said to be so; whether it may run is decided by
` + "`edgehold ext verify`" + `.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.show(cmd, args[0]) },
	}
	f.add(cmd)
	return cmd
}

// shownPackage is the document of `ext show`.
type shownPackage struct {
	Path        string                `json:"path"`
	Name        string                `json:"name"`
	Version     string                `json:"version"`
	Digest      string                `json:"digest"`
	Installed   *installedReport      `json:"installed,omitempty"`
	Signature   string                `json:"signature"` // none, intact, or what is wrong with it
	Signers     []certificateReport   `json:"signers"`   // whose signature holds; whether they are trusted is another question
	Files       []shownFile           `json:"files"`
	Permissions extension.Permissions `json:"permissions"`
	Records     []shownRecord         `json:"records,omitempty"`
}

type shownFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

func (f *listFlags) show(cmd *cobra.Command, what string) error {
	doc := shownPackage{Path: what, Signers: []certificateReport{}, Files: []shownFile{}}
	if _, err := os.Stat(what); errors.Is(err, fs.ErrNotExist) {
		if err := f.showInstalled(cmd, what, &doc); err != nil {
			return err
		}
	}
	x, err := peek(doc.Path)
	if err != nil {
		return err
	}
	doc.Name, doc.Version, doc.Digest, doc.Permissions = x.name, x.version, x.pkg.Digest, x.permissions
	doc.Signature, doc.Signers = claimedSigners(x.bundle)
	err = fs.WalkDir(x.pkg.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			doc.Files = append(doc.Files, shownFile{path, info.Size()})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list files of %s: %w", what, err)
	}
	if f.asJSON {
		return printDocument(cmd.OutOrStdout(), doc)
	}
	w := newScreen(cmd.OutOrStdout())
	doc.print(w)
	return w.done()
}

// showInstalled adds what the store knows.
func (f *listFlags) showInstalled(cmd *cobra.Command, what string, doc *shownPackage) error {
	s, err := f.packages(f.config)
	if err != nil {
		return err
	}
	defer say(cmd, s)
	name, number, _ := strings.Cut(what, "@")
	entry, path, err := s.Find(name, number)
	if err != nil {
		return fmt.Errorf("%s is no file, and %w", what, err)
	}
	j, err := f.load(cmd)
	if err != nil {
		warn(cmd, fmt.Sprintf("whether the package is trusted is not known: %v", err))
	}
	report := j.installed(s, entry)
	doc.Path, doc.Installed = path, &report
	for r, err := range s.History() {
		if err == nil && r.Name == entry.Name && (r.Version == entry.Version || r.Version == "") {
			doc.Records = append(doc.Records, shownRecord{r, r.Hash})
		}
	}
	return nil
}

// claimedSigners are those whose signature fits the content, whoever they are.
func claimedSigners(bundle []byte) (state string, signers []certificateReport) {
	signers = []certificateReport{}
	parts, err := sign.Split(bundle, sign.DefaultLimits())
	if err != nil {
		return err.Error(), signers
	}
	if parts.Signature == nil {
		return "none", signers
	}
	verified, err := verifiedSigners(parts)
	if err != nil {
		return err.Error(), signers
	}
	for _, v := range verified {
		signers = append(signers, certificateOf(sign.Describe(v.Certificate)))
	}
	return "intact", signers
}

func verifiedSigners(parts sign.Parts) ([]cms.Verified, error) {
	signed, err := cms.Parse(parts.Signature)
	if err != nil {
		return nil, err
	}
	return signed.Verify(parts.Inner)
}

func (d *shownPackage) print(w io.Writer) {
	fmt.Fprintf(w, "package    %s %s\nfile       %s\ndigest     %s\n", oneLine(d.Name), oneLine(d.Version), oneLine(d.Path), d.Digest)
	if i := d.Installed; i != nil {
		fmt.Fprintf(w, "installed  %s, %s\n", i.Installed.Local().Format(time.DateTime), map[bool]string{true: "the active version", false: "not the active version"}[i.Active])
		fmt.Fprintf(w, "trust      %s\n", textOr(oneLine(i.Reason), i.trustWords()))
	}
	fmt.Fprintf(w, "signature  %s\n", oneLine(d.Signature))
	for _, c := range d.Signers {
		fmt.Fprintf(w, "signer     %s, by %s, valid until %s\n           fingerprint %s\n", oneLine(c.Subject), oneLine(c.Issuer), c.NotAfter.Format(time.DateOnly), c.Fingerprint)
	}
	printPermissions(w, d.Permissions)
	fmt.Fprintln(w, "files")
	for _, f := range d.Files {
		fmt.Fprintf(w, "  %9d  %s\n", f.Bytes, oneLine(f.Name))
	}
	if len(d.Records) > 0 {
		fmt.Fprintln(w, "history")
	}
	for _, r := range d.Records {
		fmt.Fprintf(w, "  %s\n", r.line())
	}
}

// shownRecord is a record with the hash that its line ends with.
type shownRecord struct {
	store.Record
	Hash string `json:"hash"`
}

func (r shownRecord) line() string {
	words := []string{r.Time.Local().Format(time.DateTime), r.Kind}
	for _, word := range []string{r.Name, r.Version, "by " + textOr(r.By, "nobody"), r.Detail} {
		if word != "" {
			words = append(words, word)
		}
	}
	return oneLine(strings.Join(words, "  "))
}
