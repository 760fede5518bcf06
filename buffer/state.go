package buffer

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
)

// readState gives what the last planned stop has kept.
func readState(tx *bbolt.Tx) (map[string][]byte, error) {
	bucket := tx.Bucket(bucketState)
	if bucket == nil {
		return nil, nil
	}
	parts := make(map[string][]byte)
	err := bucket.ForEach(func(key, value []byte) error {
		content, err := openKeyed(frameState, key, value)
		if err != nil {
			return fmt.Errorf("read saved state %q: %w", key, err)
		}
		parts[string(key)] = bytes.Clone(content)
		return nil
	})
	return parts, err
}

// writeState deletes what was kept for this start and keeps what is given.
func (s *Store) writeState(tx *bbolt.Tx, parts map[string][]byte) error {
	if s.stale {
		if err := tx.DeleteBucket(bucketState); err != nil {
			return fmt.Errorf("delete saved state: %w", err)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	bucket, err := tx.CreateBucket(bucketState)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	for name, content := range parts {
		if err := bucket.Put([]byte(name), keyed(frameState, []byte(name), content)); err != nil {
			return fmt.Errorf("save state %q: %w", name, err)
		}
	}
	return nil
}
