package buffer

import (
	"encoding/json"
	"fmt"
	"math"

	"go.etcd.io/bbolt"
)

// Account says where the accepted points are. Accepted is the sum of the
// states Buffered, Delivered, Late, DeadLetter, Evicted, Damaged and Purged.
// The transitions between them are in ACCOUNT.md.
type Account struct {
	Accepted     int64 `json:"accepted"`
	Buffered     int64 `json:"buffered"`
	Delivered    int64 `json:"delivered"`
	Late         int64 `json:"late"`
	LateArchived int64 `json:"late_archived"` // of Late: kept in the file
	LateLogged   int64 `json:"late_logged"`   // of Late: left as log records
	LateDropped  int64 `json:"late_dropped"`  // of Late: given up, as the configuration says
	DeadLetter   int64 `json:"dead_letter"`
	Evicted      int64 `json:"evicted"`
	Damaged      int64 `json:"damaged"`
	Purged       int64 `json:"purged"`
	// LateElsewhere and DeadElsewhere are of Late and of DeadLetter: at the relay
	// that took them over, so no longer in the file.
	LateElsewhere int64 `json:"late_elsewhere,omitempty"`
	DeadElsewhere int64 `json:"dead_letter_elsewhere,omitempty"`
}

// Check reports whether the sum is right and no counter is below zero.
func (a Account) Check() error {
	states := []int64{a.Buffered, a.Delivered, a.Late, a.DeadLetter, a.Evicted, a.Damaged, a.Purged}
	var sum int64
	for _, n := range append(states, a.LateLogged, a.LateDropped, a.LateElsewhere, a.DeadElsewhere, a.archived(), a.letters()) {
		if n < 0 {
			return fmt.Errorf("account has a state below zero: %+v", a)
		}
	}
	for _, n := range states {
		sum += n
	}
	if sum != a.Accepted {
		return fmt.Errorf("account accepted %d points but its states sum up to %d: %+v", a.Accepted, sum, a)
	}
	return nil
}

func (a Account) withSubStates() Account {
	a.LateArchived = a.archived()
	return a
}

// archived is how many late points are open, and so in the file.
func (a Account) archived() int64 { return a.Late - a.LateLogged - a.LateDropped - a.LateElsewhere }

// letters is how many dead letters are in the file.
func (a Account) letters() int64 { return a.DeadLetter - a.DeadElsewhere }

// held is the counter in which a record's open points are.
func (a *Account) held(late bool) *int64 {
	if late {
		return &a.Late
	}
	return &a.Buffered
}

// ledger is the state of the file that each commit writes anew.
type ledger struct {
	Format      int      `json:"format"`       // of the file, again: with a checksum
	Commit      uint64   `json:"commit"`       // number of this commit
	NextRecord  uint64   `json:"next_record"`  // number of the next record
	LateThrough uint64   `json:"late_through"` // records with a lower number are late, where they are not settled
	Settled     []byte   `json:"settled"`      // numbers of the records that have no open point, kept in the file or not
	NextDead    uint64   `json:"next_dead"`    // number of the next dead letter
	DeadBytes   int64    `json:"dead_bytes"`
	Records     int64    `json:"records"`  // with open points
	Segments    int64    `json:"segments"` // in the file
	Open        uint64   `json:"open"`     // first record of the newest segment
	Clean       bool     `json:"clean"`    // written by a planned stop
	Account     Account  `json:"account"`
	Salvage     *salvage `json:"salvage,omitempty"`

	Guesses guesses      `json:"guesses,omitempty"` // records whose wall times are not true as they stand
	Anchor  *savedAnchor `json:"anchor,omitempty"`  // the last one that was set
	Gap     *Gap         `json:"gap,omitempty"`     // what became late since the last report

	settled numbers // Settled, in memory
}

func readLedger(tx *bbolt.Tx) (ledger, error) {
	var l ledger
	bucket := tx.Bucket(bucketLedger)
	if bucket == nil {
		return l, fmt.Errorf("read the account: it is missing: %w", errDamaged)
	}
	content, err := openKeyed(frameLedger, keyLedger, bucket.Get(keyLedger))
	if err == nil {
		l, err = parseLedger(content)
	}
	if err != nil {
		return l, fmt.Errorf("read the account: %w", err)
	}
	return l, nil
}

func parseLedger(content []byte) (l ledger, err error) {
	if err = json.Unmarshal(content, &l); err != nil {
		return l, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if l.settled, err = parseSet[uint64](l.Settled, math.MaxUint64); err != nil {
		return l, err
	}
	return l, l.Guesses.unpack()
}

func writeLedger(tx *bbolt.Tx, l ledger) error {
	l.Format, l.Settled, l.Guesses = format, l.settled.appendTo(nil), l.Guesses.pack()
	content, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write the account: %w", err)
	}
	return tx.Bucket(bucketLedger).Put(keyLedger, keyed(frameLedger, keyLedger, content))
}
