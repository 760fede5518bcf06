package tenant

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/agent/extension"
)

// Runs says how much of a package runs on this agent.
type Runs string

// The answers, the best first.
const (
	RunsYes     Runs = "yes"
	RunsPartly  Runs = "partly"
	RunsNo      Runs = "no"
	RunsUnknown Runs = "unknown" // the environment did not tell enough
)

// Judgement is an answer with its reasons.
type Judgement struct {
	Runs Runs     `json:"runs_here"`
	Why  []string `json:"why"`
}

// JudgeSources judges by what the environment tells of a package: the data
// sources that it collects with.
func JudgeSources(sources []string) Judgement {
	if len(sources) == 0 {
		return Judgement{RunsNo, []string{"it names no data source, so that it collects nothing itself"}}
	}
	var good, bad []string
	for _, s := range sources {
		name := plain(s)
		if runs, reason := extension.DataSource(name); runs {
			good = append(good, name)
		} else {
			bad = append(bad, name+": "+reason)
		}
	}
	switch {
	case len(bad) == 0:
		return Judgement{RunsYes, []string{"its data source is " + strings.Join(good, ", ")}}
	case len(good) == 0:
		return Judgement{RunsNo, bad}
	}
	return Judgement{RunsPartly, bad}
}

// plain takes out of a word from outside what does not belong in a line.
func plain(word string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, word[:min(len(word), 60)])
}

// JudgePackage judges by the package's own content, and by what comes of it
// with each of the monitoring configurations; without one, with all of its
// feature sets.
func JudgePackage(fsys fs.FS, name string, configurations []extension.Configuration) Judgement {
	m, warnings, err := extension.ParseManifest(fsys, name)
	var foreign *extension.UnsupportedError
	switch {
	case errors.As(err, &foreign):
		return Judgement{RunsNo, []string{foreign.DataSource + ": " + foreign.Reason}}
	case err != nil:
		return Judgement{RunsNo, strings.Split(err.Error(), "\n")}
	}
	j := Judgement{Runs: RunsYes, Why: []string{}}
	j.lose(warnings)
	if len(configurations) == 0 {
		configurations = []extension.Configuration{{Name: name, FeatureSets: []string{"all"}}}
	} else {
		name = ""
	}
	mibs, _ := extension.PackageMIBs(fsys)
	for _, c := range configurations {
		c.Version = m.Version // which version it is for is told elsewhere
		p, warnings, err := extension.Compile(m, c, extension.CompileOptions{MIBs: mibs})
		j.lose(warnings)
		switch {
		case err != nil && name != "": // it is only that no variable has a value
		case err != nil:
			j.worse(RunsPartly, strings.Split(err.Error(), "\n")...)
		case p.Empty() && name != "":
			j.worse(RunsNo, "nothing of it can be collected")
		case p.Empty():
			j.worse(RunsPartly, "the configuration "+c.Name+" collects nothing")
		}
	}
	return j
}

// lose takes up the warnings that tell of something that will be missing.
func (j *Judgement) lose(warnings []extension.Warning) {
	for _, w := range warnings {
		for _, sign := range []string{"left out", "no filter", "rows are kept", "not supported", "nothing is collected", "no such", "has no feature set"} {
			if strings.Contains(w.Text, sign) {
				j.worse(RunsPartly, w.String())
				break
			}
		}
	}
}

// worse lowers the judgement, and adds reasons.
func (j *Judgement) worse(to Runs, why ...string) {
	if rank(to) > rank(j.Runs) {
		j.Runs = to
	}
	for _, w := range why {
		if !slices.Contains(j.Why, w) {
			j.Why = append(j.Why, w)
		}
	}
}

// With is the worse of two judgements, with the reasons of both where both have
// some against it.
func (j Judgement) With(other Judgement) Judgement {
	switch {
	case other.Runs == RunsYes:
		return j
	case j.Runs == RunsYes:
		return other
	}
	j.worse(other.Runs, other.Why...)
	return j
}

func rank(r Runs) int {
	return strings.Index(string(RunsYes+" "+RunsPartly+" "+RunsNo), string(r))
}
