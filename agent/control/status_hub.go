package control

import "time"

// Hub is what a relay tells beside what an agent does. Counts are since the
// start.
type Hub struct {
	ID         string      `json:"id"`
	State      string      `json:"state"` // online, draining, stopped
	Store      string      `json:"store"` // epoch of its store
	Brokers    []HubBroker `json:"brokers"`
	Sites      []HubSite   `json:"sites"`
	Blocks     HubBlocks   `json:"blocks"`
	Pressure   float64     `json:"pressure"` // of the store, 0..1: sites are slowed down above 0, at 1 nothing is taken
	SlowMS     int64       `json:"slow_ms"`  // how long sites are asked to wait
	Series     int         `json:"series"`   // known in memory
	DenyNumber int64       `json:"deny_number"`
	DenyError  string      `json:"deny_error"` // why the deny list is not published
	SetAside   string      `json:"set_aside,omitempty"`
}

// HubBroker is one of the brokers that a relay listens at.
type HubBroker struct {
	URL       string    `json:"url"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"` // of the connection, or of its loss
	LastError string    `json:"last_error"`
}

// HubBlocks counts blocks, and what else came.
type HubBlocks struct {
	Came       int64 `json:"came"`
	Probes     int64 `json:"probes"`
	Stored     int64 `json:"stored"`
	Duplicates int64 `json:"duplicates"` // stored before
	Done       int64 `json:"done"`       // settled before
	Rejected   int64 `json:"rejected"`
	Names      int64 `json:"names"` // to be sent again with all names
	Full       int64 `json:"full"`
	Garbled    int64 `json:"garbled"` // messages that are no blocks
	Unsent     int64 `json:"unsent"`  // answers that found no way
	Waiting    int64 `json:"waiting"` // for the disk, now
}

// HubSite is one site.
type HubSite struct {
	Site        string    `json:"site"`
	State       string    `json:"state"` // as it tells, or its broker in its name: online, draining, stopped, lost; "" unknown
	Silent      bool      `json:"silent"`
	LastSeen    time.Time `json:"last_seen,omitzero"`
	Version     string    `json:"version"`
	Config      string    `json:"config"`        // hash of its configuration
	Starts      uint64    `json:"starts"`        // of its agent
	Backlog     int64     `json:"backlog"`       // points that wait there
	BacklogAgeS float64   `json:"backlog_age_s"` // of the oldest of them
	Late        int64     `json:"late"`          // points that came too late there
	CertExpires time.Time `json:"cert_expires,omitzero"`
	Broker      string    `json:"broker"` // where it was heard last
	Fault       string    `json:"fault"`  // of its last block that was not taken
	Blocks      int64     `json:"blocks"` // that are here
	Bytes       int64     `json:"bytes"`
	Oldest      time.Time `json:"oldest,omitzero"` // point that waits here
	Pressure    float64   `json:"pressure"`        // of its quota
	Account     Account   `json:"account"`         // of what it has sent here
}
