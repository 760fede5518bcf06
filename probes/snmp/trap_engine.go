package snmp

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// timeWindow is how far the clock of a message may be from that of its engine,
// in seconds (RFC 3414, section 2.2.3).
const timeWindow = 150

// ownEngine is the SNMP engine of the receiver, which is authoritative for
// informs.
type ownEngine struct {
	id      string
	boots   uint32
	started time.Duration
	users   engineUsers
}

func (e *ownEngine) clock(now time.Duration) clockOf {
	return clockOf{boots: e.boots, time: uint32(min((now-e.started)/time.Second, math.MaxInt32))}
}

// inTime tells whether a message for this engine is neither old nor replayed.
func (e *ownEngine) inTime(c clockOf, now time.Duration) bool {
	own := e.clock(now)
	return c.boots == own.boots && max(c.time, own.time)-min(c.time, own.time) <= timeWindow
}

// newEngine reads the engine from a file and counts the start. Where there is no
// file, engine and count begin together; without a name nothing is kept. The
// engine is good whatever the error.
func newEngine(file string, now time.Duration) (*ownEngine, error) {
	fresh := make([]byte, 8)
	_, _ = rand.Read(fresh)                      // it does not fail
	id := "\x80\x00\x00\x00\x05" + string(fresh) // RFC 3411, SnmpEngineID: octets of our own
	e := &ownEngine{id: id, boots: 1, started: now}
	if file == "" {
		return e, nil
	}
	data, err := os.ReadFile(file)
	if err == nil {
		if err = e.parse(string(data)); err != nil {
			return e, fmt.Errorf("read the SNMP engine in %s: %w; a new one is used after each start, remove the file to have one that stays", file, err)
		}
	} else if !os.IsNotExist(err) {
		return e, fmt.Errorf("read the SNMP engine: %w", err)
	}
	return e, e.save(file)
}

// parse takes "ENGINE BOOTS" and counts one start more.
func (e *ownEngine) parse(text string) error {
	word, count, _ := strings.Cut(strings.TrimSpace(text), " ")
	id, err := hex.DecodeString(word)
	if err != nil || len(id) < minEngineID || len(id) > maxEngineID {
		return fmt.Errorf("it holds no engine ID")
	}
	boots, err := strconv.ParseUint(count, 10, 31)
	if err != nil {
		return fmt.Errorf("it holds no count of starts")
	}
	e.id, e.boots = string(id), uint32(min(boots+1, math.MaxInt32-1))
	return nil
}

// save writes the file in one step, so that a power cut leaves one of the two.
func (e *ownEngine) save(file string) error {
	temporary := file + ".new"
	text := hex.EncodeToString([]byte(e.id)) + " " + strconv.FormatUint(uint64(e.boots), 10) + "\n"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keep the SNMP engine: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary, file)
	}
	if err != nil {
		return fmt.Errorf("keep the SNMP engine: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync() // some file systems cannot
		_ = dir.Close()
	}
	return nil
}

// Bounds of what is known of the engines of senders, and of our own.
const (
	maxTrapEngines = 4096
	maxEngineUsers = 8
	maxOwnUsers    = 512
)

// sender is the engine of a sender of traps, which is authoritative for them.
// Only messages with a good signature make one.
type sender struct {
	clock clockOf
	at    time.Duration // when the clock was heard
	users engineUsers
}

// userKey is a user by what it is, so that a reload finds its keys again.
type userKey struct{ name, auth, authPass, priv, privPass string }

func keyOf(c *probes.Credential) userKey {
	return userKey{c.User, string(c.Auth), c.AuthPass.Reveal(), string(c.Priv), c.PrivPass.Reveal()}
}

// engineUsers are the users who have signed messages for an engine.
type engineUsers map[userKey]*user

func (e *engineUsers) remember(u *user, most int) {
	key := keyOf(&u.credential)
	if (*e)[key] != nil {
		return
	}
	if *e == nil || len(*e) >= most {
		*e = engineUsers{}
	}
	(*e)[key] = u
}

// senders are the engines by their ids, in two generations: when the young one is
// full it becomes the old one, and what is still heard comes back from there.
type senders struct{ young, old map[string]*sender }

func (s *senders) find(id string) *sender {
	if e := s.young[id]; e != nil {
		return e
	}
	e := s.old[id]
	if e != nil {
		s.add(id, e)
	}
	return e
}

func (s *senders) add(id string, e *sender) {
	if s.young == nil || len(s.young) >= maxTrapEngines/2 {
		s.old, s.young = s.young, map[string]*sender{}
	}
	s.young[id] = e
}

// heard takes a message whose signature was good. false: it is older than what
// the engine has said before (RFC 3414, section 3.2, 7b).
func (s *senders) heard(id string, c clockOf, now time.Duration) (*sender, bool) {
	e := s.find(id)
	if e == nil {
		e = &sender{clock: c, at: now}
		s.add(id, e)
		return e, true
	}
	if c.boots > e.clock.boots || c.boots == e.clock.boots && c.time > e.clock.time {
		e.clock, e.at = c, now
		return e, true
	}
	elapsed := uint64(max(now-e.at, 0) / time.Second)
	return e, c.boots == e.clock.boots && uint64(c.time)+timeWindow >= uint64(e.clock.time)+elapsed
}
