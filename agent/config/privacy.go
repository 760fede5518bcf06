package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Privacy is what `privacy_file` says of dimensions that must not leave as they
// are. Without rules everything leaves as it is.
type Privacy struct {
	File  string // absolute, "" for none
	Rules []PrivacyRule
	Salt  probes.Secret // of the rules that hash; zero where none does
}

// PrivacyRule is one rule: dimensions, by a glob, and what becomes of them.
type PrivacyRule struct {
	Dimension string `yaml:"dimension"`
	Metric    string `yaml:"metric"` // a glob; "": all metrics, events and log records
	Action    string `yaml:"action"` // drop, hash
	Where     string `yaml:"-"`      // file:line:column of the rule
}

// privacyDocument is what the file may hold.
type privacyDocument struct {
	SaltFile string        `yaml:"salt_file"`
	Rules    []PrivacyRule `yaml:"rules"`
}

const (
	maxPrivacyRules = 200
	minSalt         = 16 // characters; less could be tried out
	saltMend        = "make one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE)"
)

// dimensionGlob and metricGlob are keys in which * and ? may stand. Sources may
// give keys in other letters than those that are sent.
var dimensionGlob = regexp.MustCompile(`^[A-Za-z0-9_.:*?-][A-Za-z0-9_.:*? /-]*$`)

// privacy reads the file that privacy_file names. Its errors name that file and
// its lines.
func (c *checker) privacy(path string) Privacy {
	file := c.file(path, "privacy_file")
	if file == "" {
		return Privacy{}
	}
	data, err := readRegular(file, maxFile)
	if err != nil {
		e := Error{Found: file + " cannot be read (" + reason(err) + ")", Mend: "let the agent's user read it"}
		if errors.Is(err, fs.ErrNotExist) {
			e = Error{Found: file + ": no such file", Mend: "write one with `rules: [{dimension: NAME, action: drop}]`, or remove the key"}
		}
		c.fault(e, "privacy_file")
		return Privacy{}
	}
	src := source{name: file, data: data}
	c.also = append(c.also, src)
	root, faults := src.parse()
	c.errs = append(c.errs, faults...)
	if root == nil {
		root = &node{file: file, line: 1, column: 1}
	}
	if len(faults) > 0 {
		return Privacy{}
	}
	own := &checker{path: file, base: folderOf(file), root: root}
	var doc privacyDocument
	own.decode(root, "", reflect.ValueOf(&doc).Elem())
	p := Privacy{File: file}
	if root.shape == table || root.shape == empty {
		p.Rules, p.Salt = own.privacyRules(doc.Rules), own.salt(doc)
		own.warnIdentity(p.Rules)
	}
	c.errs = append(c.errs, own.errs...)
	c.warnings = append(c.warnings, own.warnings...)
	return p
}

func (c *checker) privacyRules(rules []PrivacyRule) []PrivacyRule {
	c.need("rules: [{dimension: NAME, action: drop}]", "rules")
	if len(rules) > maxPrivacyRules {
		c.fault(Error{Found: fmt.Sprintf("%d rules", len(rules)), Expected: fmt.Sprintf("at most %d", maxPrivacyRules), Mend: "join some with *"}, "rules")
	}
	for i := range rules {
		r, at := &rules[i], fmt.Sprintf("[%d]", i)
		here, _ := c.locate([]string{"rules", at})
		r.Where = here.where()
		c.need(`dimension: "device.*"`, "rules", at, "dimension")
		c.need("action: hash", "rules", at, "action")
		c.glob(r.Dimension, "rules", at, "dimension")
		c.glob(r.Metric, "rules", at, "metric")
		if c.given("rules", at, "action") {
			c.word(r.Action, []string{"drop", "hash"}, "rules", at, "action")
		}
	}
	return rules
}

func (c *checker) glob(text string, keys ...string) {
	if c.given(keys...) && !dimensionGlob.MatchString(text) {
		c.fault(Error{
			Found: "not the name of a dimension or metric", Expected: "letters, digits and _ . : -, with * for any text and ? for one character",
		}, keys...)
	}
}

// salt reads the salt where a rule needs it. It is a secret: who has it can try
// out what a hash was made of.
func (c *checker) salt(doc privacyDocument) probes.Secret {
	hashes := slices.IndexFunc(doc.Rules, func(r PrivacyRule) bool { return r.Action == "hash" })
	file := c.file(doc.SaltFile, "salt_file")
	switch {
	case file == "" && hashes < 0:
		return probes.Secret{}
	case file == "":
		c.fault(Error{
			Found: "a hash needs a salt, and there is no `salt_file`",
			Mend:  "write `salt_file: FILE` at the top of this file; " + saltMend,
		}, "rules", fmt.Sprintf("[%d]", hashes), "action")
		return probes.Secret{}
	}
	salt, err := ReadSecretFile(file)
	switch {
	case err != nil:
		c.fault(Error{Found: err.Error(), Mend: saltMend}, "salt_file")
	case len(salt.Reveal()) < minSalt:
		c.fault(Error{Found: fmt.Sprintf("the salt is %d characters long", len(salt.Reveal())), Expected: fmt.Sprintf("at least %d", minSalt), Mend: saltMend}, "salt_file")
	}
	return salt
}

// warnIdentity tells of rules without which things could not be told apart.
func (c *checker) warnIdentity(rules []PrivacyRule) {
	for i, r := range rules {
		if r.Action != "drop" {
			continue
		}
		for _, id := range []struct{ key, loss string }{
			{"site", "two sites with the same private addresses share their series"},
			{"device.address", "devices with the same interfaces share their series"},
			{"device.port", "agents behind one address share their series"},
		} {
			if globMatch(r.Dimension, id.key) {
				c.warn(fmt.Sprintf("drops %s, without which %s, and their values are added up or averaged; `hash` keeps them apart", id.key, id.loss),
					"rules", fmt.Sprintf("[%d]", i), "dimension")
			}
		}
	}
}

// globMatch holds a key in lower case against a glob.
func globMatch(glob, key string) bool {
	pattern := regexp.QuoteMeta(strings.ToLower(glob))
	pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, `\*`, ".*"), `\?`, ".")
	ok, err := regexp.MatchString("^"+pattern+"$", key)
	return err == nil && ok
}
