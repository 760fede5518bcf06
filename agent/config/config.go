// Package config makes a checked Config of the YAML files a person wrote. It
// reads strictly, collects every error rather than the first, and says of each
// where it is, what was found, what is expected and what to write instead. It
// knows no kinds of probe; they are handed in.
package config

import (
	"math/bits"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Config is a checked configuration: every path is absolute and every value in
// its range.
type Config struct {
	Path          string // of the main file, as it was given
	Hash          string // SHA-256 over the content of all its files, in hex
	Site          string
	SiteDimension bool
	Dimensions    []probes.Dimension // constants of every line, the site among them, sorted by key
	StateDir      string
	Socket        string
	Uplink        Uplink
	Relay         Relay
	Clock         Clock
	Buffer        Buffer
	Trust         Trust
	Credentials   map[string]probes.Credential
	Extensions    []Extension
	Probes        []Probe
	Profiles      string // folder of the site's own SNMP profiles, "" for none
	MIBs          string // folder of the site's own MIB files, "" for none
	Discovery     Discovery
	Privacy       Privacy
	Outputs       Outputs
	Polling       Polling
	Log           Log
}

// Uplink is where points go, and at what cost.
type Uplink struct {
	Endpoint          // of dynatrace and otlp
	MQTT       MQTT   // of mqtt
	Kind       string // dynatrace, otlp or mqtt
	Budget     Budget
	TokenWhere string // file:line:column of the token's source
}

// Slot is how long the points are that leave: of several in it one is sent. 0:
// all are.
func (u *Uplink) Slot() time.Duration {
	if u.Resolution == "1m" {
		return time.Minute
	}
	return 0
}

// Endpoint is a Dynatrace environment, reached directly or through an
// ActiveGate, or a receiver of OTLP over HTTP.
type Endpoint struct {
	URL             string `yaml:"url"`              // nothing behind HOST or HOST/e/ID; of OTLP all before /v1/metrics
	TokenFile       string `yaml:"token_file"`       // exactly one of the three is set; with OTLP none may be
	TokenCredential string `yaml:"token_credential"` // a file in $CREDENTIALS_DIRECTORY
	TokenEnv        string `yaml:"token_env"`        // an environment variable
	TokenScheme     string `yaml:"token_scheme"`     // OTLP: Api-Token or Bearer
	Proxy           string `yaml:"proxy"`            // URL; empty: the environment's
	CAFile          string `yaml:"ca_file"`          // PEM; empty: the system's
	Compression     string `yaml:"compression"`      // gzip, none
	Resolution      string `yaml:"resolution"`       // 1m, full
}

// Clock says where the time comes from, beside the kernel and the environment.
type Clock struct {
	NTP []string `yaml:"ntp"` // hosts that are asked over SNTP
}

// Buffer is how much is held, and how safely.
type Buffer struct {
	MaxSize        probes.Size     `yaml:"max_size"`
	CommitInterval probes.Duration `yaml:"commit_interval"` // 0: every batch
	Late           string          `yaml:"late"`            // archive, logs, drop
	LateResolution probes.Duration `yaml:"late_resolution"` // of late points as log records
}

// Extension is one package with its monitoring configuration.
type Extension struct {
	Package       string          `yaml:"package"` // a path, or NAME or NAME@VERSION of an installed one
	Configuration string          `yaml:"configuration"`
	Interval      probes.Duration `yaml:"interval"` // 0: the package's own
	Identity      string          `yaml:"identity"` // address or site: what names a device; "": address
	Name          string          `yaml:"-"`        // of an installed package; "" where Package is a path
	Version       string          `yaml:"-"`        // with Name; "": the active one
	Where         string          `yaml:"-"`        // file:line:column of the entry
}

// Probe is one entry of `probes`; Options is what its kind gave, decoded and
// checked.
type Probe struct {
	Kind    string
	Options any
	Where   string // file:line:column of the entry
	Path    string // probes[0]
}

// Polling bounds what goes on at once.
type Polling struct {
	MaxInFlight int `yaml:"max_in_flight"` // devices
}

// Log is how much is logged and in which form.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json; empty: text on a terminal, json elsewhere
}

const defaultSocket = "/run/edgehold/control.sock"

// Default is a configuration with every default and nothing else.
func Default() *Config {
	c := &Config{
		SiteDimension: true,
		StateDir:      "/var/lib/edgehold",
		Socket:        defaultSocket,
		Buffer:        Buffer{MaxSize: 1 << 30, CommitInterval: probes.Duration(10 * time.Second), Late: "archive", LateResolution: probes.Duration(time.Minute)},
		Trust:         Trust{Roots: "/etc/edgehold/certificates"},
		Discovery:     Discovery{At: "03:00", PacketsPerSecond: 50},
		Outputs:       Outputs{Watchdog: Watchdog{Timeout: probes.Duration(30 * time.Second)}},
		Polling:       Polling{MaxInFlight: 64},
		Log:           Log{Level: "info"},
	}
	if bits.UintSize == 32 { // the store is mapped into the address space
		c.Buffer.MaxSize = 256 << 20
	}
	return c
}
