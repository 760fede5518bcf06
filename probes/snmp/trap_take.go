package snmp

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// trapRefusal is why a datagram was not taken.
type trapRefusal uint8

// The refusals.
const (
	refusedSource trapRefusal = iota
	refusedMalformed
	refusedCommunity
	refusedUser
	refusedLevel
	refusedKeys
	refusedTime
	refusedFlood
	refusalKinds
)

const maxTrapOIDs = 1024

// refusalWords are for points and, with what to do, for people.
var refusalWords = [refusalKinds]struct{ word, text string }{
	refusedSource:    {"source", "from addresses that no source of the configuration holds"},
	refusedMalformed: {"malformed", "could not be read"},
	refusedCommunity: {"community", "with another community; compare it with that of the devices"},
	refusedUser:      {"user", "of a v3 user that no source has"},
	refusedLevel:     {"level", "at another security level than the user's; compare securityLevel"},
	refusedKeys:      {"keys", "with a wrong signature or encryption; compare protocols and pass phrases of the v3 user"},
	refusedTime:      {"time", "older than others of the same v3 engine: replayed, or the device lost its count of starts; restart this program to begin anew"},
	refusedFlood:     {"flood", "without a look, in a flood of v3 messages that came to nothing; have a firewall let the devices alone send"},
}

// candidate is a source of the configuration that a datagram may be of.
type candidate struct {
	sub        *subscriber
	credential probes.Credential
}

// candidates are the sources that hold an address.
func candidates(subs []*subscriber, from netip.Addr) []candidate {
	var all []candidate
	from = from.WithZone("")
	for _, s := range subs {
		for _, e := range s.entries {
			if e.From.Contains(from) {
				all = append(all, candidate{s, e.Credential})
			}
		}
	}
	return all
}

// those keeps the candidates that f likes.
func those(all []candidate, f func(c *probes.Credential) bool) []candidate {
	var some []candidate
	for _, c := range all {
		if f(&c.credential) {
			some = append(some, c)
		}
	}
	return some
}

// once calls f once for each source, which may listen to a port in several ways,
// and keeps the candidates of those that it is true for.
func once(all []candidate, f func(t *trapSource) bool) []candidate {
	verdicts := map[*trapSource]bool{}
	var some []candidate
	for _, c := range all {
		verdict, known := verdicts[c.sub.source]
		if !known {
			verdict = f(c.sub.source)
			verdicts[c.sub.source] = verdict
		}
		if verdict {
			some = append(some, c)
		}
	}
	return some
}

func refuse(all []candidate, why trapRefusal) {
	once(all, func(t *trapSource) bool { t.refuse(why); return true })
}

// take reads one datagram and gives it to who wants it. The reply, if there is
// one, may be in the memory of b. control is what the kernel told with it.
func (p *trapPort) take(b []byte, from netip.AddrPort, control []byte) (reply []byte) {
	subs := p.addressed(control)
	all := candidates(subs, from.Addr())
	if len(all) == 0 {
		for _, s := range subs {
			all = append(all, candidate{sub: s})
		}
		refuse(all, refusedSource)
		return nil
	}
	version, ok := versionOf(b)
	switch {
	case ok && version == version3:
		return p.takeSealed(b, from, all)
	case ok:
		return p.takePlain(b, from, all)
	}
	refuse(all, refusedMalformed)
	return nil
}

// takePlain takes a message of v1 or v2c.
func (p *trapPort) takePlain(b []byte, from netip.AddrPort, all []candidate) (reply []byte) {
	m, ok := openCommunity(b)
	if !ok {
		refuse(all, refusedMalformed)
		return nil
	}
	known := those(all, func(c *probes.Credential) bool {
		return c.Version != probes.SNMPv3 && subtle.ConstantTimeCompare([]byte(c.Community.Reveal()), m.community) == 1
	})
	if len(known) == 0 {
		refuse(all, refusedCommunity)
		return nil
	}
	now := p.receiver.now()
	if known = once(known, func(t *trapSource) bool { return t.admit(from.Addr(), now) }); len(known) == 0 {
		return nil
	}
	n, ok := p.notification(m.pdu, m.version)
	if !ok {
		refuse(known, refusedMalformed)
		return nil
	}
	if !p.deliver(n, from, known) || !n.inform {
		return nil
	}
	m.pdu[0] = berResponse // with the same id and varbinds (RFC 3416, section 4.2.7)
	_, end, _ := bounds(b)
	return b[:end]
}

// notification reads a PDU with the port's memory for OIDs, which begins anew
// before it gets large: traps may have other OIDs each time.
func (p *trapPort) notification(pdu []byte, version int64) (notification, bool) {
	if p.oids == nil || len(p.oids.young) > maxTrapOIDs {
		p.oids = &oidTable{whole: true}
	}
	return p.oids.notification(pdu, version)
}

