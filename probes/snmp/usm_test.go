package snmp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

// localise makes keys; what pass phrases make is kept for all tests.
func localise(c probes.Credential, engineID string) (*gosnmp.UsmSecurityParameters, error) {
	return testKeys.localise(c, engineID)
}

var testKeys keyring

// The examples of RFC 3414, A.3 and of draft-reeder-snmpv3-usm-3dese-00, B: one
// pass phrase and engine, and what extends a key.
func TestPublishedKeys(t *testing.T) {
	t.Parallel()
	const engine = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	for auth, want := range map[probes.AuthProtocol]string{
		probes.AuthMD5: "526f5eed9fcce26f8964c2930787d82b" + "79eff44a90650ee0a3a40abfac5acc12",
		probes.AuthSHA: "6695febc9288e36282235fc7151f128497b38f3f" + "9b8b6d78936ba6e7d19dfd9c",
	} {
		c := probes.Credential{User: "u", Auth: auth, AuthPass: probes.NewSecret("maplesyrup"), PrivPass: probes.NewSecret("maplesyrup")}
		for priv, size := range map[probes.PrivProtocol]int{probes.PrivAES: 16, probes.PrivAES192C: 24, probes.PrivAES256C: 32} {
			c.Priv = priv
			keys, err := localise(c, engine)
			if err != nil || hex.EncodeToString(keys.PrivacyKey) != want[:2*size] {
				t.Errorf("%s %s: %x %v, want %s", auth, priv, keys.PrivacyKey, err, want[:2*size])
			}
			if got := hex.EncodeToString(keys.SecretKey); got != want[:len(got)] || len(got) < 32 {
				t.Errorf("%s: %s, want %s", auth, got, want)
			}
		}
	}
}

// Every pair of protocols makes the keys that gosnmp makes, which hashes and
// extends by itself.
func TestKeysAreThoseOfGosnmp(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a long pass phrase ", 300)
	for auth := range authProtocols {
		for priv := range privProtocols {
			for _, phrases := range [][2]string{{authPhrase, privPhrase}, {"12345678", long}} {
				if testing.Short() && phrases[1] == long {
					continue
				}
				c := v3("u", auth, priv)
				c.AuthPass, c.PrivPass = probes.NewSecret(phrases[0]), probes.NewSecret(phrases[1])
				got, err := localise(c, engineA)
				want := &gosnmp.UsmSecurityParameters{
					AuthoritativeEngineID: engineA, AuthenticationProtocol: authProtocols[auth], AuthenticationPassphrase: phrases[0],
					PrivacyProtocol: privProtocols[priv], PrivacyPassphrase: phrases[1],
				}
				if err != nil || want.InitSecurityKeys() != nil || !bytes.Equal(got.SecretKey, want.SecretKey) {
					t.Errorf("%s: %x %v, want %x", auth, got.SecretKey, err, want.SecretKey)
				}
				size := len(got.PrivacyKey) // gosnmp leaves the key of DES longer than it is
				if size < 16 || priv != probes.PrivDES && size != len(want.PrivacyKey) || !bytes.Equal(got.PrivacyKey, want.PrivacyKey[:size]) {
					t.Errorf("%s %s: %x, want %x", auth, priv, got.PrivacyKey, want.PrivacyKey)
				}
				if got.AuthenticationPassphrase+got.PrivacyPassphrase != "" {
					t.Error("gosnmp is told the pass phrases")
				}
			}
		}
	}
}

