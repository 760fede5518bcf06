// Package probe tries a broker before sites rely on it: it sends blocks that
// nobody stores, to itself and to the relay that is online, and tells what the
// broker lets through, what it holds and what it throws away while it says that
// all is well.
package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

// Options say what to try, and how hard.
type Options struct {
	MQTT      mqtt.Options // how the broker is reached; what a check needs is set here
	Site      string       // whose topics are used
	Topics    wire.Topics
	BlockSize int           // of the blocks that sites will send, bytes
	Blocks    int           // at most, in the check of the queue
	Bytes     int64         // at most, of all blocks that are sent
	Time      time.Duration // at most, of all checks together, Restart apart
	Patience  time.Duration // how long a block may be under way; 0: 5 s
	// Restart asks whoever is told to restart the broker, and finds out what it
	// kept.
	Restart bool
	Only    []string          // names of checks, of Names; nil: all
	Tell    func(text string) // what is being done; nil: nobody is told
}

// How a check ended.
const (
	OK      = "ok"
	Warning = "warning" // it works, not as well as it could
	Failed  = "failed"
	Skipped = "skipped"
)

// Check is one thing that was tried.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"`
}

// Report is what was found. Numbers that were not measured are 0.
type Report struct {
	Broker     string  `json:"broker"`
	Site       string  `json:"site"`
	Checks     []Check `json:"checks"`
	LargestOK  int     `json:"largest_ok_bytes"`       // largest block that came through
	TooLarge   int     `json:"too_large_bytes"`        // smallest that did not; 0: all came through
	TripMS     Trip    `json:"round_trip_ms"`          // of single blocks
	LoadTripMS Trip    `json:"round_trip_load_ms"`     // of blocks in a window of eight
	BytesPerS  float64 `json:"bytes_per_s"`            // with that window
	Unacked    int     `json:"unacknowledged_at_once"` // blocks that came before the first was acknowledged
	Queued     int     `json:"queue_published"`        // blocks that the broker took while nobody acknowledged
	QueueCame  int     `json:"queue_delivered"`        // those of them that came in the end
	Sent       int     `json:"sent"`                   // blocks of all checks, without those that were to be refused
	Lost       int     `json:"lost"`                   // that the broker took and never delivered
	Twice      int     `json:"twice"`                  // that it delivered more than once
	NoticedMS  int64   `json:"half_open_noticed_ms"`   // until this side gave up a dead link
	Relays     int     `json:"relays_online"`
	RelayMS    Trip    `json:"relay_round_trip_ms"`  // until a relay had acknowledged
	Persistent *bool   `json:"persistent,omitempty"` // kept retained messages over a restart; nil: not tried
	Bytes      int64   `json:"bytes_sent"`
	TookMS     int64   `json:"took_ms"`
}

// Trip is a distribution of times, in ms.
type Trip struct {
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

// Failed tells whether a check has failed.
func (r *Report) Failed() bool {
	for _, c := range r.Checks {
		if c.Status == Failed {
			return true
		}
	}
	return false
}

// prober is a run.
type prober struct {
	Options
	report  *Report
	epoch   uint64
	seq     uint64
	trip    time.Duration // of a small block
	started time.Time
}

const defaultPatience = 5 * time.Second

// Run makes all checks. The error is of a broker that cannot be reached at all.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	p := &prober{Options: o, report: &Report{Broker: o.MQTT.Broker, Site: o.Site}, epoch: newEpoch(), started: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	err := p.run(ctx)
	p.report.TookMS = time.Since(p.started).Milliseconds()
	return p.report, err
}

func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (p *prober) run(ctx context.Context) error {
	p.Tell("connecting to " + p.MQTT.Broker)
	if err := p.rights(ctx); err != nil {
		return err
	}
	if p.report.Failed() {
		return nil
	}
	steps := [...]func(context.Context) error{p.size, p.flow, p.queue, p.retained, p.shared, p.halfOpen, p.relay}
	for i, try := range steps {
		name := Names[i]
		if p.Only != nil && !slices.Contains(p.Only, name) {
			continue
		}
		p.Tell("trying: " + name)
		if err := try(ctx); err != nil {
			p.add(Check{Name: name, Status: Failed, Found: err.Error(), Mend: p.brokenMend(ctx)})
		}
	}
	return p.restart(ctx)
}

// Names are the checks that can be left out, in their order. Whether the broker
// lets the site come and gives it back what it says, is always checked.
var Names = [...]string{"size", "flow", "queue", "retained", "shared", "half-open", "relay"}

// brokenMend says what may mend a check that an error ended.
func (p *prober) brokenMend(ctx context.Context) string {
	if ctx.Err() != nil {
		return fmt.Sprintf("the time was over (%v); give more with --time, or send less with --mb", p.Time)
	}
	return "does another program use the same certificate or client ID? Stop it, or give the probe a certificate of its own; else see the broker's log"
}

func (p *prober) add(c Check) { p.report.Checks = append(p.report.Checks, c) }

// rights is whether a block comes back at all.
func (p *prober) rights(ctx context.Context) error {
	s, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	p.add(Check{Name: "connect", Status: OK, Found: "connected as " + p.MQTT.ClientID})
	seq, err := s.send(ctx, smallest)
	if err != nil {
		return err
	}
	if s.await(ctx, p.Patience, seq) {
		p.trip = s.trips()[0]
		p.add(Check{Name: "rights", Status: OK, Found: "what is published to " + p.topic() + " comes back"})
		return nil
	}
	p.add(Check{
		Name: "rights", Status: Failed, Found: "the broker takes what is published to " + p.topic() + ", and does not deliver it",
		Mend: "allow the site to write and read this topic (mosquitto: `pattern readwrite " + p.Topics.Probe("%u") + "`); the name in the certificate must be " + p.Site,
	})
	return nil
}

func (p *prober) topic() string { return p.Topics.Probe(p.Site) }
