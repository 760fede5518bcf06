package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/edgehold/edgehold/probes"
)

// checker turns a decoded document into a Config and collects what is wrong.
type checker struct {
	decoder
	path     string
	base     string
	root     *node
	kinds    []probes.Kind
	warnings []Warning
	also     []source // more files, which the configuration names and takes in
}

// locate is the node that a path of keys leads to, or the last one on the way
// that exists.
func (c *checker) locate(keys []string) (at *node, found bool) {
	at = c.root
	for _, key := range keys {
		if i, err := strconv.Atoi(strings.Trim(key, "[]")); err == nil && strings.HasPrefix(key, "[") && i < len(at.items) {
			at = at.items[i]
			continue
		}
		f := at.get(key)
		if f == nil || f.value.shape == empty {
			if f != nil {
				at = f.at
			}
			return at, false
		}
		at = f.value
	}
	return at, true
}

func pathOf(keys []string) string {
	path := ""
	for _, key := range keys {
		if strings.HasPrefix(key, "[") {
			path += key
			continue
		}
		path = join(path, key)
	}
	return path
}

// fault reports e at the field that keys lead to, unless that field, or one
// around it, is known to be wrong already, or stands there misspelt.
func (c *checker) fault(e Error, keys ...string) {
	path := pathOf(keys)
	for around := path; around != ""; around = parentOf(around) {
		if c.bad[around] {
			return
		}
	}
	at, _ := c.locate(keys)
	c.fail(at, path, e)
}

func (c *checker) warn(text string, keys ...string) {
	at, _ := c.locate(keys)
	c.warnings = append(c.warnings, Warning{Where: at.where(), Path: pathOf(keys), Text: text})
}

func (c *checker) given(keys ...string) bool {
	_, found := c.locate(keys)
	return found
}

// need reports a key that is not there.
func (c *checker) need(example string, keys ...string) {
	if !c.given(keys...) {
		c.fault(Error{Found: "missing", Mend: "write e.g. " + example}, keys...)
	}
}

func (c *checker) check(doc *document) *Config {
	if c.root.shape == empty {
		c.fail(c.root, "", Error{Found: "nothing is configured yet", Mend: "run `sudo edgehold init`, or write at least `site:` and `uplink:`"})
		return nil
	}
	cfg := &Config{
		Path: c.path, Site: doc.Site, SiteDimension: doc.SiteDimension,
		StateDir: c.file(doc.StateDir, "state_dir"), Socket: c.file(doc.Socket, "socket"),
		Buffer: doc.Buffer, Polling: doc.Polling, Log: doc.Log,
	}
	cfg.Dimensions = c.dimensions(doc)
	cfg.Uplink = c.uplink(doc.Uplink, doc.Site)
	cfg.Relay = c.relay(doc.Relay)
	cfg.Clock = c.clock(doc.Clock)
	cfg.Trust = c.trust(doc.Trust)
	cfg.Credentials = c.credentials(doc.Credentials)
	cfg.Discovery = c.discovery(doc.Discovery, forSNMP(cfg.Credentials))
	cfg.Extensions = c.extensions(doc.Extensions)
	cfg.Probes = c.probes(doc.Probes)
	cfg.Profiles = c.file(doc.Profiles, "profiles")
	cfg.MIBs = c.file(doc.MIBs, "mibs")
	cfg.Privacy = c.privacy(doc.PrivacyFile)
	cfg.Outputs = c.outputs(doc.Outputs)
	c.ranges(cfg)
	return cfg
}

// file makes a path absolute; relative ones start at the folder of the
// configuration.
func (c *checker) file(path string, keys ...string) string {
	if path == "" {
		if c.given(keys...) {
			c.fault(Error{Found: "is empty", Expected: "a path", Mend: "remove the key or write a path"}, keys...)
		}
		return ""
	}
	if strings.ContainsFunc(path, unicode.IsControl) {
		c.fault(Error{Found: "holds control characters", Expected: "a path"}, keys...)
	}
	return absolute(c.base, path)
}

// Limits of the metric ingestion protocol.
const (
	maxDimensionKey   = 100
	maxDimensionValue = 250
)

var dimensionKey = regexp.MustCompile(`^[a-z_][a-z0-9_.:-]*$`)

func (c *checker) dimensions(doc *document) []probes.Dimension {
	c.need("site: plant-7", "site")
	if c.given("site") {
		c.dimensionValue(doc.Site, "site")
	}
	var dims []probes.Dimension
	if doc.SiteDimension {
		dims = append(dims, probes.Dimension{Key: "site", Value: doc.Site})
	}
	for _, key := range slices.Sorted(maps.Keys(doc.Dimensions)) {
		switch {
		case !dimensionKey.MatchString(key) || len(key) > maxDimensionKey:
			c.fault(Error{
				Found:    "not a dimension key",
				Expected: "at most 100 of a-z, 0-9 and _ . : -, beginning with a letter",
				Mend:     "write it in lower case without blanks",
			}, "dimensions", key)
		case key == "site" && doc.SiteDimension:
			c.fault(Error{Found: "given twice: the key site at the top makes this dimension", Mend: "remove it here, or write site_dimension: false"}, "dimensions", key)
		default:
			c.dimensionValue(doc.Dimensions[key], "dimensions", key)
			dims = append(dims, probes.Dimension{Key: key, Value: doc.Dimensions[key]})
		}
	}
	slices.SortStableFunc(dims, func(a, b probes.Dimension) int { return strings.Compare(a.Key, b.Key) })
	return dims
}