// What is remembered is by pass phrase and bounded: engines leave nothing, and
// neither do many pass phrases.
func TestKeyringIsBounded(t *testing.T) {
	t.Parallel()
	var k keyring
	c := v3("u", probes.AuthSHA, probes.PrivAES256C)
	for i := range 3 {
		if _, err := k.localise(c, fmt.Sprint("engine", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.phrases) != 2 {
		t.Errorf("%d pass phrases are kept, want 2", len(k.phrases))
	}
	for i := range 2 * maxPhrases {
		k.phrases[sha256.Sum256([]byte{byte(i), byte(i >> 8)})] = []byte{0}
	}
	c.AuthPass = probes.NewSecret("one more of them")
	if k.authKey(c, "another"); len(k.phrases) > maxPhrases {
		t.Errorf("%d pass phrases are kept", len(k.phrases))
	}
	if _, err := k.localise(v3("u", probes.AuthProtocol("none such"), probes.PrivNone), engineA); err == nil {
		t.Error("keys of an unknown protocol")
	}
}

// The keys of an engine are made once: neither later polls nor a restart look
// at the pass phrases again, another engine does.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthSHA256, probes.PrivAES256C))
	d := e.device(t, newKit(probes.Deps{Clock: e.clock}))
	poll := func() *gosnmp.UsmSecurityParameters {
		t.Helper()
		if _, err := ask(t, d); err != nil {
			t.Error(err)
		}
		return d.peer.engine.users[d.Credentials[0]]
	}
	first := poll()
	if again := poll(); again != first {
		t.Error("the second poll has made keys")
	}
	e.restart(9)
	if again := poll(); again != first {
		t.Error("a restart has made keys")
	}
	e.change(func() { e.id = engineB })
	if other := poll(); bytes.Equal(other.SecretKey, first.SecretKey) {
		t.Error("two engines have one key")
	}
}

// A varbind that gosnmp cannot read does not cost those that our codec can, but
// a signature does.
func TestOddVarbindsOfSealedAnswers(t *testing.T) {
	t.Parallel()
	for _, priv := range []probes.PrivProtocol{probes.PrivNone, probes.PrivAES} {
		u, answer := oddAnswer(t, priv)
		s := &session{
			peer: newPeer(newKit(probes.Deps{})), scratch: new(scratch), lastID: 7, msgID: 7, stats: &probes.PollStats{}, version: version3, user: u,
		}
		if _, err := u.codec.UnmarshalTrap(bytes.Clone(answer), true); err == nil {
			t.Errorf("%s: gosnmp reads it all: this test is about nothing", priv)
		}
		forged := bytes.Clone(answer)
		forged[len(forged)-1] ^= 1
		if _, ours, _ := s.decode(forged); ours {
			t.Errorf("%s: took a forged answer", priv)
		}
		resp, ours, err := s.decode(answer)
		want := []varbind{{oid: sysUpTime, tag: berTimeTicks, cell: plan.Cell{Kind: plan.Unsigned, Uint: 4711}}, {oid: "1.3.6.1.2.1.1.7.0", tag: berInteger}}
		if !ours || err != nil || !slices.Equal(resp.vars, want) {
			t.Errorf("%s: %v %v %+v", priv, ours, err, resp.vars)
		}
	}
}

// oddAnswer ends in an INTEGER of no octets: gosnmp makes a string of none, in
// which one octet changes, encrypted as it is, before it is signed again.
func oddAnswer(t *testing.T, priv probes.PrivProtocol) (*user, []byte) {
	t.Helper()
	c := v3("u", probes.AuthSHA256, priv)
	keys, err := localise(c, engineA)
	if err != nil {
		t.Fatal(err)
	}
	u := newUser(c)
	u.bind(keys)
	u.codec.SetMsgID(6)
	u.codec.SetRequestID(6)
	answer, err := u.codec.SnmpEncodePacket(gosnmp.GetResponse, []gosnmp.SnmpPDU{
		{Name: sysUpTime, Type: gosnmp.TimeTicks, Value: uint32(4711)}, {Name: "1.3.6.1.2.1.1.7.0", Type: gosnmp.OctetString, Value: ""},
	}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	answer[len(answer)-2] ^= berOctets ^ berInteger
	p, err := u.codec.SnmpDecodePacket(bytes.Clone(answer))
	if p == nil || p.SecurityParameters == nil {
		t.Fatal(err)
	}
	signature := []byte(p.SecurityParameters.(*gosnmp.UsmSecurityParameters).AuthenticationParameters)
	at := bytes.Index(answer, signature)
	clear(answer[at : at+len(signature)])
	mac := hmac.New(sha256.New, keys.SecretKey)
	mac.Write(answer)
	copy(answer[at:], mac.Sum(nil)[:len(signature)])
	return u, answer
}

// gosnmp, which blanks a signature to check it, does not get to see what names
// another engine or user: it would make keys for it.
func TestForeignMessagesAreNotOpened(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthSHA, probes.PrivAES))
	e.msgID, e.request = 7, 7
	keys, err := localise(e.user, engineA)
	if err != nil {
		t.Fatal(err)
	}
	other := e.user
	other.User = "v"
	for name, datagram := range map[string][]byte{
		"engine": e.made(gosnmp.AuthPriv, e.user, engineB), "user": e.made(gosnmp.AuthPriv, other, engineA), "": e.made(gosnmp.AuthPriv, e.user, engineA),
	} {
		s := &session{
			peer: newPeer(newKit(probes.Deps{})), scratch: new(scratch), lastID: 7, msgID: 7, stats: &probes.PollStats{}, version: version3, user: newUser(e.user),
		}
		s.user.bind(keys)
		before := bytes.Clone(datagram)
		_, ours, _ := s.decode(datagram)
		if opened := !bytes.Equal(datagram, before); ours != (name == "") || opened != ours {
			t.Errorf("another %q: taken %v, opened %v", name, ours, opened)
		}
	}
}

