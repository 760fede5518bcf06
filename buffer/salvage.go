package buffer

import (
	"time"
)

// salvage is how far the content of a damaged file has been saved. It is part
// of the ledger.
type salvage struct {
	File    string    `json:"file"` // beside the buffer
	At      time.Time `json:"at"`   // found damaged
	Cause   string    `json:"cause"`
	Adopted bool      `json:"adopted"` // its account is part of this one
	Next    uint64    `json:"next"`    // records of the old file with a lower number are done
	Saved   int64     `json:"saved"`   // points
	Lost    int64     `json:"lost"`
	Done    bool      `json:"done"`
}

// Salvage tells what became of a file that was found damaged.
type Salvage struct {
	File  string    `json:"file"`
	At    time.Time `json:"at"`
	Cause string    `json:"cause"`
	Saved int64     `json:"points_saved"`
	Lost  int64     `json:"points_lost"`
	Done  bool      `json:"done"`
}

func (s *salvage) public() *Salvage {
	if s == nil {
		return nil
	}
	return &Salvage{File: s.File, At: s.At, Cause: s.Cause, Saved: s.Saved, Lost: s.Lost, Done: s.Done}
}

func (s *Store) startSalvage() {}
