package snmp

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
	"github.com/rs/zerolog"
)

// secureEngine is a device with SNMP v3 whose messages gosnmp makes, so that
// its cryptography is not ours. Its time goes by a clock that is turned by hand.
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
}

var (
	gosnmpAuth = map[probes.AuthProtocol]gosnmp.SnmpV3AuthProtocol{
		probes.AuthNone: gosnmp.NoAuth, probes.AuthMD5: gosnmp.MD5, probes.AuthSHA: gosnmp.SHA, probes.AuthSHA224: gosnmp.SHA224,
		probes.AuthSHA256: gosnmp.SHA256, probes.AuthSHA384: gosnmp.SHA384, probes.AuthSHA512: gosnmp.SHA512,
	}
	gosnmpPriv = map[probes.PrivProtocol]gosnmp.SnmpV3PrivProtocol{
		probes.PrivNone: gosnmp.NoPriv, probes.PrivDES: gosnmp.DES, probes.PrivAES: gosnmp.AES, probes.PrivAES192: gosnmp.AES192,
		probes.PrivAES256: gosnmp.AES256, probes.PrivAES192C: gosnmp.AES192C, probes.PrivAES256C: gosnmp.AES256C,
	}
)

const engineA, engineB = "\x80\x00\x1f\x88\x04engine-a", "\x80\x00\x1f\x88\x04engine-b"

func newSecureEngine(user probes.Credential) *secureEngine {
	e := &secureEngine{clock: newClock(), user: user, id: engineA, boots: 7, slow: 1}
	_ = e.codec(gosnmp.AuthPriv, clockOf{}).SecurityParameters.InitSecurityKeys() // which takes its time, once
	return e
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

func (e *secureEngine) codec(flags gosnmp.SnmpV3MsgFlags, c clockOf) *gosnmp.GoSNMP {
	return &gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags, ContextEngineID: e.id, ContextName: e.user.Context,
		SecurityParameters: &gosnmp.UsmSecurityParameters{
			UserName: e.user.User, AuthoritativeEngineID: e.id, AuthoritativeEngineBoots: c.boots, AuthoritativeEngineTime: c.time,
			AuthenticationProtocol: gosnmpAuth[e.user.Auth], AuthenticationPassphrase: e.user.AuthPass.Reveal(),
			PrivacyProtocol: gosnmpPriv[e.user.Priv], PrivacyPassphrase: e.user.PrivPass.Reveal(),
		},
	}
}

var levelFlags = map[byte]gosnmp.SnmpV3MsgFlags{noAuthNoPriv: gosnmp.NoAuthNoPriv, authNoPriv: gosnmp.AuthNoPriv, authPriv: gosnmp.AuthPriv}

// answer is what the device says to a datagram.
func (e *secureEngine) answer(in []byte) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	flags := levelFlags[levelOf(e.user)]
	now := clockOf{e.boots, e.time()}
	codec := e.codec(flags, now)
	if codec.SecurityParameters.InitSecurityKeys() != nil {
		return nil
	}
	p, err := codec.SnmpDecodePacket(bytes.Clone(in))
	if p == nil || p.SecurityParameters == nil {
		return nil
	}
	e.msgID, e.request = p.MsgID, p.RequestID
	usm := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	reply := func(codec *gosnmp.GoSNMP, kind gosnmp.PDUType, v gosnmp.SnmpPDU) [][]byte {
		if codec.SecurityParameters.InitSecurityKeys() != nil {
			return nil
		}
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
	return reply(codec, gosnmp.GetResponse, gosnmp.SnmpPDU{Name: "." + sysUpTime, Type: gosnmp.TimeTicks, Value: uint32(4711)})
}

