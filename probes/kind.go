package probes

import (
	"context"
	"net"
	"time"

	"github.com/rs/zerolog"
)

// Probe takes measurements when asked. Poll may return a batch and an error:
// the batch is what could be had. It returns when ctx ends.
type Probe interface {
	Poll(ctx context.Context) (Batch, error)
}

// Stateful is implemented by probes that carry something over a planned
// restart, such as counter baselines. Checkpoint gives it after the last poll,
// nil for nothing; Restore takes it before the first one. A probe checks for
// itself whether what it is given still holds.
type Stateful interface {
	Checkpoint() ([]byte, error)
	Restore(data []byte) error
}

// PollStats counts what one poll cost and what it could not give.
type PollStats struct {
	Requests int // datagrams sent, retries included
	Retries  int
	Timeouts int // tries that got no answer in time
	Varbinds int // that came back
	Strays   int // datagrams that were no answer to what was asked
	Gaps     int // counters that fell, so that no delta could be told

	Malformed int          // replies that could not be read to their end
	Reports   int          // SNMP v3 reports in place of an answer
	Elsewhere int          // answers that came from another address than the one asked
	Rows      int          // of tables
	Partial   []string     // what was not read to its end, and why, in short
	Tables    []TableStats // in the order in which they were read
}

// TableStats is what one table of a poll cost.
type TableStats struct {
	OID      string // of its entry
	Rows     int
	Requests int
	Took     time.Duration
}

// Lasting is implemented by probes whose batches bring a State: it takes the
// last one that was stored before the agent ended, in whatever way it did. It is
// called before the first poll, and before Restore.
type Lasting interface {
	Resume(state []byte) error
}

// Measured is implemented by probes that count: it gives the last poll's.
type Measured interface {
	PollStats() PollStats
}

// Described is implemented by probes that find out while they run how to poll
// what they poll: it names the profile, "" while that is not known.
type Described interface {
	Description() string
}

// FileOptions is implemented by options that name files. Relative paths start
// at the folder of the configuration, which absolute does.
type FileOptions interface {
	ResolveFiles(absolute func(path string) string)
}

// Source gives what arrives by itself. Run ends with ctx; cancelled is nil.
type Source interface {
	Run(ctx context.Context, emit func(Batch)) error
}

// SourceState is what is known of a source that runs.
type SourceState struct {
	Status   Status
	Message  string // of a status that is not OK
	Received uint64 // messages taken in since the start
	Dropped  uint64 // beside them: messages that were more than it could take
	Refused  uint64 // beside them: messages that were not for it, or not in order
	Last     Stamp  // when the last one arrived; zero: none did
}

// Watched is implemented by sources that know how they fare. A source without
// it is OK while its Run runs.
type Watched interface {
	Watch() SourceState
}

// Task is one thing to poll on a grid of its interval, or a source that runs
// until the task is removed; it has a Probe or a Source.
type Task struct {
	ID       string        // unique and stable over reloads; its hash spreads the starts
	Device   string        // at most one task of a device runs at a time, unless they have lanes
	Lane     string        // tasks of one lane take turns, a few lanes of a device and package run at a time; "": the device's
	Label    string        // for people, e.g. "192.0.2.10 snmp-generic-device"
	Config   string        // the configuration entry it belongs to, for the summary status
	Package  string        // whose tasks share polling slots with it; "": those of Config
	Interval time.Duration // at least one second; of a source not used
	Probe    Probe
	Source   Source
	Same     string // fingerprint of all settings; a reload keeps the task where it is equal
}

// Resolver finds a name for an address without ever making its caller wait:
// it answers from its cache, "" while it does not know.
type Resolver interface {
	NameOf(address string) string
}

