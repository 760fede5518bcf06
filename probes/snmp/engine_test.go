package snmp

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
	"github.com/rs/zerolog"
)

// secureEngine is a device with SNMP v3. Its time goes by a clock that is turned
// by hand.
type secureEngine struct {
	clock *clock
	user  probes.Credential

	mu       sync.Mutex
	id       string
	boots    uint32
	started  time.Duration
	slow     float64 // its seconds per second
	nameless bool    // the discovery does not tell the time
	stubborn bool    // no time is right
	msgID    uint32  // of the last request
	request  uint32
	value    gosnmp.SnmpPDU // of the answers
	keys     map[string]*gosnmp.UsmSecurityParameters
}

const engineA, engineB = "\x80\x00\x1f\x88\x04engine-a", "\x80\x00\x1f\x88\x04engine-b"

func newSecureEngine(user probes.Credential) *secureEngine {
	return &secureEngine{
		clock: newClock(), user: user, id: engineA, boots: 7, slow: 1, keys: map[string]*gosnmp.UsmSecurityParameters{},
		value: gosnmp.SnmpPDU{Name: "." + sysUpTime, Type: gosnmp.TimeTicks, Value: uint32(4711)},
	}
}

func (e *secureEngine) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *secureEngine) restart(boots uint32) {
	e.change(func() { e.boots, e.started = boots, e.clock.Now().Uptime })
}

func (e *secureEngine) time() uint32 {
	return uint32(float64(e.clock.Now().Uptime-e.started) / float64(time.Second) * e.slow)
}

// codec makes the messages of the device. Its keys are kept, so that the first
// answer is as fast as the others.
func (e *secureEngine) codec(flags gosnmp.SnmpV3MsgFlags, c clockOf) *gosnmp.GoSNMP {
	keys, ok := e.keys[e.id]
	if !ok {
		var err error
		if keys, err = localise(e.user, e.id); err != nil {
			panic(err)
		}
		e.keys[e.id] = keys
	}
	keys = keys.Copy().(*gosnmp.UsmSecurityParameters)
	keys.AuthoritativeEngineBoots, keys.AuthoritativeEngineTime = c.boots, c.time
	return &gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags,
		ContextEngineID: e.id, ContextName: e.user.Context, SecurityParameters: keys,
	}
}

// answer is what the device says to a datagram.
func (e *secureEngine) answer(in []byte) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	flags := gosnmp.SnmpV3MsgFlags(levelOf(e.user))
	now := clockOf{e.boots, e.time()}
	codec := e.codec(flags, now)
	p, err := codec.SnmpDecodePacket(bytes.Clone(in))
	if p == nil || p.SecurityParameters == nil {
		return nil
	}
	e.msgID, e.request = p.MsgID, p.RequestID
	usm := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	reply := func(codec *gosnmp.GoSNMP, kind gosnmp.PDUType, v gosnmp.SnmpPDU) [][]byte {
		codec.SetMsgID(p.MsgID - 1)
		codec.SetRequestID(p.RequestID - 1)
		out, err := codec.SnmpEncodePacket(kind, []gosnmp.SnmpPDU{v}, 0, 0)
		if err != nil {
			return nil
		}
		return [][]byte{out}
	}
	report := func(flags gosnmp.SnmpV3MsgFlags, counter string, c clockOf) [][]byte {
		return reply(e.codec(flags, c), gosnmp.Report, gosnmp.SnmpPDU{Name: counter, Type: gosnmp.Counter32, Value: uint32(1)})
	}
	gap := int64(usm.AuthoritativeEngineTime) - int64(now.time)
	switch {
	case usm.AuthoritativeEngineID != e.id && e.nameless:
		return report(gosnmp.NoAuthNoPriv, ".1.3.6.1.6.3.15.1.1.4.0", clockOf{})
	case usm.AuthoritativeEngineID != e.id:
		return report(gosnmp.NoAuthNoPriv, ".1.3.6.1.6.3.15.1.1.4.0", now)
	case err != nil:
		return nil // it drops what it cannot read
	case flags != 0 && (usm.AuthoritativeEngineBoots != e.boots || gap < -150 || gap > 150 || e.stubborn):
		return report(gosnmp.AuthNoPriv, ".1.3.6.1.6.3.15.1.1.2.0", now)
	}
	return reply(codec, gosnmp.GetResponse, e.value)
}

// device is the engine behind a socket, polled by its own clock.
func (e *secureEngine) device(t *testing.T, k *kit) *device {
	t.Helper()
	d := rawAgent(t, e.answer)
	d.Timeout = patient
	d.Credentials = []probes.Credential{e.user}
	return newDevice(d, k)
}

