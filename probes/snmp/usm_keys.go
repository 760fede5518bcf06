package snmp

import (
	"hash"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/probes"
)

// keyTable remembers what pass phrases make, since that is a hash over a
// megabyte.
type keyTable struct {
	mu   sync.Mutex
	keys map[phrase][]byte
}

type phrase struct {
	auth probes.AuthProtocol
	text string
}

// key is the key that a pass phrase makes (RFC 3414, A.2), for no engine yet.
func (t *keyTable) key(p phrase) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key, ok := t.keys[p]; ok {
		return key
	}
	if t.keys == nil {
		t.keys = map[phrase][]byte{}
	}
	key := stretched(authProtocols[p.auth].hash(), []byte(p.text))
	t.keys[p] = key
	return key
}

// stretched hashes a megabyte of repetitions of a pass phrase that is not empty.
func stretched(h hash.Hash, phrase []byte) []byte {
	block := slices.Repeat(phrase, 1+4096/len(phrase))
	left := 1 << 20
	for ; left > len(block); left -= len(block) {
		h.Write(block)
	}
	h.Write(block[:left])
	return h.Sum(nil)
}

// localised makes the key for one engine (RFC 3414, A.2).
func localised(h hash.Hash, key []byte, engineID string) []byte {
	h.Write(key)
	h.Write([]byte(engineID))
	h.Write(key)
	return h.Sum(nil)
}

// extended makes a key long enough for the cipher.
func extended(h authProtocol, key []byte, p privProtocol, engineID string) []byte {
	for len(key) < p.key {
		var more []byte
		if p.reeder {
			more = localised(h.hash(), stretched(h.hash(), key), engineID)
		} else {
			d := h.hash()
			d.Write(key)
			more = d.Sum(nil)
		}
		key = append(key, more...)
	}
	return key[:p.key]
}

// userKeys are the keys of one credential for one engine.
type userKeys struct{ auth, priv []byte }

func (t *keyTable) localise(c probes.Credential, engineID string) userKeys {
	var k userKeys
	h, ok := authProtocols[c.Auth]
	if !ok {
		return k
	}
	k.auth = localised(h.hash(), t.key(phrase{c.Auth, c.AuthPass.Reveal()}), engineID)
	if p, ok := privProtocols[c.Priv]; ok {
		k.priv = localised(h.hash(), t.key(phrase{c.Auth, c.PrivPass.Reveal()}), engineID)
		k.priv = extended(h, k.priv, p, engineID)
	}
	return k
}
