package snmp

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	trapPeriod     = time.Minute // of limits, and of points about what was not taken
	trapFlush      = time.Second // how long a record may wait
	portRetry      = 30 * time.Second
	maxTrapRecords = 5000    // that wait to be written
	maxTrapText    = 4 << 20 // bytes of them
	maxTrapCounts  = 10_000
	maxTrapSenders = 4096
	maxTrapRepeats = 500
	maxTrapRepeat  = 4 << 10 // bytes of a record that may be held back
	trapsPerMinute = 30_000
	trapsPerSender = 6_000
	otherTraps     = "other" // sender and OID of what is beyond maxTrapCounts
	trapsDropped   = "edgehold.traps.dropped"
	trapsRefused   = "edgehold.traps.refused"
	refusalsShown  = 3
)

// trapKey is what notifications are counted by.
type trapKey struct{ sender, oid string }

// trapSource makes points and records of the notifications that one
// configuration wants. It is a probes.Source and probes.Watched.
type trapSource struct {
	plan      *plan.Traps
	extension string
	config    string
	sources   []plan.TrapSource
	receiver  *TrapReceiver
	deps      probes.Deps
	doors     []*door // of Run alone

	mu       sync.Mutex
	records  []probes.Record
	size     int                  // of the records, in bytes
	counts   []map[trapKey]uint64 // by metric
	next     []time.Duration      // when each metric is due
	limit    trapLimit
	repeats  trapRepeats
	now      periodState   // since the last points about it
	told     time.Duration // when those points were made
	before   periodState   // of the last whole period
	listens  bool
	closed   string // ports that are not listened to, and why; "": none
	received uint64
	dropped  uint64
	refused  uint64
	last     probes.Stamp
}

// periodState is what went wrong in a period.
type periodState struct {
	refused [refusalKinds]uint64
	dropped [dropKinds]uint64
}

// trapDrop is why a notification that was ours was dropped.
type trapDrop uint8

// The reasons.
const (
	droppedLimit trapDrop = iota
	droppedRoom
	droppedSocket
	dropKinds
)

// dropWords are for points.
var dropWords = [dropKinds]string{droppedLimit: "limit", droppedRoom: "room", droppedSocket: "socket"}

// Run listens until ctx ends, or none of the ports can be had any more.
func (t *trapSource) Run(ctx context.Context, emit func(probes.Batch)) error {
	t.begin(t.receiver.now())
	defer t.end(emit)
	t.setDoors()
	defer t.shut()
	if err := t.knock(); err != nil {
		return err
	}
	ticks := time.NewTicker(trapFlush)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			if err := t.knock(); err != nil {
				return err
			}
			t.flush(emit, t.receiver.now())
		}
	}
}

func (t *trapSource) begin(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = now
	t.counts, t.next = nil, nil
	for _, c := range t.plan.Counts {
		t.counts = append(t.counts, map[trapKey]uint64{})
		t.next = append(t.next, now+c.Interval)
	}
}

// end writes what there is, however short the interval was.
func (t *trapSource) end(emit func(probes.Batch)) {
	t.mu.Lock()
	for i := range t.next {
		t.next[i] = 0
	}
	t.told -= trapPeriod
	t.repeats.expire()
	t.listens = false
	t.mu.Unlock()
	t.flush(emit, t.receiver.now())
}

// refuse counts a datagram that was not taken.
func (t *trapSource) refuse(why trapRefusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.refused[why]++
	t.refused++
}

// admit tells whether one more notification of a sender is within the limits.
func (t *trapSource) admit(from netip.Addr, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	most, each := cmp.Or(t.plan.PerMinute, trapsPerMinute), cmp.Or(t.plan.PerSender, trapsPerSender)
	if t.limit.admit(from, now, most, each) {
		return true
	}
	t.drop(droppedLimit, 1)
	return false
}

func (t *trapSource) drop(why trapDrop, n uint32) {
	t.now.dropped[why] += uint64(n)
	t.dropped += uint64(n)
}

