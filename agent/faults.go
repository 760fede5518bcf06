package agent

import (
	"regexp"
	"slices"
	"strings"
)

var (
	ownPlace  = regexp.MustCompile(`^\S+:\d+:\d+: `)
	fieldName = regexp.MustCompile(`^[a-z_]+(\[\d+\])?: `)
)

// entryFaults is what is wrong with an entry, a line for each fault.
type entryFaults struct {
	text string
	err  error
}

func (f entryFaults) Error() string { return f.text }
func (f entryFaults) Unwrap() error { return f.err }

// placed says each fault of an entry once and with the entry's place, and its path
// where it has one, unless the fault has a place in a file of its own.
func placed(where, path string, err error) error {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		switch {
		case ownPlace.MatchString(line):
		case path == "":
			line = where + ": " + line
		case fieldName.MatchString(line):
			line = where + ": " + path + "." + line
		default:
			line = where + ": " + path + ": " + line
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return entryFaults{strings.Join(lines, "\n"), err}
}
