package snmp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/edgehold/edgehold/probes"
)

// The user-based security model of SNMP v3 (RFC 3414, 3826, 7860) is our own:
// gosnmp's decoder checks no digest, so that anybody could answer for a device,
// and derives keys for whatever engine a datagram names.

// Security levels, as the flags of a message have them.
const (
	noAuthNoPriv byte = 0
	authNoPriv   byte = 1
	authPriv     byte = 3
	reportable   byte = 4 // a flag beside them
)

// authProtocol is a hash and how much of its HMAC a message carries.
type authProtocol struct {
	hash func() hash.Hash
	size int
}

var authProtocols = map[probes.AuthProtocol]authProtocol{
	probes.AuthMD5:    {md5.New, 12},
	probes.AuthSHA:    {sha1.New, 12},
	probes.AuthSHA224: {sha256.New224, 16},
	probes.AuthSHA256: {sha256.New, 24},
	probes.AuthSHA384: {sha512.New384, 32},
	probes.AuthSHA512: {sha512.New, 48},
}

// privProtocol is a cipher's key length. A key that the hash makes too short is
// extended as Reeder does or else as Blumenthal does.
type privProtocol struct {
	key    int
	reeder bool
	other  probes.PrivProtocol // the same cipher with the other extension
}

var privProtocols = map[probes.PrivProtocol]privProtocol{
	probes.PrivDES:     {key: 16},
	probes.PrivAES:     {key: 16},
	probes.PrivAES192:  {key: 24, other: probes.PrivAES192C},
	probes.PrivAES256:  {key: 32, other: probes.PrivAES256C},
	probes.PrivAES192C: {key: 24, reeder: true, other: probes.PrivAES192},
	probes.PrivAES256C: {key: 32, reeder: true, other: probes.PrivAES256},
}

// levelOf is the security level that a credential gives.
func levelOf(c probes.Credential) byte {
	switch {
	case c.Auth == probes.AuthNone:
		return noAuthNoPriv
	case c.Priv == probes.PrivNone:
		return authNoPriv
	}
	return authPriv
}

func levelName(level byte) string {
	switch level {
	case noAuthNoPriv:
		return "noAuthNoPriv"
	case authNoPriv:
		return "authNoPriv"
	}
	return "authPriv"
}

// checkUser tells whether messages can be made with a v3 credential.
func checkUser(c probes.Credential) error {
	_, auth := authProtocols[c.Auth]
	_, priv := privProtocols[c.Priv]
	switch {
	case c.User == "" || len(c.User) > 32:
		return fmt.Errorf("the user of credential %q is empty or longer than 32 bytes", c.Name)
	case c.Auth != probes.AuthNone && (!auth || c.AuthPass.IsZero()):
		return fmt.Errorf("credential %q has an unknown authentication protocol or no pass phrase for it", c.Name)
	case c.Priv != probes.PrivNone && (!priv || c.PrivPass.IsZero() || !auth):
		return fmt.Errorf("credential %q has an unknown privacy protocol, no pass phrase for it or no authentication", c.Name)
	}
	return nil
}

// user signs and encrypts with the keys of one credential for one engine.
type user struct {
	credential probes.Credential
	level      byte
	engineID   string // that the keys are for; "" before there are any
	mac        hash.Hash
	macSize    int
	block      cipher.Block
	preIV      [8]byte // of DES
	feedback   [aes.BlockSize]byte
	pad        [aes.BlockSize]byte
}

func newUser(c probes.Credential) *user {
	return &user{credential: c, level: levelOf(c), macSize: authProtocols[c.Auth].size}
}

// bind takes the keys for an engine.
func (u *user) bind(k userKeys, engineID string) (err error) {
	u.engineID = engineID
	if u.level == noAuthNoPriv {
		return nil
	}
	u.mac = hmac.New(authProtocols[u.credential.Auth].hash, k.auth)
	switch {
	case u.level != authPriv:
	case u.des():
		copy(u.preIV[:], k.priv[8:])
		u.block, err = des.NewCipher(k.priv[:8])
	default:
		u.block, err = aes.NewCipher(k.priv)
	}
	return err
}

func (u *user) des() bool { return u.credential.Priv == probes.PrivDES }

// digest is the signature of a message whose place for it is zeroed.
func (u *user) digest(message []byte) []byte {
	u.mac.Reset()
	u.mac.Write(message)
	return u.mac.Sum(nil)[:u.macSize]
}

// signed checks the signature of a message; at is its place there. It leaves
// the place zeroed.
func (u *user) signed(message, at []byte) bool {
	got := slices.Clone(at)
	clear(at)
	return u.mac != nil && len(got) == u.macSize && subtle.ConstantTimeCompare(got, u.digest(message)) == 1
}

// encrypt works in place; for DES b is whole blocks long.
func (u *user) encrypt(b []byte, c clockOf, salt [8]byte) {
	if u.des() {
		cipher.NewCBCEncrypter(u.block, u.desIV(salt)).CryptBlocks(b, b)
		return
	}
	u.feedback = aesIV(c, salt)
	for len(b) > 0 { // cipher feedback
		u.block.Encrypt(u.pad[:], u.feedback[:])
		n := subtle.XORBytes(b, b[:min(len(b), len(u.pad))], u.pad[:])
		copy(u.feedback[:], b[:n])
		b = b[n:]
	}
}

// decrypt works in place; false: it cannot have been encrypted so.
func (u *user) decrypt(b []byte, c clockOf, salt [8]byte) bool {
	if u.des() {
		if len(b)%des.BlockSize != 0 {
			return false
		}
		cipher.NewCBCDecrypter(u.block, u.desIV(salt)).CryptBlocks(b, b)
		return true
	}
	u.feedback = aesIV(c, salt)
	for len(b) > 0 {
		u.block.Encrypt(u.pad[:], u.feedback[:])
		n := copy(u.feedback[:], b)
		subtle.XORBytes(b, b[:n], u.pad[:])
		b = b[n:]
	}
	return true
}

func (u *user) desIV(salt [8]byte) []byte {
	subtle.XORBytes(salt[:], salt[:], u.preIV[:])
	return salt[:]
}

// aesIV is as RFC 3826 has it.
func aesIV(c clockOf, salt [8]byte) (iv [aes.BlockSize]byte) {
	binary.BigEndian.PutUint32(iv[:], c.boots)
	binary.BigEndian.PutUint32(iv[4:], c.time)
	copy(iv[8:], salt[:])
	return iv
}
