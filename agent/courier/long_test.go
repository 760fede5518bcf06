package courier

import (
	"testing"
	"time"
)

// While the environment is away for long, relays hold everything. What that
// takes here stays bounded, and all arrives in the end.
func TestLongOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		const steps = 190 * 6
		for range steps {
			w.feed(2)
			time.Sleep(10 * time.Second)
		}
		_, all := w.relay.blocksHeld()
		if all < manyStored || all > manyStored+200 {
			t.Errorf("%d blocks for %d commits", all, steps)
		}
		w.relay.release(site)
		w.all(5 * time.Minute)
	})
}

// An epoch that has no block any more is told to be over.
func TestEpochIsOver(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.relay.hold = true
		w.broker.join(w.relay)
		w.start()
		w.feed(100)
		w.until(time.Minute, "stored", func() bool { return w.courier.Relay().Stored > 0 })
		w.stop()
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.openStore()
		w.start()
		w.until(time.Minute, "taken up", func() bool { return w.courier.Relay().Stored > 0 })
		w.relay.release(site)
		w.all(time.Minute)
		time.Sleep(2 * time.Minute)
		over := 0
		w.relay.set(func() {
			for _, a := range w.relay.asked {
				if a.Epoch == "0000000000000001" && a.Floor == 1<<64-1 {
					over++
				}
			}
		})
		if over != 1 {
			t.Errorf("the first epoch was told to be over %d times", over)
		}
	})
}
