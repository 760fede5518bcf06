package snmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// auto is the profile that is chosen by what the device says it is.
const auto = "auto"

// autoProbe polls a device that has no package of its own. On first contact,
// and again after a restart of the device, it asks what the device is and
// chooses a profile.
type autoProbe struct {
	device   *device
	profiles plan.Profiles
	profile  string // a name, or auto
	options  plan.ProfileOptions
	maxReps  int // of the configuration; 0: the profile's
	deps     probes.Deps

	mu    sync.Mutex // held while a poll runs
	probe *Probe     // nil before first contact
	facts facts
	lives int           // restarts of the device up to when it was asked
	mute  time.Duration // since boot: since when it does not name its chassis, as it did; 0: it does
	quiet int           // polls in a row that were not answered
	again time.Duration // since boot: when the tables that it does not have are asked for again

	told  sync.Mutex
	plan  *plan.Plan // the chosen one
	stats probes.PollStats
}

// facts are what a device says it is.
type facts struct {
	ObjectID string `json:"object_id"`
	Descr    string `json:"descr"`
	MAC      string `json:"mac"`
	Told     bool   `json:"told,omitempty"` // it has named its chassis itself
}

// quietEnough is after how many polls without an answer a device is asked anew
// what it is: somebody may have put another one in its place.
const quietEnough = 3

// Poll asks what the device is where that is due, then reads it once. What was
// read is thrown away where it shows that another device has the address now.
func (a *autoProbe) Poll(ctx context.Context) (probes.Batch, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch, err := a.pollLocked(ctx)
	if a.quiet++; probes.StatusOf(err) != probes.StatusDeviceConnectionError {
		a.quiet = 0
	}
	return batch, err
}

func (a *autoProbe) pollLocked(ctx context.Context) (probes.Batch, error) {
	var asked probes.PollStats
	due := a.probe == nil || a.device.restarts() != a.lives || a.quiet >= quietEnough
	if due {
		if err := a.identify(ctx, &asked); err != nil {
			a.tell(asked)
			return probes.Batch{}, err
		}
	}
	batch, err := a.read(ctx)
	if !due && a.device.restarts() != a.lives && len(batch.Points) > 0 {
		before := a.probe.PollStats()
		if a.isAnother(ctx, &asked) {
			addTraffic(&asked, before)
			batch, err = a.read(ctx)
		}
	}
	stats := a.probe.PollStats()
	addTraffic(&stats, asked)
	a.tell(stats)
	return batch, err
}

// addTraffic adds what other requests of the same poll have cost.
func addTraffic(to *probes.PollStats, other probes.PollStats) {
	to.Requests += other.Requests
	to.Retries += other.Retries
	to.Timeouts += other.Timeouts
	to.Varbinds += other.Varbinds
	to.Strays += other.Strays
	to.Malformed += other.Malformed
	to.Reports += other.Reports
	to.Gaps += other.Gaps
}

// isAnother tells whether a device that has restarted is certainly another one,
// and sets its profile then. One that has just begun may not tell everything
// yet: it is asked again before the next poll.
func (a *autoProbe) isAnother(ctx context.Context, stats *probes.PollStats) bool {
	found, err := a.ask(ctx, stats)
	if err != nil || found.ObjectID == "" {
		return false
	}
	if found.ObjectID == a.facts.ObjectID && (!found.Told || found.MAC == a.facts.MAC) {
		return false
	}
	return a.choose(found) == nil
}

// lookAgain is how long a table that a device does not have is left alone.
const lookAgain = 10 * time.Minute

// read polls the blocks that the device has. What a profile names for other
// models is asked for now and then only: each table costs a request.
func (a *autoProbe) read(ctx context.Context) (probes.Batch, error) {
	now := a.deps.Clock.Now().Uptime
	if now < a.again {
		return a.probe.Poll(ctx)
	}
	all := a.plan.At(a.options.Interval)
	var has []*plan.Block
	a.probe.blocks = all
	a.probe.watch = func(r plan.Reading) {
		for _, b := range all {
			if answers(b, r) {
				has = append(has, b)
			}
		}
	}
	batch, err := a.probe.Poll(ctx)
	a.probe.watch = nil
	if len(has) > 0 {
		a.probe.blocks, a.again = has, now+lookAgain
	}
	return batch, err
}

// answers tells whether a block may have points: on the rows of its metrics or,
// where one of them is a constant, on those of Rows or of its dimensions. What
// was read in part may have more.
func answers(b *plan.Block, r plan.Reading) bool {
	columns, ownless := false, len(b.Metrics) == 0
	for i := range b.Metrics {
		s := &b.Metrics[i].Source
		if s.Kind == plan.FromScalar || given(s, r) {
			return true
		}
		ownless = ownless || s.Kind != plan.FromColumn
	}
	switch {
	case !ownless:
		return false
	case b.Rows != "":
		return given(&plan.Source{Kind: plan.FromColumn, OID: b.Rows}, r)
	}
	for i := range b.Dims {
		s := &b.Dims[i].Source
		if !s.Join && given(s, r) {
			return true
		}
		columns = columns || s.Kind == plan.FromColumn
	}
	return !columns
}