// device is the engine behind a socket, polled by its own clock.
func (e *secureEngine) device(t *testing.T, k *kit) *device {
	t.Helper()
	d := rawAgent(t, e.answer)
	d.Timeout = 5 * time.Second
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

// TestUSMAgainstGosnmp is every pair of protocols, both key extensions of the
// long AES among them, at a device whose cryptography is gosnmp's.
func TestUSMAgainstGosnmp(t *testing.T) {
	t.Parallel()
	k := newKit(probes.Deps{})
	for auth := range gosnmpAuth {
		for priv := range gosnmpPriv {
			if auth == probes.AuthNone && priv != probes.PrivNone {
				continue
			}
			c := v3("u", auth, priv)
			c.Context = "vlan-7"
			stats, err := ask(t, newSecureEngine(c).device(t, k))
			if err != nil || stats.Requests != 2 || stats.Strays > 0 {
				t.Errorf("%s %s: %v, %+v", auth, priv, err, stats)
			}
		}
	}
	if len(k.keys.keys) != 2*(len(gosnmpAuth)-1) {
		t.Errorf("%d keys were made, want one of each pass phrase and hash", len(k.keys.keys))
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
		e := newSecureEngine(v3("u", probes.AuthMD5, has))
		d := e.device(t, newKit(probes.Deps{}))
		d.Timeout, d.Credentials[0].Priv = quick, asks
		for i, requests := range []int{4, 3} { // discovery, two tries, and once the other extension
			stats, err := ask(t, d)
			wantStatus(t, err, probes.StatusAuthenticationError, "write `priv: "+string(has)+"` instead of "+string(asks))
			if stats.Requests != requests {
				t.Errorf("poll %d: %d requests, want %d", i, stats.Requests, requests)
			}
		}
		e.change(func() { e.id = "" }) // no report has an engine now
		_, err := ask(t, d)
		wantStatus(t, err, probes.StatusDeviceConnectionError, "no answer from", "user and SNMP version (tried plant-v3 v3)")
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
	d.searched = false // as at the first contact
	if stats, err := ask(t, d); err != nil {
		t.Errorf("%v, %+v", err, stats)
	}
}

// What is not signed by the engine, or is for another context or user, is no
// answer.
func TestSealedAnswersAreChecked(t *testing.T) {
	t.Parallel()
	good := v3("u", probes.AuthSHA, probes.PrivAES)
	for name, spoil := range map[string]func(e *secureEngine, out []byte) []byte{
		"signature":      func(_ *secureEngine, out []byte) []byte { out[len(out)-1] ^= 1; return out },
		"cut off":        func(_ *secureEngine, out []byte) []byte { return out[:len(out)-1] },
		"message id":     func(_ *secureEngine, out []byte) []byte { out[bytes.Index(out, []byte{2, 4})+5] ^= 1; return out },
		"nothing signed": func(e *secureEngine, _ []byte) []byte { return e.plain() },
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
		d.Credentials = []probes.Credential{good}
		stats, err := ask(t, newDevice(d, newKit(probes.Deps{})))
		if err != nil || stats.Strays != 1 {
			t.Errorf("%s: %v, %+v; want the good answer after one stray", name, err, stats)
		}
	}
	e := newSecureEngine(good)
	d := e.device(t, newKit(probes.Deps{}))
	d.Credentials[0].Context = "other"
	d.Timeout = quick
	if stats, err := ask(t, d); !errors.Is(err, errTimeout) && err == nil || stats.Strays == 0 {
		t.Errorf("an answer of another context: %v, %+v", err, stats)
	}
}

// plain is an answer as anybody can make it.
func (e *secureEngine) plain() []byte {
	codec := e.codec(gosnmp.NoAuthNoPriv, clockOf{e.boots, e.time()})
	codec.SetMsgID(e.msgID - 1)
	codec.SetRequestID(e.request - 1)
	out, err := codec.SnmpEncodePacket(gosnmp.GetResponse, []gosnmp.SnmpPDU{{Name: "." + sysUpTime, Type: gosnmp.TimeTicks, Value: uint32(1)}}, 0, 0)
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

// FuzzUnseal gives arbitrary datagrams to a session that waits for a signed and
// encrypted answer. None is one: nobody can guess a signature.
func FuzzUnseal(f *testing.F) {
	e := newSecureEngine(v3("u", probes.AuthSHA256, probes.PrivAES))
	e.msgID, e.request = 7, 7
	f.Add(e.plain())
	w := new(writer)
	k := newKit(probes.Deps{})
	u := newUser(e.user)
	if err := u.bind(k.keys.localise(e.user, engineA), engineA); err != nil {
		f.Fatal(err)
	}
	w.seal(askUptime, 7, envelope{msgID: 7, flags: authPriv | reportable, engineID: engineA, user: "u"}, u)
	f.Add(bytes.Clone(w.bytes()))
	p := newPeer(k)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p.engine.adopt(engineA, clockOf{7, 0}, 0)
		s := &session{peer: p, scratch: new(scratch), lastID: 7, msgID: 7, stats: &probes.PollStats{}, version: version3, user: newUser(e.user)}
		keys, id := p.engine.keys(e.user, &k.keys)
		if err := s.user.bind(keys, id); err != nil {
			t.Fatal(err)
		}
		resp, ours, err := s.decode(datagram)
		if ours && err == nil {
			t.Fatalf("took %x for an answer: %+v", datagram, resp)
		}
	})
}
