package config

import (
	"cmp"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/edgehold/edgehold/probes"
)

// document is what the files may hold, key by key.
type document struct {
	Site          string                `yaml:"site"`
	SiteDimension bool                  `yaml:"site_dimension"`
	Dimensions    map[string]string     `yaml:"dimensions"`
	StateDir      string                `yaml:"state_dir"`
	Socket        string                `yaml:"socket"`
	Uplink        uplink                `yaml:"uplink"`
	Relay         relay                 `yaml:"relay"`
	Clock         Clock                 `yaml:"clock"`
	Buffer        Buffer                `yaml:"buffer"`
	Trust         Trust                 `yaml:"trust"`
	Credentials   map[string]credential `yaml:"credentials"`
	Extensions    []Extension           `yaml:"extensions"`
	Probes        []*node               `yaml:"probes"`
	Profiles      string                `yaml:"profiles"`
	MIBs          string                `yaml:"mibs"`
	Discovery     Discovery             `yaml:"discovery"`
	PrivacyFile   string                `yaml:"privacy_file"`
	Outputs       Outputs               `yaml:"outputs"`
	Polling       Polling               `yaml:"polling"`
	Log           Log                   `yaml:"log"`
}

type uplink struct {
	Dynatrace *environment `yaml:"dynatrace"`
	OTLP      *Endpoint    `yaml:"otlp"`
	MQTT      *MQTT        `yaml:"mqtt"`
	Profile   string       `yaml:"profile"`
	Budget    Budget       `yaml:"budget"`
}

// environment is the endpoint of Dynatrace, whose API takes one scheme of token.
type environment struct {
	URL             string `yaml:"url"`
	TokenFile       string `yaml:"token_file"`
	TokenCredential string `yaml:"token_credential"`
	TokenEnv        string `yaml:"token_env"`
	Proxy           string `yaml:"proxy"`
	CAFile          string `yaml:"ca_file"`
	Compression     string `yaml:"compression"`
	Resolution      string `yaml:"resolution"`
}

func (e *environment) endpoint() *Endpoint {
	if e == nil {
		return nil
	}
	return &Endpoint{
		URL: e.URL, TokenFile: e.TokenFile, TokenCredential: e.TokenCredential, TokenEnv: e.TokenEnv,
		Proxy: e.Proxy, CAFile: e.CAFile, Compression: e.Compression, Resolution: e.Resolution,
	}
}

func newDocument() *document {
	d := Default()
	return &document{
		SiteDimension: d.SiteDimension, StateDir: d.StateDir, Socket: d.Socket,
		Buffer: d.Buffer, Trust: d.Trust, Discovery: d.Discovery, Outputs: d.Outputs, Polling: d.Polling, Log: d.Log,
	}
}

// Load reads the file at path and config.d/*.yaml beside it, merges them (maps
// key by key, lists one after the other) and checks everything but the token
// and the packages, which are read where they are used. An error is always an
// Errors with all faults in the order of the files.
func Load(path string, kinds []probes.Kind) (*Config, []Warning, error) {
	cfg, warnings, err := Examine(path, kinds)
	if err != nil {
		return nil, warnings, err
	}
	return cfg, warnings, nil
}

// Examine is Load for a reader that goes on in spite of errors, to find what
// else is wrong: beside an error it gives what was sound, for nothing but
// further checks. Without anything sound the Config is nil.
func Examine(path string, kinds []probes.Kind) (*Config, []Warning, error) {
	set, errs := readFiles(path)
	if len(set.sources) == 0 {
		return nil, nil, Errors(errs)
	}
	root, broken, faults := set.tree()
	c := checker{path: path, base: folderOf(path), root: root, kinds: kinds, warnings: set.warnings}
	for _, e := range append(errs, faults...) {
		c.add(e)
	}
	doc := newDocument()
	c.decode(root, "", reflect.ValueOf(doc).Elem())
	var cfg *Config
	if !broken {
		cfg = c.check(doc)
		set.sources = append(set.sources, c.also...)
	}
	if len(c.errs) > 0 {
		sortErrors(c.errs, set.names())
		return cfg, c.warnings, Errors(c.errs)
	}
	cfg.Hash = set.hash()
	return cfg, c.warnings, nil
}

// SocketOf is the control socket that the configuration at path names, or the
// default one where the file cannot tell. Errors elsewhere in it do not matter.
func SocketOf(path string) string {
	return cmp.Or(placeOf(path, "socket"), brokenSocket(path), defaultSocket)
}

var socketLine = regexp.MustCompile(`(?m)^socket:[ \t]+["']?([^][{}"'#\s]+)`)

// brokenSocket is the socket in files that are no good YAML: who made the
// error is to hear of it from the running agent.
func brokenSocket(path string) string {
	set, _ := readFiles(path)
	for _, src := range set.sources {
		if m := socketLine.FindSubmatch(src.data); m != nil {
			return absolute(folderOf(path), string(m[1]))
		}
	}
	return ""
}

// folderOf is the folder against which relative paths of a file are read.
func folderOf(path string) string {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return filepath.Dir(path)
	}
	return folder
}

func absolute(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}
