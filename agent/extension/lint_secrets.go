package extension

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// secretFiles are names and endings of files that hold secrets and never belong
// into a package.
var secretFiles = []string{"secrets.json", ".key", ".p12", ".pfx", ".jks", ".keystore", ".token"}

// secretPatterns are forms of secrets that show themselves, wherever they stand.
var secretPatterns = []struct {
	what string
	form *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"a Dynatrace token", regexp.MustCompile(`dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}`)},
}

// secretKeys end the keys whose value is a secret.
var secretKeys = []string{"password", "passphrase", "passwd", "community", "communitystring", "secret", "apikey", "privatekey", "token"}

// assignment is a line of the older kinds of configuration files.
var assignment = regexp.MustCompile(`^[ \t]*([A-Za-z0-9_.-]+)[ \t]*[=:][ \t]*["']?([^"'\r\n]*)`)

const secretMend = "take it out of the package and change it; secrets belong into the monitoring configuration"

// secrets looks for secrets in all files of the package. Their values are never
// shown.
func (l *linter) secrets() {
	err := fs.WalkDir(l.files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		l.secretsOf(file)
		return nil
	})
	if err != nil {
		l.begin("", nil)
		l.warn(nil, ruleFile, "not all files can be looked at: "+err.Error(), "make the package readable")
	}
}

func (l *linter) secretsOf(file string) {
	data, err := readBounded(l.files, file)
	l.begin(file, data)
	base := strings.ToLower(path.Base(file))
	if slices.ContainsFunc(secretFiles, func(end string) bool { return strings.HasSuffix(base, end) }) {
		l.fail(nil, ruleSecret, "a file of this name holds secrets, and a package goes to many places", secretMend)
	}
	if err != nil {
		if file != manifestName { // said already
			l.warn(nil, ruleFile, "cannot be looked at: "+err.Error(), "leave it out, or make it smaller")
		}
		return
	}
	if !hasText(data) {
		return
	}
	l.secretForms(data)
	switch path.Ext(base) {
	case ".json":
		root, err := parseJSON(data, l.file)
		var broken *fault
		if errors.As(err, &broken) {
			l.warn(&node{line: broken.Line, col: broken.Column}, ruleFile, broken.Text, "correct the file, the environment refuses it")
		}
		l.secretFields(root)
	case ".yaml", ".yml":
		root, _ := parseYAML(data, l.file) // what is wrong with the manifest is said already
		l.secretFields(root)
	case ".properties", ".ini", ".conf", ".cfg", ".env":
		l.secretLines(data)
	}
}

// secretForms looks for what shows itself as a secret.
func (l *linter) secretForms(data []byte) {
	for _, p := range secretPatterns {
		for _, m := range p.form.FindAllIndex(data, maxSaid) {
			line, col := placeOf(data, m[0], isYAML(l.file))
			l.fail(&node{line: line, col: col}, ruleSecret, "holds "+p.what, secretMend)
		}
	}
}

// placeOf counts lines and columns up to an offset.
func placeOf(data []byte, offset int, yaml bool) (line, col int) {
	widths := lineWidths(data[:offset], yaml)
	return len(widths), widths[len(widths)-1] + 1
}

// secretFields looks at the keys of an object, and at variables whose id is
// like that of a secret.
func (l *linter) secretFields(n *node) {
	for _, item := range n.list() {
		l.secretFields(item)
	}
	for _, f := range n.mapping() {
		l.secretField(f.key, f.value)
		l.secretFields(f.value)
	}
	if id := n.field("id").plain(); id != "" {
		l.secretField(id, n.field("defaultValue"))
	}
}

func (l *linter) secretField(key string, v *node) {
	if v == nil || !isSecretKey(key) {
		return
	}
	if v.kind == kindMap { // the schema of a field: what it is filled with
		l.secretField(key, v.field("default"))
		l.secretField(key, v.field("defaultValue"))
		return
	}
	if text := v.scalar(); looksSecret(key, text) {
		l.fail(v, ruleSecret, "the field "+key+" holds a secret", secretMend)
	}
}

func (l *linter) secretLines(data []byte) {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		m := assignment.FindSubmatchIndex(text)
		if m == nil || !isSecretKey(string(text[m[2]:m[3]])) || !looksSecret(string(text[m[2]:m[3]]), string(text[m[4]:m[5]])) {
			continue
		}
		_, col := placeOf(text, m[4], false)
		l.fail(&node{line: line, col: col}, ruleSecret, "the field "+string(text[m[2]:m[3]])+" holds a secret", secretMend)
	}
}

func isSecretKey(key string) bool {
	words := strings.Join(keyWords(key), "")
	return slices.ContainsFunc(secretKeys, func(end string) bool { return strings.HasSuffix(words, end) })
}

// looksSecret tells a secret from the name of a place that holds one, and from
// words of a schema.
func looksSecret(key, text string) bool {
	text = strings.TrimSpace(text)
	head, _, sourced := strings.Cut(text, ":")
	switch {
	case text == "", placeholder.MatchString(text), masked.MatchString(text), strings.Trim(text, "*") == "":
		return false
	case strings.HasPrefix(text, "${"), strings.HasPrefix(text, "<"), sourced && slices.Contains([]string{"oid", "var", "this", "label", "metric"}, head):
		return false
	case slices.Contains([]string{"text", "string", "secret", "password", "true", "false", "null"}, strings.ToLower(text)):
		return false
	case strings.HasSuffix(strings.ToLower(key), "token"): // a word as often as a secret
		return len(text) >= 16 && !strings.ContainsAny(text, " \t")
	}
	return true
}
