// Package setup makes a first configuration: it reads what a person gives,
// tests it against the environment or the broker, writes the files, and starts
// the service. It asks nobody: that is the command's.
package setup

import (
	"net/netip"
	"strings"

	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/probes"
)

// The kinds of an uplink, as the configuration names them.
const (
	Dynatrace = "dynatrace"
	OTLP      = "otlp"
	MQTT      = "mqtt"
)

// Answers are what a configuration is written from.
type Answers struct {
	Site             string
	Uplink           Uplink
	Networks         []netip.Prefix // that were searched
	Credentials      []probes.Credential
	Devices          []discover.Device
	StateDir, Socket string // "": the defaults
}

// Uplink is where points are to go.
type Uplink struct {
	Kind  string
	URL   string        // of the environment, the receiver or the broker, normal
	Token probes.Secret // zero: none
	Proxy string        // URL; "": what the environment of the process says
	// Files as they were given: authorities to trust beside the system's, and
	// the certificate of the site. They are copied.
	CAFile, CertFile, KeyFile string
	User                      string // of a broker
	Password                  probes.Secret
}

// tokenScheme stands before the token of an OTLP receiver.
func (u Uplink) tokenScheme() string {
	if u.Kind == OTLP && !strings.HasSuffix(u.URL, "/api/v2/otlp") {
		return "Bearer"
	}
	return "Api-Token"
}

// Grade is how a test ended.
type Grade uint8

// The grades.
const (
	Good   Grade = iota
	Note         // it works, and should be looked at
	Failed       // points would not arrive
)

// Finding is what one test found. Nothing in it shows a secret.
type Finding struct {
	Grade Grade
	Text  string
	Mend  string // what to do, "" where there is nothing to be done
}

// AnyFailed tells whether points would not arrive.
func AnyFailed(all []Finding) bool {
	for _, f := range all {
		if f.Grade == Failed {
			return true
		}
	}
	return false
}
