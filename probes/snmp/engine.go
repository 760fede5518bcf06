package snmp

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/gosnmp/gosnmp"
)

// clockOf is what an engine says of itself: how often it has started and the
// seconds since.
type clockOf struct{ boots, time uint32 }

// engine is what is known of the SNMP v3 engine of a device, and of how it
// takes our users.
type engine struct {
	mu    sync.Mutex
	id    string // "": to be discovered
	last  string // the last one that was known; what follows belongs to it
	clock clockOf
	at    time.Duration // when the clock was heard

	users    map[probes.Credential]*gosnmp.UsmSecurityParameters // localised
	proved   map[probes.Credential]bool                          // it was answered
	verdicts map[probes.Credential]error                         // why it is not, found out the long way
}

// state is the engine's id, "" where it is not known, and its clock as it
// should stand now.
func (e *engine) state(now time.Duration) (id string, c clockOf) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c = e.clock
	seconds := uint64(c.time) + uint64(max(now-e.at, 0)/time.Second)
	c.time = uint32(min(seconds, math.MaxInt32))
	return e.id, c
}

// adopt takes an engine as it presents itself; other: it is not the last one.
func (e *engine) adopt(id string, c clockOf, now time.Duration) (other bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if other = id != e.last; other {
		e.users, e.proved, e.verdicts, e.last = nil, nil, nil, id
	}
	e.id, e.clock, e.at = id, c, now
	return other
}

// heard sets the clock by a message of the engine.
func (e *engine) heard(c clockOf, now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clock, e.at = c, now
}

// forget has the engine discovered anew before the next request.
func (e *engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.id = ""
}

// keys are those of a credential for this engine, made at the first call and
// for the caller alone.
func (e *engine) keys(ring *keyring, c probes.Credential) (*gosnmp.UsmSecurityParameters, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys, ok := e.users[c]
	if !ok {
		var err error
		if keys, err = ring.localise(c, e.last); err != nil {
			return nil, err
		}
		if e.users == nil {
			e.users = map[probes.Credential]*gosnmp.UsmSecurityParameters{}
		}
		e.users[c] = keys
	}
	return keys.Copy().(*gosnmp.UsmSecurityParameters), nil
}

// prove notes that a credential was answered.
func (e *engine) prove(c probes.Credential) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.proved == nil {
		e.proved = map[probes.Credential]bool{}
	}
	e.proved[c] = true
	delete(e.verdicts, c)
}

// judged is what is known of a credential.
func (e *engine) judged(c probes.Credential) (proved bool, verdict error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.proved[c], e.verdicts[c]
}

func (e *engine) judge(c probes.Credential, verdict error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.verdicts == nil {
		e.verdicts = map[probes.Credential]error{}
	}
	e.verdicts[c] = verdict
}

// engineOwners knows which address has which engine: where two have the same,
// one device was copied from the other.
type engineOwners struct {
	mu  sync.Mutex
	all map[string]netip.AddrPort
}

const maxOwners = 16_384

// claim notes the engine of an address. Where another address has it already,
// it gives that one.
func (o *engineOwners) claim(id string, at netip.AddrPort) (other netip.AddrPort, twice bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	other, known := o.all[id]
	if known || len(o.all) >= maxOwners {
		return other, known && other != at
	}
	if o.all == nil {
		o.all = map[string]netip.AddrPort{}
	}
	o.all[id] = at
	return other, false
}

// What an engine reports in place of an answer (RFC 3414, section 3.2), and
// what its silence means where that could be found out.
var (
	errUnknownUser    = errors.New("the device does not know the user")
	errLevel          = errors.New("the device does not support the security level for the user")
	errWrongDigest    = errors.New("the authentication protocol or pass phrase is wrong")
	errDecryption     = errors.New("the privacy protocol or pass phrase is wrong")
	errSilentPrivacy  = fmt.Errorf("user and authentication are right, but what is encrypted gets no answer: %w", errDecryption)
	errOtherExtension = errors.New("the device extends the privacy key the other way")
	errNotInTime      = errors.New("the device keeps finding our idea of its clock wrong")
	errUnknownEngine  = errors.New("the device keeps changing its engine ID")
	errReport         = errors.New("the device answers with a report that is not known")
)

// reports are the counters that a report names.
var reports = map[string]error{
	"1.3.6.1.6.3.15.1.1.1.0": errLevel,
	"1.3.6.1.6.3.15.1.1.2.0": errNotInTime,
	"1.3.6.1.6.3.15.1.1.3.0": errUnknownUser,
	"1.3.6.1.6.3.15.1.1.4.0": errUnknownEngine,
	"1.3.6.1.6.3.15.1.1.5.0": errWrongDigest,
	"1.3.6.1.6.3.15.1.1.6.0": errDecryption,
}

// refusals are the errors that say more than silence.
var refusals = []error{errDenied, errUnknownUser, errLevel, errWrongDigest, errDecryption, errOtherExtension, errNotInTime, errUnknownEngine, errReport}