// Deps is what a constructor is handed. It never reaches for these itself.
type Deps struct {
	Clock       Clock
	Log         zerolog.Logger
	Resolver    Resolver
	DNS         *net.Resolver // for names that are configured; nil: the system's
	Traffic     Traffic       // nil: nobody counts
	Memory      Memory        // what answers may hold in the whole process
	Credentials map[string]Credential
	Profiles    string // folder of the site's own profiles, "" for none
	Board       Board  // buses and pins of this machine; nil: it has none
	Sysfs       string // where the kernel shows its devices; "" is /sys
	Procfs      string // "" is /proc
	Subscribe   SubscribeFunc
	// Constants go on every series, before a dimension of the same key. The
	// agent adds them where they are missing; a probe that makes its series
	// with them saves the copy.
	Constants []Dimension
}

// Kind is one kind of probe: its name in the configuration, its options and
// its constructor.
type Kind struct {
	Name string
	// Options returns a pointer to a new options struct with its defaults set,
	// for strict decoding; it may implement Checker.
	Options func() any
	// New makes the tasks of one entry. It never touches the network.
	New func(options any, deps Deps) ([]Task, error)
	// Metrics describes the metrics that an entry of these options gives; nil:
	// nothing is told of them.
	Metrics func(options any) []Metadata
}

// Subscription names a broker, who asks it, and for which topics. Files are
// read anew for each connection.
type Subscription struct {
	Broker                    string // mqtt://, mqtts://, ws:// or wss://
	Plain                     bool   // without TLS also to other machines
	ClientID                  string
	User                      string
	Password                  *Credential // nil: none
	CAFile, CertFile, KeyFile string
	Filters                   []string // in the words of MQTT: a/+/b, a/#
}

// Message is what came on a topic. The payload is the receiver's.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// SubscribeFunc connects once and hands on messages in their order until ctx
// ends, which is nil, or the connection does. ready is called when the broker
// has granted all filters.
type SubscribeFunc func(ctx context.Context, s Subscription, ready func(), each func(Message)) error

// Checker is implemented by options that have rules of their own. The errors
// name the field ("devices: ...").
type Checker interface {
	Check() []error
}

// Credential is what a device is asked for before it answers: a community with
// SNMP v1 and v2c, a user with v3, whose security level follows from what is
// given, or a password or token of an endpoint, which is not for SNMP.
type Credential struct {
	Name      string
	Password  Secret      // of an endpoint; nothing else is given then
	Version   SNMPVersion // 0: not of SNMP
	Community Secret

	User     string // v3
	Auth     AuthProtocol
	AuthPass Secret
	Priv     PrivProtocol
	PrivPass Secret
	Context  string // contextName, "" for the default one
}

// SNMPVersion is a version of the protocol.
type SNMPVersion uint8

// The versions of SNMP that are spoken.
const (
	SNMPv1  SNMPVersion = 1
	SNMPv2c SNMPVersion = 2
	SNMPv3  SNMPVersion = 3
)

// AuthProtocol is how SNMP v3 messages are signed (RFC 3414, RFC 7860).
type AuthProtocol string

// The authentication protocols; "" is none.
const (
	AuthNone   AuthProtocol = ""
	AuthMD5    AuthProtocol = "MD5"
	AuthSHA    AuthProtocol = "SHA"
	AuthSHA224 AuthProtocol = "SHA224"
	AuthSHA256 AuthProtocol = "SHA256"
	AuthSHA384 AuthProtocol = "SHA384"
	AuthSHA512 AuthProtocol = "SHA512"
)

// PrivProtocol is how SNMP v3 messages are encrypted (RFC 3414, RFC 3826). The
// long AES keys come in two key extensions that no standard names: Blumenthal's
// and, with a C, Reeder's, which Cisco and others use.
type PrivProtocol string

// The privacy protocols; "" is none.
const (
	PrivNone    PrivProtocol = ""
	PrivDES     PrivProtocol = "DES"
	PrivAES     PrivProtocol = "AES"
	PrivAES192  PrivProtocol = "AES192"
	PrivAES256  PrivProtocol = "AES256"
	PrivAES192C PrivProtocol = "AES192C"
	PrivAES256C PrivProtocol = "AES256C"
)