// deliver gives a notification to its subscribers. false: nobody has room.
func (p *trapPort) deliver(n notification, from netip.AddrPort, to []candidate) bool {
	key := recentKey{from, n.id, n.oid}
	if n.inform && p.informs.has(key, p.receiver.now()) {
		return true
	}
	taken := len(once(to, func(t *trapSource) bool { return t.accept(&n, from.Addr()) })) > 0
	if n.inform && taken {
		p.informs.note(key)
	}
	return taken
}

// takeSealed takes a message of v3.
func (p *trapPort) takeSealed(b []byte, from netip.AddrPort, all []candidate) (reply []byte) {
	m, ok := openSealed(b)
	if !ok || m.msgID < 0 {
		refuse(all, refusedMalformed)
		return nil
	}
	r := p.receiver
	r.usm.Lock()
	defer r.usm.Unlock()
	s := sealedTrap{m: &m, id: string(m.engineID), own: r.ownEngine(), now: r.now(), receiver: r}
	if r.failures.over(from.Addr(), s.now) {
		refuse(all, refusedFlood)
		return nil
	}
	if s.id == "" && m.asks { // discovery (RFC 3414, section 4)
		r.failures.note(from.Addr(), 0)
		return s.report(errUnknownEngine)
	}
	users, why := s.users(all)
	if why == nil {
		users, why = s.open(users)
	}
	if why != nil {
		r.failures.note(from.Addr(), s.tried)
		return s.refuse(users, why)
	}
	if users = once(users, func(t *trapSource) bool { return t.admit(from.Addr(), s.now) }); len(users) == 0 {
		return nil
	}
	return p.takeOpened(&s, from, users)
}

// takeOpened takes a message of v3 that is in order and within the limits.
func (p *trapPort) takeOpened(s *sealedTrap, from netip.AddrPort, users []candidate) (reply []byte) {
	scope, ok := openScope(s.m.scoped)
	n, whole := p.notification(scope.pdu, version3)
	switch {
	case !ok || !whole:
		refuse(users, refusedMalformed)
	case n.inform && s.id != s.own.id:
		return s.report(errUnknownEngine)
	case p.deliver(n, from, users) && n.inform:
		return s.respond(scope)
	}
	return nil
}

// ownEngine is made when the first message of v3 comes.
func (r *TrapReceiver) ownEngine() *ownEngine {
	if r.engine == nil {
		var err error
		if r.engine, err = newEngine(r.file, r.now()); err != nil {
			r.log.Warn().Err(err).Msg("senders of SNMP v3 informs may have to find out the engine anew after a restart")
		}
	}
	return r.engine
}

// sealedTrap is a message of v3 that is being looked at.
type sealedTrap struct {
	m        *sealed
	id       string // of the engine that is authoritative
	own      *ownEngine
	now      time.Duration
	receiver *TrapReceiver
	user     *user // who has signed it
	tried    int   // keys
}

// users are the candidates that the message may be of, by its user and level.
// With an error they are those that refuse it.
func (s *sealedTrap) users(all []candidate) ([]candidate, error) {
	if len(s.id) < minEngineID || len(s.id) > maxEngineID {
		return all, errUnknownEngine
	}
	named := those(all, func(c *probes.Credential) bool { return c.Version == probes.SNMPv3 && c.User == string(s.m.user) })
	if len(named) == 0 {
		return all, errUnknownUser
	}
	level := those(named, func(c *probes.Credential) bool { return levelOf(*c) == s.m.level })
	if len(level) == 0 {
		return named, errLevel
	}
	return level, nil
}

// open finds the users whose keys fit, and looks at the time. The message is
// then decrypted. What has no good signature costs that look for it.
func (s *sealedTrap) open(users []candidate) ([]candidate, error) {
	why := errWrongDigest
	known := s.known()
	tried := map[userKey]bool{}
	for i := range users {
		c := &users[i].credential
		key := keyOf(c)
		if tried[key] {
			continue
		}
		tried[key] = true
		s.tried++
		u := known[key]
		if !s.signed(u, c) {
			continue
		}
		if u == nil {
			keys, err := s.receiver.keyring.localise(*c, s.id)
			if err != nil {
				continue
			}
			u = newUser(*c)
			u.bind(keys)
		}
		if !s.decrypt(u) {
			why = errDecryption
			continue
		}
		s.user = u
		return those(users, func(c *probes.Credential) bool { return keyOf(c) == key }), s.inTime()
	}
	return users, why
}

