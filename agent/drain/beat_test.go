package drain

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/buffer"
)

// A drain that may send nothing for hours still tells that it is well.
func TestDrainBeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	synctest.Test(t, func(t *testing.T) {
		store, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		var due, late, beats atomic.Int64
		client, err := NewClient(ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d := New(Options{Target: Target{URL: "http://127.0.0.1:9", Client: client}, Store: store, Log: zerolog.Nop(), Trusted: func() bool { return false }, AskTime: func(context.Context) error { return errors.New("silent") }, Beat: func(within time.Duration) {
			now := time.Now()
			if before := due.Swap(now.Add(within).UnixNano()); before != 0 && now.UnixNano() > before {
				late.Add(1)
			}
			beats.Add(1)
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if late.Load() != 0 || beats.Load() < 24*60*2 {
			t.Errorf("%d signs of life, %d late", beats.Load(), late.Load())
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
