package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// secretWords mark keys whose values are secrets, or stand where people put
// secrets by mistake. No error prints such a value.
var secretWords = []string{hiddenKey, "token", "communit", "pass", "secret", "credent", "auth", "priv", "apikey", "api_key"}

// hiddenKey stands for a key that is not shown.
const hiddenKey = "(key)"

// ownWords are keys that hold a secret itself, so that they get their own mend.
var ownWords = []string{"token", "community", "communities", "password", "passphrase", "passwd", "secret", "apikey", "api_key", "api_token"}

// tokenShape is how access tokens of Dynatrace begin.
var tokenShape = regexp.MustCompile(`dt0[a-z]\d\d\.`)

var keyShape = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func soundsSecret(text string) bool {
	text = strings.ToLower(text)
	return tokenShape.MatchString(text) || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(text, w) })
}

// holdsSecret reports whether a key, by its name, holds a secret itself rather
// than says where it is.
func holdsSecret(key string) bool {
	key = strings.ReplaceAll(strings.ToLower(key), "-", "_")
	return slices.ContainsFunc(ownWords, func(w string) bool { return key == w || strings.HasSuffix(key, "_"+w) })
}

// join appends a key to the path of a field. A key that may be more than a
// name, as in {community:public}, is not shown.
func join(path, key string) string {
	if !keyShape.MatchString(key) || len(key) > 64 || tokenShape.MatchString(key) {
		key = hiddenKey
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// showable reports whether an error about the field at path may quote text.
func showable(path, text string) bool {
	if soundsSecret(path) || soundsSecret(text) {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

// nearest returns the known word that text was probably meant to be, or "".
func nearest(text string, known []string) string {
	best, found := 1+min(len(text), 16)/4, ""
	for _, k := range known {
		if d := distance(canonical(text), canonical(k)); d <= best && (found == "" || d < best) {
			best, found = d, k
		}
	}
	return found
}

func canonical(text string) string {
	return strings.ReplaceAll(strings.ToLower(text), "-", "_")
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that lead from a to b. Texts of very different length are far apart anyway.
func distance(a, b string) int {
	if gap := max(len(a)-len(b), len(b)-len(a)); gap > 4 {
		return gap
	}
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