// ask is a poll of nothing but the sign of life.
func ask(t *testing.T, d *device) (probes.PollStats, error) {
	t.Helper()
	var stats probes.PollStats
	s, uptime, err := d.reach(t.Context(), &stats)
	if err == nil {
		s.close()
		if uptime != (plan.Cell{Kind: plan.Unsigned, Uint: 4711}) {
			t.Errorf("the uptime is %+v", uptime)
		}
	}
	return stats, err
}

// Every pair of protocols, the ones that net-snmp lacks among them, makes
// messages of its level that the other side can open.
func TestUSMPairs(t *testing.T) {
	t.Parallel()
	k := newKit(probes.Deps{})
	pair := func(auth probes.AuthProtocol, priv probes.PrivProtocol) {
		c := v3("u", auth, priv)
		c.Context = "vlan-7"
		stats, err := ask(t, newSecureEngine(c).device(t, k))
		if err != nil || stats.Requests != 2 || stats.Strays > 0 {
			t.Errorf("%s %s: %v, %+v", auth, priv, err, stats)
		}
	}
	pair(probes.AuthNone, probes.PrivNone)
	for auth := range authProtocols {
		pair(auth, probes.PrivNone)
		for priv := range privProtocols {
			pair(auth, priv)
		}
	}
}

// Days without a restart cost no report, and a restart costs one, whatever the
// device then makes of its count of starts.
func TestEngineClock(t *testing.T) {
	t.Parallel()
	for _, slow := range []float64{1, 0.97, 1.03} { // within 150 s in an hour
		e := newSecureEngine(v3("u", probes.AuthSHA256, probes.PrivAES))
		e.slow = slow
		d := e.device(t, newKit(probes.Deps{Clock: e.clock}))
		polls := func(reports int) {
			t.Helper()
			for i := range 48 {
				stats, err := ask(t, d)
				if i > 0 {
					reports = 0
				}
				if err != nil || stats.Reports != reports || stats.Requests != 1+reports {
					t.Fatalf("poll %d: %v, %+v; want %d reports", i, err, stats, reports)
				}
				e.clock.advance(time.Hour)
			}
		}
		polls(1) // the discovery
		e.restart(8)
		polls(1)
		e.restart(1) // it has lost its count
		polls(1)
		e.change(func() { e.id = engineB }) // it was replaced
		polls(1)
	}
}

func TestEngineDiscoveryWithoutTime(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthSHA, probes.PrivDES))
	e.nameless = true
	d := e.device(t, newKit(probes.Deps{Clock: e.clock}))
	e.clock.advance(time.Hour)
	for i, want := range []int{2, 0} {
		if stats, err := ask(t, d); err != nil || stats.Reports != want {
			t.Errorf("poll %d: %v, %+v; want %d reports", i, err, stats, want)
		}
	}
}

// A device that finds no time right is given up after a new discovery.
func TestEngineNeverInTime(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthSHA, probes.PrivNone))
	e.stubborn = true
	d := e.device(t, newKit(probes.Deps{Clock: e.clock}))
	stats, err := ask(t, d)
	wantStatus(t, err, probes.StatusAuthenticationError, errNotInTime.Error())
	if stats.Requests != 5 || stats.Reports != 5 {
		t.Errorf("%+v, want two discoveries and three requests", stats)
	}
	e.change(func() { e.stubborn = false })
	if _, err := ask(t, d); err != nil {
		t.Error(err)
	}
}

// Wrong key extensions are found and named in both directions; later polls do
// not look again, and a device that is gone is called gone.
func TestKeyExtensionNamed(t *testing.T) {
	t.Parallel()
	for has, asks := range map[probes.PrivProtocol]probes.PrivProtocol{
		probes.PrivAES192: probes.PrivAES192C, probes.PrivAES256C: probes.PrivAES256,
	} {
		t.Run(string(has), func(t *testing.T) {
			t.Parallel()
			e := newSecureEngine(v3("u", probes.AuthMD5, has))
			d := e.device(t, newKit(probes.Deps{}))
			d.Timeout, d.Retries, d.Credentials[0].Priv = unhurried, 0, asks
			for i, requests := range []int{3, 2} { // discovery, a try, and once the other extension
				stats, err := ask(t, d)
				wantStatus(t, err, probes.StatusAuthenticationError, "write `priv: "+string(has)+"` instead of "+string(asks))
				if stats.Requests != requests {
					t.Errorf("poll %d: %d requests, want %d", i, stats.Requests, requests)
				}
			}
			e.change(func() { e.id = "" }) // no report has an engine now
			_, err := ask(t, d)
			wantStatus(t, err, probes.StatusDeviceConnectionError, "no answer from", "user and SNMP version (tried plant-v3 v3)")
		})
	}
}

