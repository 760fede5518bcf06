package snmp

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"sync"

	"github.com/edgehold/edgehold/probes"
	"github.com/gosnmp/gosnmp"
)

// hashedPhrase is how many bytes of a repeated pass phrase make a key (RFC 3414,
// A.2), and maxPhrases of how many phrases a keyring knows what they make.
const (
	hashedPhrase = 1 << 20
	maxPhrases   = 1024
)

// keyring makes keys of credentials. What takes a megabyte of hashing it
// remembers, by pass phrase and never by engine: anybody may name an engine. It
// is safe for use by several goroutines.
type keyring struct {
	mu      sync.Mutex
	phrases map[[sha256.Size]byte][]byte
}

// localise makes the keys of a credential for an engine. The pass phrases stay
// out of what gosnmp gets, so that it makes none.
func (k *keyring) localise(c probes.Credential, engineID string) (*gosnmp.UsmSecurityParameters, error) {
	if err := checkUser(c); err != nil {
		return nil, err
	}
	keys := &gosnmp.UsmSecurityParameters{
		UserName: c.User, AuthoritativeEngineID: engineID,
		AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv,
	}
	if levelOf(c) >= authNoPriv {
		keys.AuthenticationProtocol, keys.SecretKey = authProtocols[c.Auth], k.authKey(c, engineID)
	}
	if levelOf(c) == authPriv {
		keys.PrivacyProtocol, keys.PrivacyKey = privProtocols[c.Priv], k.privKey(c, engineID)
	}
	return keys, nil
}

// authKey is the key of signatures.
func (k *keyring) authKey(c probes.Credential, engineID string) []byte {
	h := authProtocols[c.Auth].HashType()
	return localKey(h, k.phraseKey(h, c.AuthPass.Reveal()), engineID)
}

// privKey is the key of encryption. Where the hash makes it too short it is
// extended as the protocol says; the way of Reeder takes a megabyte of hashing
// for each engine.
func (k *keyring) privKey(c probes.Credential, engineID string) []byte {
	h := authProtocols[c.Auth].HashType()
	key := localKey(h, k.phraseKey(h, c.PrivPass.Reveal()), engineID)
	size := 16
	switch c.Priv {
	case probes.PrivAES192, probes.PrivAES192C:
		size = 24
	case probes.PrivAES256, probes.PrivAES256C:
		size = 32
	}
	switch {
	case len(key) >= size:
	case c.Priv == probes.PrivAES192C || c.Priv == probes.PrivAES256C:
		key = append(key, localKey(h, hashPhrase(h, key), engineID)...)
	default:
		more := h.New()
		more.Write(key)
		key = more.Sum(key)
	}
	return key[:size]
}

// phraseKey is what a pass phrase makes for all engines.
func (k *keyring) phraseKey(h crypto.Hash, phrase string) []byte {
	id := sha256.Sum256(append([]byte{byte(h)}, phrase...))
	k.mu.Lock() // while it is made too: many devices may ask for one at once
	defer k.mu.Unlock()
	if key := k.phrases[id]; key != nil {
		return key
	}
	if k.phrases == nil || len(k.phrases) >= maxPhrases {
		k.phrases = map[[sha256.Size]byte][]byte{}
	}
	key := hashPhrase(h, []byte(phrase))
	k.phrases[id] = key
	return key
}

// hashPhrase hashes a phrase, which is not empty, as often as it takes.
func hashPhrase(h crypto.Hash, phrase []byte) []byte {
	const enough = 4096
	block := bytes.Repeat(phrase, enough/len(phrase)+1)
	sum := h.New()
	for left := hashedPhrase; left > 0; left -= len(block) {
		sum.Write(block[:min(left, len(block))])
	}
	return sum.Sum(nil)
}

// localKey is a key for one engine.
func localKey(h crypto.Hash, key []byte, engineID string) []byte {
	sum := h.New()
	sum.Write(key)
	sum.Write([]byte(engineID))
	sum.Write(key)
	return sum.Sum(nil)
}