func given(s *plan.Source, r plan.Reading) bool {
	if s.Kind != plan.FromColumn {
		return false
	}
	for _, oid := range append([]string{s.OID}, s.Fallback...) {
		if len(r.Columns[oid]) > 0 || r.Partial[oid] {
			return true
		}
	}
	return false
}

func (a *autoProbe) tell(stats probes.PollStats) {
	a.told.Lock()
	defer a.told.Unlock()
	a.stats = stats
}

// PollStats returns the traffic of the last poll.
func (a *autoProbe) PollStats() probes.PollStats {
	a.told.Lock()
	defer a.told.Unlock()
	return a.stats
}

// Description names the profile that was chosen and its version, "" before
// first contact.
func (a *autoProbe) Description() string {
	a.told.Lock()
	defer a.told.Unlock()
	if a.plan == nil {
		return ""
	}
	return a.plan.Extension + " " + a.plan.Version
}

// minIdentify is what a short interval leaves for asking.
const minIdentify = 10 * time.Second

// identify asks the device what it is and sets the profile.
func (a *autoProbe) identify(ctx context.Context, stats *probes.PollStats) error {
	lives := a.device.restarts()
	found, err := a.ask(ctx, stats)
	if err != nil {
		return err
	}
	if a.notReady(found) {
		found.MAC, found.Told = a.facts.MAC, true
		lives = a.lives // ask again
	}
	if err := a.choose(found); err != nil {
		return err
	}
	a.lives = lives
	return nil
}

// notReady tells whether the device seems to be the one that it was but for the
// name of its chassis: what tells that may begin some minutes after the rest.
func (a *autoProbe) notReady(found facts) bool {
	same := found.ObjectID == a.facts.ObjectID && found.Descr == a.facts.Descr
	if found.Told || !a.facts.Told || !same || found.MAC == a.facts.MAC {
		a.mute = 0
		return false
	}
	now := a.deps.Clock.Now().Uptime
	if a.mute == 0 {
		a.mute = now
	}
	return now-a.mute < lookAgain
}

// ask asks the device what it is.
func (a *autoProbe) ask(ctx context.Context, stats *probes.PollStats) (found facts, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(a.options.Interval*8/10, minIdentify))
	defer cancel()
	asker := &Probe{device: a.device, deps: a.deps}
	stamp := a.deps.Clock.Now()
	s, uptime, err := a.device.reach(ctx, stats)
	if err != nil {
		return found, err
	}
	defer s.close()
	read := func(b *plan.Block) *reading {
		asker.blocks = []*plan.Block{b}
		return asker.read(ctx, s, a.device.newReading(stamp, uptime), nil)
	}
	r := read(identityBlock())
	if err := unanswered(ctx, r); err != nil {
		return found, err
	}
	found = newFacts(r.Reading)
	if known := a.facts.MAC; !found.Told || known != "" && found.MAC != known {
		addresses := read(addressBlock())
		found.MAC = keepMAC(known, found.MAC, addresses.Columns[ifPhysAddress])
		if known != "" && addresses.Partial[ifPhysAddress] && found.ObjectID == a.facts.ObjectID {
			found.MAC = known // it may be among those that were not read
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return found, ctx.Err()
	}
	return found, nil
}

// unanswered tells why it is not known what the device is. One that has no
// sysObjectID, or cannot give it, has answered all the same.
func unanswered(ctx context.Context, r *reading) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	why := r.failed[sysObjectID]
	silent := errors.Is(why, errTimeout) || errors.Is(why, errGone) || errors.Is(why, errOutOfTime)
	switch {
	case why == nil, errors.Is(why, errUnreadable), errors.Is(why, errMalformed), errors.Is(why, errDenied), !silent && !r.empty():
		return nil
	}
	return probes.WithStatus(probes.StatusDeviceConnectionError,
		fmt.Errorf("the device answered once and then no more: ask what it is: %w: check the link and the load of the device", why))
}

// choose sets the profile for what the device is. Where it is the one that is
// in use its counters go on.
func (a *autoProbe) choose(found facts) error {
	chosen, err := a.compile(found)
	if err != nil {
		return probes.WithStatus(probes.StatusInvalidConfigError, err)
	}
	if a.probe == nil || chosen != a.plan {
		a.probe = &Probe{
			device: a.device, blocks: chosen.At(a.options.Interval), deps: a.deps,
			state: plan.State{Constants: a.deps.Constants},
		}
		a.deps.Log.Info().Str("device", a.device.label()).Str("profile", shortName(chosen.Extension)).
			Str("sysobjectid", found.ObjectID).Msg("device recognised")
	}
	if a.facts.Told && found.Told && found.MAC != a.facts.MAC { // another one of the same model
		a.probe.state.Restarted()
	}
	a.facts, a.again = found, 0
	a.probe.chassisMAC = found.MAC
	a.device.NoBulk, a.device.Unordered = chosen.Walk.NoBulk, chosen.Walk.Unordered
	if a.maxReps == 0 {
		a.device.MaxReps = chosen.Walk.MaxReps
	}
	a.told.Lock()
	defer a.told.Unlock()
	a.plan = chosen
	return nil
}

