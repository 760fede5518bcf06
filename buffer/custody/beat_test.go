package custody

import (
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The committer is silent for no longer than it has said.
func TestCommitterBeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var due time.Time
		beats, late := 0, 0
		s, err := Open(Options{Path: path, Log: zerolog.Nop(), Beat: func(within time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			if !due.IsZero() && now.After(due) {
				late++
			}
			due = now.Add(within)
			beats++
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if late != 0 || beats < 360 {
			t.Errorf("%d signs of life, %d late", beats, late)
		}
		mu.Unlock()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
