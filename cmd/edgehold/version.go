package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/board"
)

// versionDocument is what `version --json` prints.
type versionDocument struct {
	Version  string          `json:"version"`
	Commit   string          `json:"commit"` // "": the build was not told
	Date     string          `json:"date"`   // of the commit, RFC 3339 in UTC; "": the build was not told
	Go       string          `json:"go"`
	OS       string          `json:"os"`
	Arch     string          `json:"arch"`
	Modules  []moduleVersion `json:"modules"` // that are linked in
	Kernel   string          `json:"kernel"`
	Machine  string          `json:"machine"`
	Model    string          `json:"model"`
	Hostname string          `json:"hostname"`
}

type moduleVersion struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"` // as in go.sum
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what it runs on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			doc := aboutVersion(info, commit, built)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(doc)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "edgehold %s %s/%s %s\n", doc.Version, doc.OS, doc.Arch, doc.Go)
			if doc.Commit != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "commit %s of %s\n", doc.Commit, cmp.Or(doc.Date, "an unknown day"))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "on %s, kernel %s\n", cmp.Or(doc.Model, doc.Machine), doc.Kernel)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// aboutVersion joins what the linker was told, the commit and its moment in Unix
// seconds, with what the toolchain has noted.
func aboutVersion(info *debug.BuildInfo, commit, built string) versionDocument {
	facts := board.ReadFacts()
	doc := versionDocument{
		Version: version, Commit: commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Modules: []moduleVersion{},
		Kernel: facts.Kernel, Machine: facts.Machine, Model: facts.Model, Hostname: facts.Hostname,
	}
	if seconds, err := strconv.ParseInt(built, 10, 64); err == nil {
		doc.Date = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	for _, s := range info.Settings { // of a plain go build
		switch s.Key {
		case "vcs.revision":
			doc.Commit = cmp.Or(doc.Commit, s.Value)
		case "vcs.time":
			doc.Date = cmp.Or(doc.Date, s.Value)
		}
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		doc.Modules = append(doc.Modules, moduleVersion{m.Path, m.Version, m.Sum})
	}
	return doc
}