func (a *autoProbe) compile(found facts) (*plan.Plan, error) {
	if a.profile == auto {
		return a.profiles.For(found.ObjectID, found.Descr, a.options)
	}
	return a.profiles.Named(a.profile, a.options)
}

type autoCheckpoint struct {
	Facts facts  `json:"facts"`
	Probe []byte `json:"probe"` // its own checkpoint
}

// Checkpoint gives what the device is and the counter baselines, nil before
// first contact.
func (a *autoProbe) Checkpoint() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.probe == nil {
		return nil, nil
	}
	data, err := a.probe.Checkpoint()
	if err != nil {
		return nil, err
	}
	return json.Marshal(autoCheckpoint{a.facts, data})
}

// Restore takes what Checkpoint gave. The device is then not asked again what
// it is, unless the first poll shows that it has restarted since.
func (a *autoProbe) Restore(data []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var c autoCheckpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("decode what the device is: %w", err)
	}
	a.facts = c.Facts // its address stays
	if len(c.Probe) == 0 {
		return nil
	}
	if err := a.choose(c.Facts); err != nil {
		return err
	}
	if err := a.probe.Restore(c.Probe); err != nil {
		a.probe = nil
		return err
	}
	return nil
}

// The OIDs that tell what a device is.
const (
	sysDescr             = "1.3.6.1.2.1.1.1.0"
	sysObjectID          = "1.3.6.1.2.1.1.2.0"
	lldpChassisIDSubtype = "1.0.8802.1.1.2.1.3.1.0"
	lldpChassisID        = "1.0.8802.1.1.2.1.3.2.0"
	bridgeAddress        = "1.3.6.1.2.1.17.1.1.0"
	ifPhysAddress        = "1.3.6.1.2.1.2.2.1.6"

	chassisIDIsMAC = 4 // LldpChassisIdSubtype macAddress
)

func identityBlock() *plan.Block {
	b := &plan.Block{Path: "identity", Interval: time.Second}
	for _, oid := range []string{sysDescr, sysObjectID, lldpChassisIDSubtype, lldpChassisID, bridgeAddress} {
		b.Dims = append(b.Dims, plan.Dim{Key: oid, Source: plan.Source{Kind: plan.FromScalar, OID: oid}})
	}
	return b
}

func addressBlock() *plan.Block {
	column := plan.Source{Kind: plan.FromColumn, OID: ifPhysAddress}
	return &plan.Block{Path: "identity", Interval: time.Second, Table: true, Dims: []plan.Dim{{Key: ifPhysAddress, Source: column}}}
}

func newFacts(r plan.Reading) facts {
	f := facts{
		ObjectID: strings.TrimPrefix(r.Scalars[sysObjectID].Text, "."),
		Descr:    plan.Readable([]byte(r.Scalars[sysDescr].Text)),
	}
	if c := r.Scalars[lldpChassisIDSubtype]; c.Kind == plan.Integer && c.Int == chassisIDIsMAC {
		f.MAC = macOf(r.Scalars[lldpChassisID])
	}
	if f.MAC == "" {
		f.MAC = macOf(r.Scalars[bridgeAddress])
	}
	f.Told = f.MAC != ""
	return f
}

// keepMAC keeps the known address as long as the device has it, since another
// one makes another device of it; else it takes what was found, else the lowest
// of the interfaces. Those that a maker gave out come before those that software
// made up, which come and go.
func keepMAC(known, found string, column map[string]plan.Cell) string {
	lowest := ""
	for _, c := range column {
		mac := macOf(c)
		if mac != "" && mac == known {
			return known
		}
		if mac != "" && (lowest == "" || compareMACs(mac, lowest) < 0) {
			lowest = mac
		}
	}
	if found != "" {
		return found
	}
	return lowest
}

// madeUp tells whether the bit of locally administered addresses is set.
func madeUp(mac string) bool { return strings.IndexByte("2367abef", mac[1]) >= 0 }

func compareMACs(a, b string) int {
	if made, other := madeUp(a), madeUp(b); made != other {
		if made {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}

// macOf is the cell as a MAC address of one station, "" where it is none.
func macOf(c plan.Cell) string {
	if c.Kind != plan.Octets || len(c.Text) != 6 || c.Text[0]&1 == 1 || c.Text == strings.Repeat("\x00", 6) {
		return ""
	}
	return strings.ReplaceAll(fmt.Sprintf("% x", c.Text), " ", ":")
}