// A part that has more in it than it must, where gosnmp would look for the next
// one, is refused.
func TestNothingHidesInSealed(t *testing.T) {
	t.Parallel()
	e := newSecureEngine(v3("u", probes.AuthNone, probes.PrivNone))
	plain := e.made(gosnmp.NoAuthNoPriv, e.user, engineA)
	const header = 5 // behind the version
	security := header + 2 + int(plain[header+1])
	scoped := security + 2 + int(plain[security+1])
	if _, ok := openSealed(plain); !ok || plain[header] != berSequence || plain[security] != berOctets || plain[scoped] != berSequence {
		t.Fatalf("not the message that this is about: %x", plain)
	}
	for name, test := range map[string]struct {
		at      int
		lengths []int // of what grows
	}{
		"header":                    {security, []int{1, header + 1}},
		"security parameters":       {scoped, []int{1, security + 1, security + 3}},
		"after security parameters": {scoped, []int{1, security + 1}},
		"after the scoped PDU":      {len(plain), []int{1}},
	} {
		longer := slices.Insert(bytes.Clone(plain), test.at, berOctets, 0)
		for _, at := range test.lengths {
			longer[at] += 2
		}
		if _, ok := openSealed(longer); ok {
			t.Errorf("%s: took %x", name, longer)
		}
	}
}

// FuzzOpenSealed: of what our reader takes, gosnmp reads the same engine, user
// and level, so that it never makes keys for another one.
func FuzzOpenSealed(f *testing.F) {
	e := newSecureEngine(v3("u", probes.AuthSHA, probes.PrivAES))
	f.Add(e.made(gosnmp.NoAuthNoPriv, e.user, engineA))
	f.Add(e.made(gosnmp.AuthNoPriv, e.user, engineA))
	f.Add(e.made(gosnmp.AuthPriv, e.user, engineB))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, ok := openSealed(bytes.Clone(datagram))
		if !ok {
			return
		}
		by := gosnmpHeader(datagram[:len(m.message)])
		if by == nil {
			return
		}
		usm := by.SecurityParameters.(*gosnmp.UsmSecurityParameters)
		if usm.AuthoritativeEngineID != string(m.engineID) || usm.UserName != string(m.user) || byte(by.MsgFlags)&authPriv != m.level ||
			(clockOf{usm.AuthoritativeEngineBoots, usm.AuthoritativeEngineTime}) != m.clock {
			t.Errorf("%x is %+v, and to gosnmp %s", datagram, m, usm.SafeString())
		}
	})
}

// gosnmpHeader is what gosnmp reads of a message without keys; nil: nothing.
func gosnmpHeader(b []byte) (p *gosnmp.SnmpPacket) {
	defer func() {
		if recover() != nil {
			p = nil
		}
	}()
	codec := gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{UserName: "nobody", AuthenticationProtocol: gosnmp.NoAuth},
	}
	p, _ = codec.SnmpDecodePacket(bytes.Clone(b)) // what needs keys it cannot read
	if p == nil || p.SecurityParameters == nil {
		return nil
	}
	return p
}

// FuzzUnseal gives arbitrary datagrams to a session that waits for a signed and
// encrypted answer. None is one: nobody can guess a signature.
func FuzzUnseal(f *testing.F) {
	e := newSecureEngine(v3("u", probes.AuthSHA256, probes.PrivAES))
	e.msgID, e.request = 7, 7
	f.Add(e.made(gosnmp.NoAuthNoPriv, e.user, engineA))
	f.Add(e.made(gosnmp.AuthNoPriv, e.user, engineA))
	f.Add(e.made(gosnmp.AuthPriv, e.user, engineB))
	p := newPeer(newKit(probes.Deps{}))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p.engine.adopt(engineA, clockOf{7, 0}, 0)
		s := &session{peer: p, scratch: new(scratch), lastID: 7, msgID: 7, stats: &probes.PollStats{}, version: version3, user: newUser(e.user)}
		keys, err := p.engine.keys(&testKeys, e.user)
		if err != nil {
			t.Fatal(err)
		}
		s.user.bind(keys)
		resp, ours, err := s.decode(datagram)
		if ours && err == nil {
			t.Fatalf("took %x for an answer: %+v", datagram, resp)
		}
	})
}