// known are the users who have signed messages for the engine before.
func (s *sealedTrap) known() engineUsers {
	if s.id == s.own.id {
		return s.own.users
	}
	if e := s.receiver.senders.find(s.id); e != nil {
		return e.users
	}
	return nil
}

// signed checks the signature with the key of a credential, which u has already
// unless it is nil.
func (s *sealedTrap) signed(u *user, c *probes.Credential) bool {
	switch {
	case s.m.level == noAuthNoPriv:
		return true
	case u != nil:
		return s.m.signedWith(u.keys.AuthenticationProtocol, u.keys.SecretKey)
	}
	return s.m.signedWith(authProtocols[c.Auth], s.receiver.keyring.authKey(*c, s.id))
}

// decrypt has gosnmp open the message. Where it cannot, the message stays as it
// is: another user may have the same signature.
func (s *sealedTrap) decrypt(u *user) bool {
	if s.m.level == noAuthNoPriv {
		return true
	}
	m, ok := openSealed(bytes.Clone(s.m.message))
	if !ok || !u.open(m.message) {
		return false
	}
	*s.m = m
	return true
}

// inTime looks at the clock of a message whose signature is good. Who has signed
// it is remembered.
func (s *sealedTrap) inTime() error {
	switch {
	case s.m.level == noAuthNoPriv:
		return nil
	case s.id == s.own.id:
		s.own.users.remember(s.user, maxOwnUsers)
		if !s.own.inTime(s.m.clock, s.now) {
			return errNotInTime
		}
		return nil
	}
	from, fresh := s.receiver.senders.heard(s.id, s.m.clock, s.now)
	from.users.remember(s.user, maxEngineUsers)
	if !fresh {
		return errNotInTime
	}
	return nil
}

// refuse counts the refusal and reports it to who asks. Who looks for our time
// does nothing wrong.
func (s *sealedTrap) refuse(users []candidate, why error) []byte {
	kind := refusedKeys
	switch {
	case errors.Is(why, errUnknownEngine):
		kind = refusedMalformed
	case errors.Is(why, errUnknownUser):
		kind = refusedUser
	case errors.Is(why, errLevel):
		kind = refusedLevel
	case errors.Is(why, errNotInTime):
		kind = refusedTime
	}
	if kind != refusedTime || !s.m.asks || s.id != s.own.id {
		refuse(users, kind)
	}
	switch {
	case !s.m.asks:
		return nil
	case s.id != s.own.id:
		return s.report(errUnknownEngine)
	}
	return s.report(why)
}

// report answers what cannot be taken, signed where the time is all that is
// wrong: who does not know our keys could not check it.
func (s *sealedTrap) report(why error) []byte {
	n := 0
	for i := 1; i <= len(reports); i++ {
		if errors.Is(why, reports[reportOID(i)]) {
			n = i
		}
	}
	if n == 0 {
		return nil
	}
	s.receiver.reported[n]++
	a := s.answer(noAuthNoPriv)
	if errors.Is(why, errNotInTime) {
		a = s.answer(authNoPriv)
	}
	a.scoped = reportScope(s.own.id, reportOID(n), s.receiver.reported[n], s.requestID())
	return s.seal(a)
}

func reportOID(n int) string { return "1.3.6.1.6.3.15.1.1." + strconv.Itoa(n) + ".0" }

// requestID is that of a PDU that can be read, else 0.
func (s *sealedTrap) requestID() uint32 {
	if s.m.level == authPriv && s.user == nil {
		return 0
	}
	scope, ok := openScope(s.m.scoped)
	if !ok {
		return 0
	}
	p, ok := openPDU(scope.pdu)
	if !ok || p.id < 0 || p.id > 0x7fffffff {
		return 0
	}
	return uint32(p.id)
}

// respond answers an inform in the security that it came with.
func (s *sealedTrap) respond(to scope) []byte {
	pdu := bytes.Clone(to.pdu)
	pdu[0] = berResponse
	w := writer{}
	w.raw(string(pdu))
	w.octets(string(to.name))
	w.octets(string(to.engine))
	w.head(berSequence, 0)
	a := s.answer(s.m.level)
	a.scoped = w.bytes()
	return s.seal(a)
}

func (s *sealedTrap) answer(level byte) answer {
	a := answer{msgID: uint32(s.m.msgID), level: level, engine: s.own.id, clock: s.own.clock(s.now), user: string(s.m.user)}
	if s.user != nil {
		a.keys = s.user.keys
	}
	return a
}

func (s *sealedTrap) seal(a answer) []byte {
	reply, err := a.seal()
	if err != nil {
		s.receiver.log.Error().Err(err).Msg("an SNMP inform could not be answered")
		return nil
	}
	return reply
}
