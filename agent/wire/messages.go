package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Limits of one message, so that a hostile one costs its reader little.
const (
	MaxMessage = 120 << 10 // bytes
	MaxSeqs    = 1 << 16   // sequence numbers that its ranges hold together
)

// Range is sequence numbers, both ends included.
type Range [2]uint64

// Ranges joins ascending numbers.
func Ranges(seqs []uint64) []Range {
	var out []Range
	for _, n := range seqs {
		if last := len(out) - 1; last >= 0 && out[last][1]+1 == n {
			out[last][1] = n
			continue
		}
		out = append(out, Range{n, n})
	}
	return out
}

// FormatEpoch writes an epoch, of a site or a store, as messages have it.
func FormatEpoch(epoch uint64) string { return fmt.Sprintf("%016x", epoch) }

// ParseEpoch is the inverse of FormatEpoch, and takes no other form.
func ParseEpoch(text string) (uint64, error) {
	epoch, err := strconv.ParseUint(text, 16, 64)
	if err != nil || FormatEpoch(epoch) != text {
		return 0, fmt.Errorf("epoch %.40q is not 16 hexadecimal digits", text)
	}
	return epoch, nil
}

// Down is what a relay says to one site.
type Down struct {
	Relay  string `json:"relay"`
	Store  string `json:"store"` // epoch of the relay's store
	Acks   []Ack  `json:"acks,omitempty"`
	SlowMS int64  `json:"slow_ms,omitempty"` // publish nothing for so long; 0: go on
}

// Ack says what became of blocks of one epoch.
type Ack struct {
	Epoch  string  `json:"epoch"`
	Seq    []Range `json:"seq"`
	Status string  `json:"status"`
	Counts *Counts `json:"counts,omitempty"` // of each of the blocks; nil with StatusDelivered: every point was delivered
	Reason string  `json:"reason,omitempty"` // of StatusRejected
}

// What a relay says of blocks.
const (
	StatusStored    = "stored"    // on disk: send them no more
	StatusDelivered = "delivered" // settled: drop them
	StatusRejected  = "rejected"  // for good, Reason says why: count them as dead letters
	StatusNames     = "names"     // names are missing: send them again with all names
	StatusFull      = "full"      // not taken now: send them later
	StatusUnknown   = "unknown"   // answer to an Ask: never seen, or forgotten
)

// Counts is what became of the points of one block.
type Counts struct {
	Delivered    int64 `json:"delivered,omitempty"`
	DeadLetter   int64 `json:"dead_letter,omitempty"`
	LateArchived int64 `json:"late_archived,omitempty"`
	LateLogged   int64 `json:"late_logged,omitempty"`
	LateDropped  int64 `json:"late_dropped,omitempty"`
	Evicted      int64 `json:"evicted,omitempty"`
	Damaged      int64 `json:"damaged,omitempty"`
	Purged       int64 `json:"purged,omitempty"`
}

// Sum is how many points they are together.
func (c Counts) Sum() int64 {
	return c.Delivered + c.DeadLetter + c.LateArchived + c.LateLogged + c.LateDropped + c.Evicted + c.Damaged + c.Purged
}

// Ask is what a site asks relays about its blocks of one epoch.
type Ask struct {
	Relay string  `json:"relay,omitempty"` // "": every one
	Epoch string  `json:"epoch"`
	Floor uint64  `json:"floor"`         // lowest number that the site still holds: forget what is below
	Seq   []Range `json:"seq,omitempty"` // what became of these?
}

// The states of a site or relay. StateLost is what its broker says in its name.
const (
	StateOnline   = "online"
	StateDraining = "draining"
	StateStopped  = "stopped"
	StateLost     = "lost"
)

// SiteState is what a site tells of itself.
type SiteState struct {
	State       string    `json:"state"`
	Boot        uint64    `json:"boot"` // how often the site has started
	Version     string    `json:"version,omitempty"`
	Config      string    `json:"config,omitempty"`   // hash of the configuration
	Backlog     int64     `json:"backlog"`            // points that wait
	OldestS     float64   `json:"oldest_s,omitempty"` // age of the oldest of them, seconds
	Late        int64     `json:"late"`               // points that came too late, so far
	CertExpires time.Time `json:"cert_expires,omitzero"`
	At          time.Time `json:"at,omitzero"`
	Epochs      []string  `json:"epochs,omitempty"` // of blocks that are not settled, the running one first
}

// RelayState is what a relay tells of itself.
type RelayState struct {
	State        string    `json:"state"`
	Store        string    `json:"store"` // epoch of its store
	Version      string    `json:"version,omitempty"`
	SlowMS       int64     `json:"slow_ms,omitempty"`
	At           time.Time `json:"at,omitzero"`
	DeclaredLost bool      `json:"declared_lost,omitempty"` // somebody has said that its store will not come back
}

