package agent

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/probes"
)

type wallClock struct{}

func (wallClock) Now() probes.Stamp { return probes.Stamp{Wall: time.Now().UnixMilli()} }

// New devices are told once, in the night, and stay in the proposal until they
// are polled.
func TestDiscoveryByNight(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.StateDir = dir
		cfg.Discovery = config.Discovery{
			Networks: []config.Network{config.Network(netip.MustParsePrefix("192.0.2.0/24"))}, Credentials: []string{"a"}, At: "03:00", PacketsPerSecond: 7,
		}
		cfg.Credentials = map[string]probes.Credential{"a": {Name: "a", Version: probes.SNMPv2c}}
		known := []string{"192.0.2.1"}
		device := func(name string, addrs ...string) discover.Device {
			return discover.Device{Addresses: addrs, Name: name, Profile: "generic", Credential: "a"}
		}
		found := []discover.Device{device("old", "192.0.2.1", "192.0.2.2"), device("new", "192.0.2.3")}
		var mu sync.Mutex // guards what stands above and below
		var scans []time.Time
		var events []probes.Event
		d := &discovery{
			config: func() *config.Config {
				mu.Lock()
				defer mu.Unlock()
				now := *cfg
				return &now
			},
			known: func() []string {
				mu.Lock()
				defer mu.Unlock()
				return known
			},
			clock: wallClock{}, log: zerolog.Nop(),
			tell: func(e probes.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			},
			scan: func(_ context.Context, o discover.Options) ([]discover.Device, error) {
				if o.PerSecond != 7 || len(o.Networks) != 1 || len(o.Credentials) != 1 || o.Credentials[0].Name != "a" || o.Profile("", "") == "" {
					t.Errorf("scanned with %+v", o)
				}
				mu.Lock()
				defer mu.Unlock()
				scans = append(scans, time.Now())
				return append([]discover.Device(nil), found...), nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		night := func(want int, names ...string) {
			t.Helper()
			events = nil
			mu.Unlock()
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			mu.Lock()
			file, _ := os.ReadFile(filepath.Join(dir, ProposalFile))
			if len(events) != want || len(names) != strings.Count(string(file), "      - ") {
				t.Errorf("%d events, want %d; %+v\n%s", len(events), want, events, file)
			}
			for _, name := range names {
				if !strings.Contains(string(file), name) {
					t.Errorf("%s is not proposed:\n%s", name, file)
				}
			}
		}
		mu.Lock()
		night(1, "192.0.2.3")
		if e := events[0]; e.Title != "1 new SNMP device found" || !strings.Contains(e.Properties[0].Value, "192.0.2.3 new (generic)") {
			t.Errorf("%+v", e)
		}
		night(0, "192.0.2.3")
		found = append(found, device("newer", "192.0.2.4"))
		night(1, "192.0.2.3", "192.0.2.4")
		known = append(known, "192.0.2.3", "192.0.2.4")
		night(0)
		cfg.Discovery.Networks = nil
		night(0)
		for _, at := range scans {
			if at.Format("15:04") != "03:00" {
				t.Errorf("scanned at %v", at)
			}
		}
		if len(scans) != 4 {
			t.Errorf("%d scans in 5 nights, the last one off", len(scans))
		}
		mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
