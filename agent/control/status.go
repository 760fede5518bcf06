package control

import (
	"encoding/json"
	"time"
)

// Status is the document of GET /v1/status. Its keys are stable.
type Status struct {
	Version          string          `json:"version"`
	Site             string          `json:"site"`
	Started          time.Time       `json:"started"`
	UptimeS          int64           `json:"uptime_s"`
	Config           ConfigState     `json:"config"`
	Alarms           []string        `json:"alarms"` // what a person should look at now
	UnsignedPackages []string        `json:"unsigned_packages"`
	Trust            Trust           `json:"trust"`
	Packages         []Package       `json:"packages"`
	Polling          Polling         `json:"polling"`
	Devices          []Device        `json:"devices"`
	Configurations   []Configuration `json:"configurations"`
	Usage            []Usage         `json:"usage"` // by package, what took the most time first
	Buffer           Buffer          `json:"buffer"`
	Clock            Clock           `json:"clock"`
	Uplink           Uplink          `json:"uplink"`
	Account          Account         `json:"account"`
	Memory           Memory          `json:"memory"`
	Hub              *Hub            `json:"hub,omitempty"` // of a relay
}

// MarshalJSON writes empty lists as [], so that a reader never meets null.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	p := plain(s)
	p.Alarms = orEmpty(p.Alarms)
	p.UnsignedPackages = orEmpty(p.UnsignedPackages)
	p.Trust.Roots, p.Trust.Warnings = orEmpty(p.Trust.Roots), orEmpty(p.Trust.Warnings)
	p.Packages = orEmpty(p.Packages)
	p.Devices = orEmpty(p.Devices)
	p.Configurations = orEmpty(p.Configurations)
	p.Usage = orEmpty(p.Usage)
	return json.Marshal(p)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// ConfigState is the configuration that runs, and how the last reload ended.
type ConfigState struct {
	Path      string    `json:"path"`
	Hash      string    `json:"hash"` // SHA-256 over its files, in hex
	LoadedAt  time.Time `json:"loaded_at"`
	LastError string    `json:"last_error"` // of the last reload, "" when it was taken
}

// Configuration sums up the endpoints of one configuration entry.
type Configuration struct {
	Name      string     `json:"name"`
	Status    string     `json:"status"`
	OK        int        `json:"ok"` // endpoints, as the next three
	Warning   int        `json:"warning"`
	Error     int        `json:"error"`
	Pending   int        `json:"pending"` // nothing has come yet
	Message   string     `json:"message"`
	Warnings  []string   `json:"warnings,omitempty"` // the entry runs, but not all of it
	Sources   []string   `json:"data_sources,omitempty"`
	Unhealthy []Endpoint `json:"unhealthy"` // endpoints with a warning or an error
}