// Several users at a dead device cost two requests, and one lost datagram does
// not hide a device.
func TestSeveralUsers(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthSHA, probes.PrivAES))
	other := e.user
	other.User = "v"
	asked := 0
	dev := rawAgent(t, func(in []byte) [][]byte {
		if asked++; asked <= 3 {
			return nil
		}
		return e.answer(in)
	})
	dev.Timeout, dev.Credentials = quick, []probes.Credential{other, other, e.user}
	d := newDevice(dev, newKit(probes.Deps{}))
	if stats, err := ask(t, d); err == nil || stats.Requests != enoughSilence {
		t.Errorf("%v, %+v; want two requests", err, stats)
	}
	d.searched, d.Timeout = false, unhurried // as at the first contact
	if stats, err := ask(t, d); err != nil {
		t.Errorf("%v, %+v", err, stats)
	}
}

// What is not signed by the engine at the level of the user, or is for another
// context, user or engine, is no answer.
func TestSealedAnswersAreChecked(t *testing.T) {
	t.Parallel()
	good := v3("u", probes.AuthSHA, probes.PrivAES)
	for name, spoil := range map[string]func(e *secureEngine, out []byte) []byte{
		"signature":      func(_ *secureEngine, out []byte) []byte { out[len(out)-1] ^= 1; return out },
		"cut off":        func(_ *secureEngine, out []byte) []byte { return out[:len(out)-1] },
		"message id":     func(_ *secureEngine, out []byte) []byte { out[bytes.Index(out, []byte{2, 4})+5] ^= 1; return out },
		"nothing signed": func(e *secureEngine, _ []byte) []byte { return e.made(gosnmp.NoAuthNoPriv, good, engineA) },
		"not encrypted":  func(e *secureEngine, _ []byte) []byte { return e.made(gosnmp.AuthNoPriv, good, engineA) },
		"other engine":   func(e *secureEngine, _ []byte) []byte { return e.made(gosnmp.AuthPriv, good, engineB) },
		"other user": func(e *secureEngine, _ []byte) []byte {
			other := good
			other.User = "v"
			return e.made(gosnmp.AuthPriv, other, engineA)
		},
	} {
		e := newSecureEngine(good)
		count := 0
		d := rawAgent(t, func(in []byte) [][]byte {
			out := e.answer(in)
			if count++; count > 1 && len(out) > 0 {
				out = [][]byte{spoil(e, bytes.Clone(out[0])), out[0]}
			}
			return out
		})
		d.Timeout, d.Credentials = patient, []probes.Credential{good}
		stats, err := ask(t, newDevice(d, newKit(probes.Deps{})))
		if err != nil || stats.Strays != 1 {
			t.Errorf("%s: %v, %+v; want the good answer after one stray", name, err, stats)
		}
	}
	e := newSecureEngine(good)
	d := e.device(t, newKit(probes.Deps{}))
	d.Credentials[0].Context = "other"
	d.Timeout, d.Retries = unhurried, 0
	if stats, err := ask(t, d); err == nil || stats.Strays == 0 {
		t.Errorf("an answer of another context: %v, %+v", err, stats)
	}
}

// made is an answer to the last request as somebody else can make it.
func (e *secureEngine) made(level gosnmp.SnmpV3MsgFlags, user probes.Credential, id string) []byte {
	keys, err := localise(user, id)
	if err != nil {
		return nil
	}
	codec := e.codec(level, clockOf{e.boots, e.time()})
	keys.AuthoritativeEngineBoots, keys.AuthoritativeEngineTime = e.boots, e.time()
	codec.SecurityParameters = keys
	codec.SetMsgID(e.msgID - 1)
	codec.SetRequestID(e.request - 1)
	out, err := codec.SnmpEncodePacket(gosnmp.GetResponse, []gosnmp.SnmpPDU{e.value}, 0, 0)
	if err != nil {
		return nil
	}
	return out
}

// Two devices with one engine ID are named, once; one device is not.
func TestEngineTwice(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := newKit(probes.Deps{Log: zerolog.New(&log)})
	c := v3("u", probes.AuthSHA, probes.PrivAES)
	first, second := newSecureEngine(c), newSecureEngine(c)
	a, b := first.device(t, k), second.device(t, k)
	for i, d := range []*device{a, a, b, b, a} {
		if _, err := ask(t, d); err != nil {
			t.Fatalf("poll %d: %v", i, err)
		}
		d.peer.engine.forget()
	}
	if said := log.String(); strings.Count(said, "one SNMP engine ID") != 1 || !strings.Contains(said, hostPort(a.Device)) || !strings.Contains(said, hostPort(b.Device)) {
		t.Errorf("the log says %s", said)
	}
}
