package config

import (
	"bufio"
	"bytes"
	"regexp"
	"strings"
)

// choices are the values of keys that take only some. Where a file may leave
// the key out, the first is what it means then.
var choices = map[string][]string{
	"codec":        {"packed", "text"},
	"compression":  {"gzip", "none"},
	"format":       {"text", "json"},
	"identity":     {"address", "site"},
	"late":         {"archive", "logs", "drop"},
	"level":        {"debug", "info", "warn", "error"},
	"profile":      {"default", "lte"}, // of the uplink
	"resolution":   {"1m", "full"},
	"token_scheme": {"Bearer", "Api-Token"},
}

// Lines of the reference: a key, which may be commented out or begin an entry of
// a list, with words behind it; and words before a key.
var (
	referenceKey  = regexp.MustCompile(`^( *)(- )?#?([a-z0-9_-]+):(?: .*?)??(?: +# (.*))?$`)
	referenceText = regexp.MustCompile(`^( *)(?:- )?#(?: (.*))?$`)
)

// named are the maps whose keys are names.
var named = map[string]bool{"credentials": true, "trust.categories": true, "dimensions": true}

// referenceWords are what the reference says of each key, by path.
func referenceWords() map[string]string {
	words := map[string]string{}
	var above []step
	var pending []string
	lines := bufio.NewScanner(bytes.NewReader(Reference))
	for lines.Scan() {
		line := lines.Text()
		key := referenceKey.FindStringSubmatch(line)
		if key == nil {
			text := referenceText.FindStringSubmatch(line)
			if text == nil {
				pending = nil // an empty line ends what belongs together
				continue
			}
			pending = append(pending, text[2])
			continue
		}
		indent := len(key[1]) + len(key[2])
		for len(above) > 0 && above[len(above)-1].indent >= indent {
			above = above[:len(above)-1]
		}
		path := pathBelow(above, key[3])
		above = append(above, step{indent, path})
		if text := prose(append(pending, key[4])); text != "" && words[path] == "" {
			words[path] = text
		}
		pending = nil
	}
	return words
}

// step is a key on the way to another one.
type step struct {
	indent int
	path   string
}

func pathBelow(above []step, key string) string {
	if len(above) == 0 {
		return key
	}
	parent := above[len(above)-1].path
	if named[parent] {
		key = "*"
	}
	return parent + "." + key
}

// prose joins lines to paragraphs. What is set in stands alone.
func prose(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		switch {
		case b.Len() == 0:
		case l == "" || strings.HasPrefix(l, "  "):
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(strings.TrimRight(l, " "))
	}
	return strings.TrimSpace(b.String())
}
