package custody

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// Mode is what becomes of points that the window has passed.
type Mode uint8

// The modes. With Archive late points are kept until the room is wanted, and
// the site hears of them at once; with Logs they are offered with Query.Late,
// and the site hears of them once they are settled; with Drop they are given up.
const (
	Archive Mode = iota
	Logs
	Drop
)

// Kinds of blocks; they have the numbers of the wire. Points have Window,
// others EntryWindow.
const KindPoints = 1

// Block is what a site has sent.
type Block struct {
	Site       string
	Epoch, Seq uint64 // Seq counts from 1 in the epoch
	Kind, Lane uint8
	Points     int   // or events, or log records; at least one
	First      int64 // Unix milliseconds of the oldest point
	Last       int64 // and of the newest
	Data       []byte
	// Names is what the block brings of names for its epoch, nil for none. It is
	// kept apart, as it is, for all blocks of (Site, Epoch).
	Names []byte
	// Relies is how many Names of the epoch, in the order of NamesOf, the block
	// needs to be read. If the store has fewer the result is NamesMissing.
	Relies int
}

// Status says how the store stands to a block.
type Status uint8

// The statuses. Stored, Duplicate and Done are given when that is durable.
const (
	Unknown      Status = iota // of Lookup: not here, or to be sent again
	Stored                     // now on the disk
	Duplicate                  // it was on the disk before, and has open points
	Done                       // settled before, with Counts
	Full                       // not taken now: quota, reserve, or a disk that takes nothing
	NamesMissing               // not taken: send it again with all names
)

// String names a status as messages do.
func (s Status) String() string {
	names := [...]string{"unknown", "stored", "duplicate", "done", "full", "names"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// Counts are the points of a block by what became of them.
type Counts struct {
	Delivered, DeadLetter, LateArchived, LateLogged, LateDropped, Evicted, Damaged, Purged int64
}

// Sum is the number of all points.
func (c Counts) Sum() int64 {
	return c.Delivered + c.DeadLetter + c.LateArchived + c.LateLogged + c.LateDropped + c.Evicted + c.Damaged + c.Purged
}

// Plain reports that nothing but delivery is counted.
func (c Counts) Plain() bool { return c.Sum() == c.Delivered }

// Result of Put and Lookup. Counts are for Done; all zero means that every
// point was delivered.
type Result struct {
	Status Status
	Counts Counts
}

// DoneBlock is a block that is settled for its site. Counts sum up to its points.
type DoneBlock struct {
	Site       string
	Epoch, Seq uint64
	Counts     Counts
}

// Query chooses among open blocks. All its fields count. Late ones are apart
// from others.
type Query struct {
	Kind, Lane uint8
	Late       bool
}

// Info is an open block. Numbers rise in the order in which blocks came and
// are never used again, also across a change of the store's epoch in one run.
type Info struct {
	Number     uint64
	Site       string
	Epoch, Seq uint64
	Kind, Lane uint8
	Late       bool
	Points     int
	Open       int   // points that are not settled
	First      int64 // Unix milliseconds
	Last       int64
	Bytes      int
	Received   time.Time
}

// Span is positions From..To-1 of points in a block.
type Span struct{ From, To int }

// Part is what became of the points From..To-1 of a block. Letter is for
// Refused: the line and the reason, of all these points together.
type Part struct {
	From, To int
	Outcome  buffer.Outcome
	Letter   *buffer.Letter
}

// Letter is a dead letter of a site, for so many points.
type Letter struct {
	buffer.Letter
	Site   string `json:"site"`
	Points int64  `json:"points"`
}

// SiteAccount is how the store stands with one site. Blocks and Bytes count
// what is in the file, archive included.
type SiteAccount struct {
	Site         string         `json:"site"`
	Account      buffer.Account `json:"account"`
	Blocks       int64          `json:"blocks"`
	Bytes        int64          `json:"bytes"` // of blocks, as they count of the quota, of names, and what is remembered of those that are gone
	Oldest       time.Time      `json:"oldest,omitzero"`
	LastReceived time.Time      `json:"last_received,omitzero"`
	Pressure     float64        `json:"pressure"` // 0..1; at 1 its blocks are refused
}

// Stat is how the store is doing. Sizes are in bytes.
type Stat struct {
	FileBytes  int64     `json:"file_bytes"`
	UsedBytes  int64     `json:"used_bytes"` // pages in use; the rest of the file is free
	MaxBytes   int64     `json:"max_bytes"`
	DiskFree   int64     `json:"disk_free"` // beside the file
	Sites      int       `json:"sites"`
	Blocks     int64     `json:"blocks"` // with open points, late ones included
	Oldest     time.Time `json:"oldest,omitzero"`
	Pending    int       `json:"pending"` // blocks that wait for their commit
	Commits    int64     `json:"commits"` // of this run, as the next three
	Stored     int64     `json:"stored"`
	Duplicates int64     `json:"duplicates"`
	Refused    int64     `json:"refused"`  // Full
	Pressure   float64   `json:"pressure"` // 0..1: sites should slow down from above 0 on; at 1 blocks are refused
	Alarm      string    `json:"alarm"`    // what is wrong with the disk, "" while nothing is
	SetAside   string    `json:"set_aside,omitempty"`
	Warnings   []string  `json:"warnings,omitempty"`
}

// Purge says what to delete by hand.
type Purge struct {
	Site        string    // only of this site; "" of all
	Before      time.Time // blocks whose newest point is older; zero: none
	All         bool      // all blocks and dead letters
	DeadLetters bool
	Letters     []uint64 // the dead letters with these numbers
}
