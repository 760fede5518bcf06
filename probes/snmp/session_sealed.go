package snmp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/probes"
)

// maxMends is how often a request is sent again because of what the engine
// reported: with its clock, then after a new discovery.
const maxMends = 2

// enoughSilence is after how many requests an engine is not asked for its name
// again, whatever the number of credentials.
const enoughSilence = 2

// sendSealed sends a request as the user of the session.
func (s *session) sendSealed(ctx context.Context, r request, tries int) (response, error) {
	for mends := 0; ; mends++ {
		if err := s.discover(ctx, tries); err != nil {
			return response{}, err
		}
		packet, err := s.seal(r)
		if err != nil {
			return response{}, err
		}
		resp, err := s.attempt(ctx, packet, tries)
		if !errors.Is(err, errNotInTime) && !errors.Is(err, errUnknownEngine) || mends == maxMends {
			return resp, err
		}
		if mends > 0 { // what the report said was of no use
			s.peer.engine.forget()
		}
	}
}

// discover asks for the engine (RFC 3414, section 4) where it is not known, and
// takes the keys for it.
func (s *session) discover(ctx context.Context, tries int) error {
	e := &s.peer.engine
	if id, _ := e.state(s.peer.now()); id == "" {
		if s.mute >= enoughSilence {
			return errTimeout
		}
		s.user.engineID = ""
		s.msgID = nextID(s.msgID)
		packet, err := discovery(s.msgID, s.lastID)
		if err != nil {
			return fmt.Errorf("make discovery: %w", err)
		}
		_, err = s.attempt(ctx, packet, tries)
		if errors.Is(err, errTimeout) {
			s.mute += tries
		}
		if err != nil {
			return err
		}
		s.mute = 0
	}
	if s.user.engineID != "" {
		return nil
	}
	keys, err := e.keys(&s.peer.keyring, s.user.credential)
	if err != nil {
		return fmt.Errorf("make keys of credential %q: %w", s.user.credential.Name, err)
	}
	s.user.bind(keys)
	return nil
}

// seal makes a message of a request of v3. Each has an id of its own, so that a
// second report to an earlier one is not taken for news.
func (s *session) seal(r request) (packet []byte, err error) {
	s.msgID = nextID(s.msgID)
	_, clock := s.peer.engine.state(s.peer.now())
	return s.user.seal(r, s.msgID, s.lastID, clock)
}

// unseal is decode for v3. A report says why there is no response; it need not
// be signed, since an engine that does not know us cannot sign.
func (s *session) unseal(b []byte) (resp response, ours bool, err error) {
	m, ok := openSealed(b)
	if !ok || m.msgID != int64(s.msgID) || !s.trusted(&m) {
		return response{}, false, nil
	}
	u := s.user
	p, context, ok := openScoped(m.scoped)
	switch {
	case !ok:
		return response{}, false, nil
	case p.kind == berReport:
		return s.report(&m, p)
	case p.kind != berResponse, p.id != int64(s.lastID), m.level != u.level,
		u.engineID == "", string(m.engineID) != u.engineID,
		string(m.user) != u.credential.User, string(context) != u.credential.Context:
		return response{}, false, nil
	}
	if u.level != noAuthNoPriv {
		s.peer.engine.heard(m.clock, s.peer.now())
	}
	s.peer.engine.prove(u.credential)
	resp, err = s.response(p)
	resp.size = len(b)
	return resp, true, err
}

// trusted tells whether a message that says it is signed is so, by our user and
// the engine, and decrypts it. What is not signed can still be a report.
func (s *session) trusted(m *sealed) bool {
	u := s.user
	switch {
	case m.level == noAuthNoPriv:
		return true
	case m.level&u.level != m.level, u.engineID == "", string(m.engineID) != u.engineID, string(m.user) != u.credential.User:
		return false
	}
	return u.open(m.message)
}

// report takes what a report says of the engine.
func (s *session) report(m *sealed, p pdu) (resp response, ours bool, err error) {
	id := string(m.engineID)
	vars, _ := s.peer.oids.varbinds(p.list, nil)
	why := errReport
	if len(vars) > 0 && reports[vars[0].oid] != nil {
		why = reports[vars[0].oid]
	}
	named := len(id) >= minEngineID && len(id) <= maxEngineID
	switch {
	case !named:
		return response{}, false, nil
	case s.user.engineID == "": // whatever it complains of, it has named itself
		why = nil
	case errors.Is(why, errUnknownEngine):
		s.user.engineID = ""
	case id != s.user.engineID:
		return response{}, false, nil
	}
	s.stats.Reports++
	if why == nil || errors.Is(why, errUnknownEngine) || errors.Is(why, errNotInTime) {
		s.adopt(id, m.clock)
	}
	return response{}, true, why
}

// adopt takes an engine and warns where another device has the same one.
func (s *session) adopt(id string, c clockOf) {
	if !s.peer.engine.adopt(id, c, s.peer.now()) {
		return
	}
	if other, twice := s.peer.owners.claim(id, s.socket.to); twice {
		s.peer.log.Warn().Stringer("device", s.socket.to).Stringer("other", other).Str("engine_id", hex.EncodeToString([]byte(id))).
			Msg("two addresses have one SNMP engine ID: they are one device, or one was copied from the other and needs an engine ID of its own")
	}
}

// diagnose finds out, once for each credential, why encrypted requests get no
// answer although the engine gives one: a device drops what it cannot decrypt.
// It asks with the other key extension, then without encryption.
func (s *session) diagnose(ctx context.Context, silence error) error {
	u := s.user
	if u == nil || u.level != authPriv || s.mute > 0 || ctx.Err() != nil || !errors.Is(silence, errTimeout) {
		return silence
	}
	proved, verdict := s.peer.engine.judged(u.credential)
	if proved {
		return silence
	}
	if verdict == nil {
		verdict = s.compare(ctx, u.credential)
		s.user = u
		s.peer.engine.judge(u.credential, verdict)
	}
	if verdict == nil {
		return silence
	}
	return verdict
}

func (s *session) compare(ctx context.Context, c probes.Credential) error {
	if other := otherExtension[c.Priv]; other != "" {
		changed := c
		changed.Priv = other
		if s.understood(ctx, changed) {
			return errOtherExtension
		}
	}
	changed := c
	changed.Priv, changed.PrivPass = probes.PrivNone, probes.Secret{}
	if s.understood(ctx, changed) {
		return errSilentPrivacy
	}
	return nil
}

// understood tells whether a credential gets any response at all.
func (s *session) understood(ctx context.Context, c probes.Credential) bool {
	if s.use(c) != nil {
		return false
	}
	_, err := s.send(ctx, request{kind: get, oids: []string{sysUpTime}}, 1)
	return err == nil || errors.Is(err, errMalformed)
}
