package buffer

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The committer is silent for no longer than it has said, with work and
// without.
func TestCommitterBeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var due time.Time
		var late []time.Duration
		var said []time.Duration
		s, err := Open(Options{Path: path, CommitInterval: 3 * time.Minute, Log: zerolog.Nop(), Beat: func(within time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); !due.IsZero() && now.After(due) {
				late = append(late, now.Sub(due))
			}
			due, said = time.Now().Add(within), append(said, within)
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		ticket := s.Enqueue(nil)
		time.Sleep(2 * time.Minute)
		select {
		case <-ticket.done:
			t.Error("a sign of life made a commit before its time")
		default:
		}
		if err := ticket.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if len(late) != 0 || len(said) < 700 || !slices.Contains(said, longestTry) {
			t.Errorf("%d signs of life, late by %v", len(said), late)
		}
		mu.Unlock()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