// ParseDown reads and checks a message to a site.
func ParseDown(data []byte) (Down, error) {
	var d Down
	if err := decode("answer of a relay", data, &d); err != nil {
		return Down{}, err
	}
	if err := d.check(); err != nil {
		return Down{}, fmt.Errorf("read answer of relay %.80q: %w", d.Relay, err)
	}
	return d, nil
}

// ParseAsk reads and checks a question of a site.
func ParseAsk(data []byte) (Ask, error) {
	var a Ask
	if err := decode("question of a site", data, &a); err != nil {
		return Ask{}, err
	}
	left := uint64(MaxSeqs)
	err := checkBlocks(a.Epoch, a.Seq, &left)
	if a.Relay != "" && err == nil {
		err = CheckID("relay", a.Relay)
	}
	if err != nil {
		return Ask{}, fmt.Errorf("read question of a site: %w", err)
	}
	return a, nil
}

// ParseSiteState reads and checks the state of a site.
func ParseSiteState(data []byte) (SiteState, error) {
	var s SiteState
	err := decode("state of a site", data, &s)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return SiteState{}, err
	}
	return s, nil
}

// ParseRelayState reads and checks the state of a relay.
func ParseRelayState(data []byte) (RelayState, error) {
	var s RelayState
	err := decode("state of a relay", data, &s)
	if err == nil {
		err = checkState(s.State)
	}
	if err == nil {
		_, err = ParseEpoch(s.Store)
	}
	if err == nil && s.SlowMS < 0 {
		err = fmt.Errorf("slow_ms %d is negative", s.SlowMS)
	}
	if err != nil {
		return RelayState{}, fmt.Errorf("read state of a relay: %w", err)
	}
	return s, nil
}

// decode reads one JSON value. Fields that it does not know are of a newer
// version, and skipped.
func decode(what string, data []byte, to any) error {
	if len(data) > MaxMessage {
		return fmt.Errorf("read %s: it has %d bytes, more than %d", what, len(data), MaxMessage)
	}
	if err := json.Unmarshal(bytes.TrimSpace(data), to); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

func (d *Down) check() error {
	if err := CheckID("relay", d.Relay); err != nil {
		return err
	}
	if _, err := ParseEpoch(d.Store); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if d.SlowMS < 0 {
		return fmt.Errorf("slow_ms %d is negative", d.SlowMS)
	}
	left := uint64(MaxSeqs)
	for i := range d.Acks {
		if err := d.Acks[i].check(&left); err != nil {
			return fmt.Errorf("acks[%d]: %w", i, err)
		}
	}
	return nil
}

func (a *Ack) check(left *uint64) error {
	switch a.Status {
	case StatusStored, StatusDelivered, StatusRejected, StatusNames, StatusFull, StatusUnknown:
	default:
		return fmt.Errorf("status %.40q is unknown", a.Status)
	}
	if a.Counts != nil {
		if a.Status != StatusDelivered {
			return fmt.Errorf("counts come with status %q", a.Status)
		}
		if err := a.Counts.check(); err != nil {
			return err
		}
	}
	return checkBlocks(a.Epoch, a.Seq, left)
}

func (c *Counts) check() error {
	for _, n := range [...]int64{c.Delivered, c.DeadLetter, c.LateArchived, c.LateLogged, c.LateDropped, c.Evicted, c.Damaged, c.Purged} {
		if n < 0 || n > MaxPoints {
			return fmt.Errorf("a count of %d points is not possible", n)
		}
	}
	return nil
}

// checkBlocks checks the names of blocks and takes their number from left.
func checkBlocks(epoch string, seq []Range, left *uint64) error {
	if _, err := ParseEpoch(epoch); err != nil {
		return err
	}
	for _, r := range seq {
		if r[0] == 0 || r[0] > r[1] {
			return fmt.Errorf("[%d,%d] is no range of sequence numbers", r[0], r[1])
		}
		if r[1]-r[0] >= *left {
			return fmt.Errorf("it names more than %d blocks", MaxSeqs)
		}
		*left -= r[1] - r[0] + 1
	}
	return nil
}

func (s *SiteState) check() error {
	if err := checkState(s.State); err != nil {
		return fmt.Errorf("read state of a site: %w", err)
	}
	if s.Backlog < 0 || s.Late < 0 || s.OldestS < 0 {
		return fmt.Errorf("read state of a site: a negative number of points")
	}
	for i, e := range s.Epochs {
		if _, err := ParseEpoch(e); err != nil {
			return fmt.Errorf("read state of a site: epochs[%d]: %w", i, err)
		}
	}
	return nil
}

func checkState(state string) error {
	switch state {
	case StateOnline, StateDraining, StateStopped, StateLost:
		return nil
	}
	return fmt.Errorf("state %.40q is unknown", state)
}