func (c *checker) dimensionValue(value string, keys ...string) {
	printable := !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) })
	switch {
	case value == "":
		c.fault(Error{Found: "is empty", Expected: aText, Mend: "remove the key or write a text"}, keys...)
	case len([]rune(value)) > maxDimensionValue:
		c.fault(Error{Found: fmt.Sprintf("is longer than %d characters", maxDimensionValue), Mend: "shorten it"}, keys...)
	case !printable || strings.TrimSpace(value) != value:
		c.fault(Error{Found: "holds control characters, or blanks at its ends", Mend: "remove them"}, keys...)
	}
}

func (c *checker) extensions(entries []Extension) []Extension {
	var sound []Extension
	for i := range entries {
		e, at := &entries[i], fmt.Sprintf("[%d]", i)
		before := len(c.errs)
		here, _ := c.locate([]string{"extensions", at})
		e.Where = here.where()
		c.need("package: /etc/edgehold/extensions/generic.zip", "extensions", at, "package")
		c.need("configuration: /etc/edgehold/extensions/generic.json", "extensions", at, "configuration")
		if name, version, ok := installed(e.Package); ok && !exists(absolute(c.base, e.Package)) {
			e.Name, e.Version = name, version
		} else {
			e.Package = c.file(e.Package, "extensions", at, "package")
		}
		e.Configuration = c.file(e.Configuration, "extensions", at, "configuration")
		if c.given("extensions", at, "interval") {
			c.interval(e.Interval, "extensions", at, "interval")
		}
		if e.Identity != "" || c.given("extensions", at, "identity") {
			c.word(e.Identity, choices["identity"], "extensions", at, "identity")
		}
		if len(c.errs) == before && e.Package != "" && e.Configuration != "" {
			sound = append(sound, *e)
		}
	}
	return sound
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// serverName is a host or address, with a port or without one.
var serverName = regexp.MustCompile(`^(\[[0-9A-Fa-f:.%a-z0-9]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$|^[0-9A-Fa-f:.]+$`)

// isPort takes nothing, or a colon and a port.
func isPort(text string) bool {
	if text == "" {
		return true
	}
	n, err := strconv.ParseUint(text[1:], 10, 16)
	return err == nil && n > 0
}

func (c *checker) clock(doc Clock) Clock {
	for i, name := range doc.NTP {
		port := serverName.FindStringSubmatch(name)
		if port == nil || !isPort(port[2]) {
			c.fault(Error{Found: "not the name or address of a server", Expected: "one such as ntp.example.com or 192.0.2.1:123"}, "clock", "ntp", fmt.Sprintf("[%d]", i))
		}
	}
	return doc
}

func (c *checker) interval(d probes.Duration, keys ...string) {
	if d.Std() < time.Second || d.Std() > 7*24*time.Hour {
		c.fault(Error{Found: "found " + d.String(), Expected: "1s to 7d"}, keys...)
	}
}

// ranges holds numbers and words against what they may be.
func (c *checker) ranges(cfg *Config) {
	if cfg.Buffer.MaxSize < 1<<20 {
		c.fault(Error{Found: "found " + cfg.Buffer.MaxSize.String(), Expected: "1MiB or more"}, "buffer", "max_size")
	}
	if d := cfg.Buffer.CommitInterval.Std(); d < 0 || d > 10*time.Minute {
		c.fault(Error{Found: "found " + d.String(), Expected: "0 (commit every batch) to 10m"}, "buffer", "commit_interval")
	}
	c.word(cfg.Buffer.Late, choices["late"], "buffer", "late")
	if d := cfg.Buffer.LateResolution.Std(); d != time.Minute && d != 5*time.Minute && d != time.Hour {
		c.fault(Error{Found: "found " + d.String(), Expected: "one of 1m, 5m, 1h"}, "buffer", "late_resolution")
	}
	if n := cfg.Polling.MaxInFlight; n < 1 || n > 4096 {
		c.fault(Error{Found: fmt.Sprintf("found %d", n), Expected: "1 to 4096"}, "polling", "max_in_flight")
	}
	c.word(cfg.Log.Level, choices["level"], "log", "level")
	if cfg.Log.Format != "" || c.given("log", "format") {
		c.word(cfg.Log.Format, choices["format"], "log", "format")
	}
	if n := len(cfg.Socket); n > maxSocket {
		c.fault(Error{
			Found: fmt.Sprintf("the path of the socket is %d bytes long", n), Expected: fmt.Sprintf("at most %d", maxSocket),
			Mend: "choose a shorter one such as " + defaultSocket,
		}, "socket")
	}
}

// maxSocket is the room of a path in a unix socket address, less its last NUL.
const maxSocket = 107

func (c *checker) word(value string, words []string, keys ...string) {
	if slices.Contains(words, value) {
		return
	}
	at, found := c.locate(keys)
	e := Error{Found: "found nothing", Expected: "one of " + strings.Join(words, ", "), Nearest: nearest(value, words)}
	if found {
		e.Found = "found " + describe(at, pathOf(keys), false)
	}
	c.fault(e, keys...)
}