// accept counts a notification and makes its record. false: there is no room.
func (t *trapSource) accept(n *notification, from netip.Addr) bool {
	stamp := t.stamp()
	key := trapKey{t.plan.Prefix + from.String(), t.nameOf(n.oid)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.plan.Records && (len(t.records) >= maxTrapRecords || t.size >= maxTrapText) {
		t.drop(droppedRoom, 1)
		return false
	}
	t.received++
	t.last = stamp
	for i := range t.counts {
		counted := key
		if !t.plan.Counts[i].ByOID() {
			counted.oid = ""
		}
		if _, known := t.counts[i][counted]; !known && len(t.counts[i]) >= maxTrapCounts {
			counted = trapKey{otherTraps, otherTraps}
		}
		t.counts[i][counted]++
	}
	if !t.plan.Records {
		return true
	}
	r := t.record(n, key, stamp)
	if t.plan.Repeats == 0 || t.repeats.first(r, n, t.receiver.now()+t.plan.Repeats) {
		t.records = append(t.records, r)
		t.size += recordSize(r)
	}
	return true
}

func (t *trapSource) stamp() probes.Stamp {
	if t.deps.Clock == nil {
		return probes.Stamp{Wall: time.Now().UnixMilli()}
	}
	return t.deps.Clock.Now()
}

// flush writes the records, the repeats whose time is over and the counts that
// are due.
func (t *trapSource) flush(emit func(probes.Batch), now time.Duration) {
	stamp := t.stamp()
	t.mu.Lock()
	b := probes.Batch{Records: append(t.records, t.repeats.over(now)...)}
	t.records, t.size = nil, 0
	for i := range t.counts {
		if now >= t.next[i] {
			b.Points = append(b.Points, t.points(i, stamp)...)
			t.counts[i] = map[trapKey]uint64{}
			t.next[i] = now + t.plan.Counts[i].Interval
		}
	}
	if now-t.told >= trapPeriod {
		b.Points = append(b.Points, t.losses(stamp)...)
		t.told = now
	}
	t.mu.Unlock()
	if len(b.Records)+len(b.Points) > 0 {
		emit(b)
	}
}

// points are the counts of one metric.
func (t *trapSource) points(i int, stamp probes.Stamp) []probes.Point {
	made := make([]probes.Point, 0, len(t.counts[i]))
	for key, n := range t.counts[i] {
		dims := append(slices.Clone(t.deps.Constants), t.dims(t.plan.Counts[i].Dims, key)...)
		made = append(made, probes.Point{
			Series: probes.NewSeries(t.plan.Counts[i].Key, probes.Count, dims...), Value: probes.Uint(n), Stamp: stamp,
		})
	}
	return made
}

func (t *trapSource) dims(declared []plan.TrapDim, key trapKey) []probes.Dimension {
	var dims []probes.Dimension
	for _, d := range declared {
		text := d.Text
		switch d.Field {
		case plan.TrapSender:
			text = key.sender
		case plan.TrapOID:
			text = key.oid
		}
		dims = append(dims, probes.Dimension{Key: d.Key, Value: text})
	}
	return append(dims, t.device(key.sender)...)
}

// device are the dimensions of every sender.
func (t *trapSource) device(address string) []probes.Dimension {
	dims := []probes.Dimension{{Key: "device.address", Value: address}}
	if t.deps.Resolver != nil && address != otherTraps {
		if name := t.deps.Resolver.NameOf(strings.TrimPrefix(address, t.plan.Prefix)); name != "" {
			dims = append(dims, probes.Dimension{Key: "device.name", Value: name})
		}
	}
	return dims
}

// losses are the points about what was not taken; they begin a new period.
func (t *trapSource) losses(stamp probes.Stamp) []probes.Point {
	var made []probes.Point
	add := func(key string, n uint64, dims ...probes.Dimension) {
		if n == 0 {
			return
		}
		dims = append(slices.Clone(t.deps.Constants), append(dims, probes.Dimension{Key: "configuration", Value: t.config})...)
		made = append(made, probes.Point{Series: probes.NewSeries(key, probes.Count, dims...), Value: probes.Uint(n), Stamp: stamp})
	}
	for why, n := range t.now.dropped {
		add(trapsDropped, n, probes.Dimension{Key: "reason", Value: dropWords[why]})
	}
	for why, n := range t.now.refused {
		add(trapsRefused, n, probes.Dimension{Key: "reason", Value: refusalWords[why].word})
	}
	t.before, t.now = t.now, periodState{}
	return made
}

// Watch tells how the source does: not OK before anything has come.
func (t *trapSource) Watch() probes.SourceState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := probes.SourceState{Received: t.received, Dropped: t.dropped, Refused: t.refused, Last: t.last}
	wrong := t.wrong()
	switch {
	case !t.listens:
		s.Status, s.Message = probes.StatusPending, "not listening yet"
	case wrong != "" && t.received == 0 && t.closed == "":
		s.Status, s.Message = probes.StatusGenericError, "nothing was taken: "+wrong
	case wrong != "":
		s.Status, s.Message = probes.StatusWarning, wrong
	case t.received == 0:
		s.Status, s.Message = probes.StatusPending, "listening, no trap has come yet"
	default:
		s.Status = probes.StatusOK
	}
	return s
}

// wrong says which ports are not listened to, and what was not taken in this
// period and the one before.
func (t *trapSource) wrong() string {
	var parts []string
	if t.closed != "" {
		parts = append(parts, t.closed)
	}
	dropped := func(why trapDrop) uint64 { return t.now.dropped[why] + t.before.dropped[why] }
	if n := dropped(droppedLimit); n > 0 {
		parts = append(parts, fmt.Sprintf("%d traps dropped, more came than %d a minute from one sender or %d in all",
			n, cmp.Or(t.plan.PerSender, trapsPerSender), cmp.Or(t.plan.PerMinute, trapsPerMinute)))
	}
	if n := dropped(droppedRoom); n > 0 {
		parts = append(parts, fmt.Sprintf("%d traps dropped, their records came faster than they could be written", n))
	}
	if n := dropped(droppedSocket); n > 0 {
		parts = append(parts, fmt.Sprintf("%d datagrams dropped by the kernel, which came faster than they could be read; "+
			"give the socket more room with sysctl net.core.rmem_max, or ReceiveBuffer= in edgehold-snmptrap.socket", n))
	}
	shown := 0
	for why := range t.now.refused {
		if n := t.now.refused[why] + t.before.refused[why]; n > 0 && shown < refusalsShown {
			parts = append(parts, fmt.Sprintf("%d messages refused %s", n, refusalWords[why].text))
			shown++
		}
	}
	return strings.Join(parts, "; ")
}
