package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/sign"
)

// extPackages are the commands that make, check and install packages.
func extPackages() []*cobra.Command {
	return []*cobra.Command{
		newExtBuild(), newExtSign(), newExtVerify(), newExtAdopt(), newExtResign(),
		newExtInstall(), newExtList(), newExtShow(), newExtRemove(), newExtHistory(),
	}
}

func newExtVerify() *cobra.Command {
	var f trustFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Tell whether this site trusts a package, who signed it and what it may do",
		Long: `Tell whether this site trusts a package: who signed it, by which root and in
which category, until when, and what follows from its content: the data sources,
OIDs, hosts and devices that it asks for.

BUNDLE is bundle.zip, or extension.zip with extension.zip.sig beside it. The
folder of trusted certificates, the categories and the deny lists are those of
the configuration; --roots names a folder for a machine without one.

The exit code is 3 where the package is refused, with the rule and what to do.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := f.load(cmd)
			if err != nil {
				return err
			}
			return j.verify(cmd, args[0], asJSON)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// verdictReport is what is known of a package. Of one that is refused nothing
// of the content is told.
type verdictReport struct {
	Path        string                 `json:"path"`
	Trusted     bool                   `json:"trusted"`
	Unsigned    bool                   `json:"unsigned,omitempty"` // and may run all the same
	Rule        string                 `json:"rule,omitempty"`     // that it breaks
	Reason      string                 `json:"reason,omitempty"`
	Mend        string                 `json:"mend,omitempty"`
	Name        string                 `json:"name,omitempty"`
	Version     string                 `json:"version,omitempty"`
	Digest      string                 `json:"digest,omitempty"` // SHA-256 of extension.zip
	Bytes       int                    `json:"bytes,omitempty"`
	Chain       []certificateReport    `json:"chain,omitempty"` // the signer first
	Vendor      bool                   `json:"vendor,omitempty"`
	StampedAt   time.Time              `json:"stamped_at,omitzero"`
	Categories  []string               `json:"categories,omitempty"`
	Expires     time.Time              `json:"expires,omitzero"`
	DaysLeft    *int                   `json:"days_left,omitempty"`
	Permissions *extension.Permissions `json:"permissions,omitempty"`
	Notes       []string               `json:"notes,omitempty"` // what was not looked at
}

type certificateReport struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	Units       []string  `json:"units,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
}

func certificateOf(c sign.Certificate) certificateReport {
	return certificateReport{c.Subject, c.Issuer, c.Serial, c.Fingerprint, c.Units, c.NotBefore, c.NotAfter}
}

func (j *judge) verify(cmd *cobra.Command, path string, asJSON bool) error {
	x, err := j.examine(path)
	var refused *sign.Refusal
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if refused != nil {
		if !asJSON {
			return refusedPackage(path, err)
		}
		report := verdictReport{Path: path, Rule: string(refused.Rule), Reason: refused.Text, Mend: refused.Mend}
		if err := printDocument(cmd.OutOrStdout(), report); err != nil {
			return err
		}
		return exitCode{code: exitCheck}
	}
	report := x.report(j.at.Time)
	report.Notes = j.notes
	if asJSON {
		return printDocument(cmd.OutOrStdout(), report)
	}
	w := newScreen(cmd.OutOrStdout())
	report.print(w)
	return w.done()
}

// report is of a package that may run.
func (x *examined) report(now time.Time) verdictReport {
	r := verdictReport{
		Path: x.path, Trusted: x.verdict != nil, Unsigned: x.verdict == nil,
		Name: x.name, Version: x.version, Digest: x.pkg.Digest, Bytes: len(x.bundle), Permissions: &x.permissions,
	}
	v := x.verdict
	if v == nil {
		return r
	}
	r.Vendor, r.StampedAt, r.Expires, r.Categories = v.Vendor, v.StampedAt, v.Expires, categoryNames(v)
	for _, c := range v.Chain {
		r.Chain = append(r.Chain, certificateOf(c))
	}
	if !v.Expires.IsZero() {
		days := daysUntil(v.Expires, now)
		r.DaysLeft = &days
	}
	return r
}

func categoryNames(v *sign.Verdict) (names []string) {
	for _, c := range v.Categories {
		names = append(names, c.Name)
	}
	return names
}

func daysUntil(end, now time.Time) int { return int(end.Sub(now) / (24 * time.Hour)) }

func (r *verdictReport) print(w io.Writer) {
	fmt.Fprintf(w, "package    %s %s\n", oneLine(r.Name), oneLine(r.Version))
	fmt.Fprintf(w, "file       %s, %s\n", oneLine(r.Path), bytesText(int64(r.Bytes)))
	fmt.Fprintf(w, "digest     %s\n", r.Digest)
	if r.Unsigned {
		fmt.Fprintln(w, "signer     nobody: it runs only since the configuration says trust.allow_unsigned")
	}
	for i, c := range r.Chain {
		what := "  by"
		if i == 0 {
			what = "signer"
		}
		fmt.Fprintf(w, "%-10s %s, valid until %s\n           fingerprint %s\n", what, oneLine(c.Subject), c.NotAfter.Format(time.DateOnly), c.Fingerprint)
	}
	if r.Vendor {
		fmt.Fprintln(w, "vendor     yes, by one of vendor_roots")
	}
	if !r.StampedAt.IsZero() {
		fmt.Fprintf(w, "timestamp  %s: the certificates were good then, and that counts\n", r.StampedAt.Format(time.DateTime))
	}
	if !r.Unsigned {
		fmt.Fprintf(w, "unit       %s\n", textOr(oneLine(strings.Join(r.Chain[0].Units, ", ")), "none"))
		category := "none"
		if len(r.Notes) > 0 {
			category = "not known, see below"
		}
		fmt.Fprintf(w, "category   %s\n", textOr(strings.Join(r.Categories, ", "), category))
		fmt.Fprintf(w, "trusted    %s\n", r.until())
	}
	printPermissions(w, *r.Permissions)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note       %s\n", note)
	}
}

func (r *verdictReport) until() string {
	if r.Expires.IsZero() {
		return "for as long as its root is"
	}
	return fmt.Sprintf("until %s, %s left", r.Expires.Format(time.DateOnly), plural(*r.DaysLeft, "day", "days"))
}

func textOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// printPermissions lists what a package asks for, with the lines that do.
func printPermissions(w io.Writer, p extension.Permissions) {
	fmt.Fprintln(w, "it asks for")
	for _, line := range permissionLines(p) {
		where := ""
		if line.where != "" {
			where = "  (" + line.where + ")"
		}
		fmt.Fprintf(w, "  %s%s\n", oneLine(line.what), oneLine(where))
	}
}

// permission is one thing a package asks for, in words, and the first of the
// lines that do.
type permission struct{ what, where string }

func permissionLines(p extension.Permissions) []permission {
	lines := []permission{{what: "data source  " + textOr(strings.Join(p.DataSources, ", "), "none")}}
	for _, group := range []struct {
		what string
		list []extension.Located
	}{{"OID         ", p.OIDs}, {"request     ", p.Requests}, {"host        ", p.Hosts}, {"local device", p.LocalDevices}} {
		for _, l := range group.list {
			one := permission{what: group.what + " " + l.What}
			if len(l.Lines) > 0 {
				one.where = l.File + ":" + strconv.Itoa(l.Lines[0])
			}
			if more := len(l.Lines) - 1; more > 0 {
				one.where += " and " + plural(more, "more line", "more lines")
			}
			lines = append(lines, one)
		}
	}
	return lines
}
