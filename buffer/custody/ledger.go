package custody

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

// ledger is the state of the file that each commit writes anew. The account is
// the sum of those of the sites.
type ledger struct {
	Format      int            `json:"edgehold_custody"`
	Commit      uint64         `json:"commit"`
	Epoch       uint64         `json:"epoch"` // of the store
	Next        uint64         `json:"next"`  // number of the next block
	NextLetter  uint64         `json:"next_letter"`
	Letters     int64          `json:"letters"`
	LetterBytes int64          `json:"letter_bytes"`
	Account     buffer.Account `json:"account"`
}

func readLedger(tx *bbolt.Tx) (l ledger, err error) {
	bucket := tx.Bucket(bucketLedger)
	if bucket == nil {
		return l, fmt.Errorf("read the account: %w: it is missing", buffer.ErrPages)
	}
	content, err := unseal(keyLedger, bucket.Get(keyLedger))
	if err != nil {
		return l, fmt.Errorf("read the account: %w", err)
	}
	if err := json.Unmarshal(content, &l); err != nil {
		return l, fmt.Errorf("read the account: %w: %w", buffer.ErrPages, err)
	}
	return l, nil
}

func writeLedger(tx *bbolt.Tx, l ledger) error {
	content, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write the account: %w", err)
	}
	return tx.Bucket(bucketLedger).Put(keyLedger, seal(keyLedger, content))
}
