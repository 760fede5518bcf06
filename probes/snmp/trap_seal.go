package snmp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// gosnmp seals requests that it has encoded itself. An answer to an inform holds
// the varbinds as they came, so it is sealed here. It opens what it has made all
// keys for; what anybody may send is checked here first, with one of them.

// signatures are the lengths of signatures (RFC 3414, RFC 7860).
var signatures = map[gosnmp.SnmpV3AuthProtocol]int{
	gosnmp.MD5: 12, gosnmp.SHA: 12, gosnmp.SHA224: 16, gosnmp.SHA256: 24, gosnmp.SHA384: 32, gosnmp.SHA512: 48,
}

const (
	maxMessage = 65_507 // bytes that fit into a datagram
	saltSize   = 8
)

// answer is a message of v3 that answers one that came.
type answer struct {
	msgID  uint32
	level  byte
	engine string // ours, which is authoritative
	clock  clockOf
	user   string
	keys   *gosnmp.UsmSecurityParameters // for our engine; nil below authNoPriv
	scoped []byte                        // with its head
}

// seal encrypts and signs the answer as its level wants.
func (a answer) seal() ([]byte, error) {
	var salt []byte
	scoped := a.scoped
	w := writer{}
	if a.level == authPriv {
		salt = make([]byte, saltSize)
		_, _ = rand.Read(salt) // it does not fail
		var err error
		if scoped, err = a.encrypt(scoped, salt); err != nil {
			return nil, fmt.Errorf("encrypt answer: %w", err)
		}
		w.octets(string(scoped))
	} else {
		w.raw(string(scoped))
	}
	signature := 0
	if a.level >= authNoPriv {
		signature = signatures[a.keys.AuthenticationProtocol]
	}
	mark := w.size()
	w.octets(string(salt))
	w.octets(string(make([]byte, signature)))
	fromEnd := w.size() - 2 // where the signature begins; its head is two bytes
	w.octets(a.user)
	w.integer(a.clock.time)
	w.integer(a.clock.boots)
	w.octets(a.engine)
	w.head(berSequence, mark)
	w.head(berOctets, mark)
	mark = w.size()
	w.integer(usmModel)
	w.octets(string([]byte{a.level}))
	w.integer(maxMessage)
	w.integer(a.msgID)
	w.head(berSequence, mark)
	w.integer(version3)
	w.head(berSequence, 0)
	message := w.bytes()
	if signature > 0 {
		at := len(message) - fromEnd
		copy(message[at:at+signature], signatureOf(message, a.keys.AuthenticationProtocol, a.keys.SecretKey))
	}
	return message, nil
}

// signatureOf signs a message in which the place of the signature is blank.
func signatureOf(message []byte, auth gosnmp.SnmpV3AuthProtocol, key []byte) []byte {
	mac := hmac.New(auth.HashType().New, key)
	mac.Write(message)
	return mac.Sum(nil)[:signatures[auth]]
}

// signedWith tells whether a key has signed the message, which stays as it is.
func (m *sealed) signedWith(auth gosnmp.SnmpV3AuthProtocol, key []byte) bool {
	if len(m.signature) == 0 || len(m.signature) != signatures[auth] {
		return false
	}
	given := bytes.Clone(m.signature)
	clear(m.signature)
	want := signatureOf(m.message, auth, key)
	copy(m.signature, given)
	return hmac.Equal(want, given)
}

// encrypt works as RFC 3414, section 8, and RFC 3826 say.
func (a answer) encrypt(plain, salt []byte) ([]byte, error) {
	key := a.keys.PrivacyKey
	if a.keys.PrivacyProtocol == gosnmp.DES {
		return encryptDES(key, plain, salt)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	vector := make([]byte, 0, aes.BlockSize)
	vector = binary.BigEndian.AppendUint32(vector, a.clock.boots)
	vector = binary.BigEndian.AppendUint32(vector, a.clock.time)
	vector = append(vector, salt...)
	sealed := make([]byte, len(plain))
	for at := 0; at < len(plain); at += aes.BlockSize { // CFB with 128 bits
		block.Encrypt(vector, vector)
		end := min(at+aes.BlockSize, len(plain))
		for i := at; i < end; i++ {
			sealed[i] = plain[i] ^ vector[i-at]
		}
		copy(vector, sealed[at:end])
	}
	return sealed, nil
}

func encryptDES(key, plain, salt []byte) ([]byte, error) {
	if len(key) < 2*des.BlockSize {
		return nil, fmt.Errorf("a key of %d bytes is too short for DES", len(key))
	}
	block, err := des.NewCipher(key[:des.BlockSize])
	if err != nil {
		return nil, err
	}
	vector := make([]byte, des.BlockSize)
	for i := range vector {
		vector[i] = key[des.BlockSize+i] ^ salt[i]
	}
	sealed := make([]byte, (len(plain)+des.BlockSize-1)/des.BlockSize*des.BlockSize)
	copy(sealed, plain)
	cipher.NewCBCEncrypter(block, vector).CryptBlocks(sealed, sealed)
	return sealed, nil
}

// scope is a scoped PDU in its parts.
type scope struct{ engine, name, pdu []byte }

func openScope(b []byte) (s scope, ok bool) {
	if b, _, ok = element(b, berSequence); !ok { // DES leaves padding behind it
		return s, false
	}
	if s.engine, b, ok = element(b, berOctets); !ok {
		return s, false
	}
	s.name, s.pdu, ok = element(b, berOctets)
	return s, ok
}

// reportScope is the scoped PDU of a report: one counter, for the request of
// that id.
func reportScope(engine, oid string, count uint32, id uint32) []byte {
	w := writer{}
	w.integer(count)
	w.b[w.at] = berCounter32
	name := w.size()
	w.oid(oid)
	w.head(berOID, name)
	w.head(berSequence, 0)
	w.head(berSequence, 0)
	w.integer(0)
	w.integer(0)
	w.integer(id)
	w.head(berReport, 0)
	w.octets("")
	w.octets(engine)
	w.head(berSequence, 0)
	return w.bytes()
}