// Endpoint is one place that a configuration reads.
type Endpoint struct {
	Label   string `json:"endpoint"`
	Address string `json:"address"` // as in device.address
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Usage is what one package has cost since the start: of entries under
// `probes`, each is one.
type Usage struct {
	Package string  `json:"package"`
	Devices int     `json:"devices"`
	Polls   uint64  `json:"polls"`
	Points  uint64  `json:"points"`
	Series  int     `json:"series"`   // with a point in the last polls
	TimeS   float64 `json:"time_s"`   // of its polls, added up
	WaitedS float64 `json:"waited_s"` // for a slot, added up
	Slots   int     `json:"slots"`    // that it holds now
}

// Buffer is the state of the store.
type Buffer struct {
	Path              string    `json:"path"`
	MaxBytes          int64     `json:"max_bytes"`
	FileBytes         int64     `json:"file_bytes"`
	UsedBytes         int64     `json:"used_bytes"`
	Series            int       `json:"series"`
	Oldest            time.Time `json:"oldest,omitzero"` // of the points that wait to be sent
	BacklogAgeS       float64   `json:"backlog_age_s"`
	Ages              []AgeBand `json:"ages"`               // of the points that wait to be sent
	PendingPoints     int       `json:"pending_points"`     // in memory, not yet accepted
	DroppedUnaccepted int64     `json:"dropped_unaccepted"` // from memory, before they were accepted
	Refused           int64     `json:"refused"`            // points that no store takes
	Alarm             string    `json:"alarm"`              // "" when healthy
	Warnings          []string  `json:"warnings,omitempty"` // what makes the file less safe than it should be
	Salvage           *Salvage  `json:"salvage,omitempty"`  // of the file that was found damaged last
}

// AgeBand is how many points wait that are younger than Upto and older than
// the band before it.
type AgeBand struct {
	Upto   string `json:"upto"` // 2m, 1h, 24h, more
	Points int64  `json:"points"`
}

// Salvage tells what became of a store's file that was found damaged: it is
// set aside under the name File, and what it still holds is saved.
type Salvage struct {
	File        string    `json:"file,omitempty"` // "" once all was saved and it is deleted
	At          time.Time `json:"at"`
	Cause       string    `json:"cause"`
	PointsSaved int64     `json:"points_saved"`
	PointsLost  int64     `json:"points_lost"`
	MoreLost    bool      `json:"more_may_be_lost"` // its newest account cannot be read
	Done        bool      `json:"done"`
}

// Clock is what the agent knows of the time. While it is not trusted points are
// kept, and nothing is sent.
type Clock struct {
	Trusted   bool      `json:"trusted"`
	Source    string    `json:"source"` // who told: kernel, ntp, environment; "" while not trusted
	Since     time.Time `json:"since,omitzero"`
	Time      time.Time `json:"time"`         // the best guess
	ErrorS    float64   `json:"error_s"`      // how far it may be off
	SystemOff float64   `json:"system_off_s"` // how far this machine's clock is ahead of it
	Steps     int64     `json:"steps"`        // jumps of this machine's clock
	Warnings  []string  `json:"warnings,omitempty"`
}

// Lane counts what one lane of the uplink has carried.
type Lane struct {
	Lane    string `json:"lane"` // live, events, window, logs, late
	Posts   int64  `json:"posts"`
	Lines   int64  `json:"lines"`  // accepted
	Points  int64  `json:"points"` // in those lines
	Refused int64  `json:"refused"`
	Wire    int64  `json:"bytes_wire"`
}

// Cargo is how one endpoint of the uplink fares. One that holds, for want of a
// scope of the token say, holds none of the others.
type Cargo struct {
	Cargo       string    `json:"cargo"` // metrics, events, logs
	State       string    `json:"state"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"`
}

// Budget is what the uplink may use beside its live points, in bytes on the
// wire, and what it has used, live points included. 0 bounds nothing.
type Budget struct {
	Share    float64   `json:"share"`
	Rate     int64     `json:"rate_bytes_per_s"`
	Daily    int64     `json:"daily"`
	Monthly  int64     `json:"monthly"`
	Today    int64     `json:"used_today"`
	Month    int64     `json:"used_this_month"`
	Spent    string    `json:"spent"` // "day" or "month": that allowance is used up, only live points leave
	ResetsAt time.Time `json:"resets_at,omitzero"`
}

// Late counts what became of late points of one class of age.
type Late struct {
	Upto    string `json:"upto"`
	Logged  int64  `json:"logged"`
	Dropped int64  `json:"dropped"`
	Refused int64  `json:"refused"`
}

// Uplink is the state of the drain. Counts are since the start of the agent.
type Uplink struct {
	Kind           string    `json:"kind"` // dynatrace, otlp, mqtt
	URL            string    `json:"url"`
	State          string    `json:"state"`
	Since          time.Time `json:"since,omitzero"`
	LastSuccess    time.Time `json:"last_success,omitzero"`
	LastError      string    `json:"last_error"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
	NextTry        time.Time `json:"next_try,omitzero"`
	Posts          int64     `json:"posts"`
	LinesAccepted  int64     `json:"lines_accepted"`
	LinesRefused   int64     `json:"lines_refused"`
	LinesUnnamed   int64     `json:"lines_unnamed"`   // refused without a word on which, counted as accepted
	AmbiguousPosts int64     `json:"ambiguous_posts"` // whose answer was lost
	ThrottledPosts int64     `json:"throttled_posts"`
	BytesText      int64     `json:"bytes_text"`
	BytesSent      int64     `json:"bytes_sent"` // the text, compressed
	BytesWire      int64     `json:"bytes_wire"` // both ways, with headers and TLS
	Lanes          []Lane    `json:"lanes"`
	Cargos         []Cargo   `json:"cargos"`
	Breaker        string    `json:"breaker"`
	Rate           float64   `json:"rate_bytes_per_s"` // of the link, measured; 0: not yet
	Batch          int       `json:"batch_bytes"`      // the most text of the next post
	Budget         Budget    `json:"budget"`
	SpreadUntil    time.Time `json:"spread_until,omitzero"` // the backlog waits until then, so that sites do not come all at once
	PointsPerDay   int64     `json:"points_per_day"`        // data points that the environment took in a day
	WholeDay       bool      `json:"points_per_day_full"`   // a day has passed since the start
	Late           []Late    `json:"late"`                  // what became of late points since the start
	Relay          *Relay    `json:"relay,omitempty"`       // of kind mqtt
}

// Relay is how an uplink over MQTT stands: what relays have taken over, and
// what of it they have not settled yet. Counts are since the start.
type Relay struct {
	Broker            string      `json:"broker"` // in use, or the next to be tried
	Connected         bool        `json:"connected"`
	Relays            []RelayInfo `json:"relays"`
	NoneSince         time.Time   `json:"none_since,omitzero"` // that no relay is online
	BlocksWaiting     int         `json:"blocks_waiting"`      // that are about to leave
	BlocksInFlight    int         `json:"blocks_in_flight"`    // that have left, without an answer yet
	BlocksDoubtful    int         `json:"blocks_doubtful"`     // of an earlier start, or long without an answer: relays are asked
	BlocksStored      int         `json:"blocks_stored"`       // that relays have on their disks
	PointsOutstanding int64       `json:"points_outstanding"`  // in the last three
	LastAck           time.Time   `json:"last_ack,omitzero"`
	Resends           int64       `json:"resends"`
	Duplicates        int64       `json:"duplicate_answers"`
	TwoRelays         int64       `json:"blocks_at_two_relays"` // may be delivered twice
	Adjusted          int64       `json:"points_adjusted"`      // whose fate at the relay does not fit the account here
	Rejected          int64       `json:"points_rejected"`      // that relays will never take: dead letters
	Malformed         int64       `json:"malformed_messages"`
	CertExpires       time.Time   `json:"cert_expires,omitzero"` // of the client certificate
}

// RelayInfo is one relay as it tells of itself.
type RelayInfo struct {
	ID           string `json:"id"`
	State        string `json:"state"` // online, draining, stopped, lost; "" while there is no connection
	Version      string `json:"version"`
	DeclaredLost bool   `json:"declared_lost,omitempty"`
	Slow         bool   `json:"slow,omitempty"` // it asks sites to wait
}

// Account says where every accepted point is: Accepted is the sum of all the
// others but LateArchived, LateLogged, LateDropped and LateElsewhere, which are the
// parts of Late, and DeadElsewhere, which is one of DeadLetter.
type Account struct {
	Accepted     int64 `json:"accepted"`
	Buffered     int64 `json:"buffered"`
	Delivered    int64 `json:"delivered"`
	Late         int64 `json:"late"`
	LateArchived int64 `json:"late_archived"`
	LateLogged   int64 `json:"late_logged"`
	LateDropped  int64 `json:"late_dropped"`
	DeadLetter   int64 `json:"dead_letter"`
	Evicted      int64 `json:"evicted"`
	Damaged      int64 `json:"damaged"`
	Purged       int64 `json:"purged"`
	// At the relay that took them over: parts of Late and of DeadLetter.
	LateElsewhere int64 `json:"late_elsewhere,omitempty"`
	DeadElsewhere int64 `json:"dead_letter_elsewhere,omitempty"`
}

// Memory is what the agent has of the machine's memory, in bytes.
type Memory struct {
	Resident  int64 `json:"resident"`
	Peak      int64 `json:"peak"`      // of Resident, since the start
	Anonymous int64 `json:"anonymous"` // of Resident: what is no page of a file
}
