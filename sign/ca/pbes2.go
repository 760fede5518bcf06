package ca

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// Encrypted keys are in the form of PKCS#8 with PBES2 (RFC 8018): the key
// derivation PBKDF2 and the cipher AES in CBC mode.

// iterations is what OWASP asks of PBKDF2 with SHA-256; it takes well under a
// second, on a small ARM board too.
const (
	iterations  = 600_000
	saltBytes   = 16
	minPhrase   = 8 // characters of a new pass phrase
	maxBoxBytes = 64 << 10
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Parameters struct {
	Derivation pkix.AlgorithmIdentifier
	Cipher     pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"` // HMAC with SHA-1 where it is absent
}

// box is an encrypted key with what opens it.
type box struct {
	salt, iv, data  []byte
	rounds, keySize int
	hash            func() hash.Hash
}

// parseBox reads the parameters. most bounds the work of the derivation.
func parseBox(der []byte, most int) (*box, error) {
	var outer encryptedKey
	var scheme pbes2Parameters
	var derivation pbkdf2Parameters
	if err := unmarshal(der, &outer); err != nil {
		return nil, fmt.Errorf("is no encrypted PKCS#8 key: %w", err)
	}
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("is encrypted by a scheme other than PBES2 (%v)", outer.Algorithm.Algorithm)
	}
	if err := unmarshal(outer.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, fmt.Errorf("the parameters of PBES2 are damaged: %w", err)
	}
	if !scheme.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("is encrypted with a key derivation other than PBKDF2 (%v)", scheme.Derivation.Algorithm)
	}
	if err := unmarshal(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return nil, fmt.Errorf("the parameters of PBKDF2 are damaged: %w", err)
	}
	if derivation.Iterations < 1 || derivation.Iterations > most {
		return nil, fmt.Errorf("asks for %d iterations of PBKDF2, at most %d are done", derivation.Iterations, most)
	}
	b := &box{salt: derivation.Salt, data: outer.Data, rounds: derivation.Iterations}
	if b.hash = hashOf(derivation.PRF.Algorithm); b.hash == nil {
		return nil, fmt.Errorf("uses PBKDF2 with an unknown function (%v)", derivation.PRF.Algorithm)
	}
	return b, b.setCipher(scheme.Cipher, derivation.KeyLength)
}

func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("data after its end")
	}
	return err
}

func hashOf(prf asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case len(prf) == 0, prf.Equal(oidHMACSHA1):
		return sha1.New
	case prf.Equal(oidHMACSHA256):
		return sha256.New
	case prf.Equal(oidHMACSHA384):
		return sha512.New384
	case prf.Equal(oidHMACSHA512):
		return sha512.New
	}
	return nil
}

func (b *box) setCipher(c pkix.AlgorithmIdentifier, keyLength int) error {
	switch {
	case c.Algorithm.Equal(oidAES128):
		b.keySize = 16
	case c.Algorithm.Equal(oidAES192):
		b.keySize = 24
	case c.Algorithm.Equal(oidAES256):
		b.keySize = 32
	default:
		return fmt.Errorf("is encrypted with a cipher other than AES in CBC mode (%v)", c.Algorithm)
	}
	if keyLength != 0 && keyLength != b.keySize {
		return fmt.Errorf("names a key of %d bytes for a cipher that takes %d", keyLength, b.keySize)
	}
	if err := unmarshal(c.Parameters.FullBytes, &b.iv); err != nil || len(b.iv) != aes.BlockSize {
		return errors.New("has a damaged initial vector")
	}
	if n := len(b.data); n == 0 || n%aes.BlockSize != 0 || n > maxBoxBytes {
		return errors.New("has encrypted data of a wrong length")
	}
	return nil
}

func (b *box) mode(phrase []byte) (cipher.Block, error) {
	key, err := pbkdf2.Key(b.hash, string(phrase), b.salt, b.rounds, b.keySize)
	if err != nil {
		return nil, fmt.Errorf("derive the key from the pass phrase: %w", err)
	}
	return aes.NewCipher(key)
}

// open decrypts. The error is ErrPassPhrase where the padding shows that the
// phrase is wrong.
func (b *box) open(phrase []byte) ([]byte, error) {
	c, err := b.mode(phrase)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(b.data))
	cipher.NewCBCDecrypter(c, b.iv).CryptBlocks(plain, b.data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassPhrase
	}
	return plain[:len(plain)-pad], nil
}

// sealKey encrypts a key in PKCS#8 form.
func sealKey(pkcs8, phrase []byte) ([]byte, error) {
	random := make([]byte, saltBytes+aes.BlockSize)
	rand.Read(random)
	b := box{salt: random[:saltBytes], iv: random[saltBytes:], rounds: iterations, keySize: 32, hash: sha256.New}
	c, err := b.mode(phrase)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(pkcs8)%aes.BlockSize
	b.data = append(bytes.Clone(pkcs8), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c, b.iv).CryptBlocks(b.data, b.data)
	return b.marshal()
}

func (b *box) marshal() ([]byte, error) {
	derivation, err := asn1.Marshal(pbkdf2Parameters{
		Salt: b.salt, Iterations: b.rounds,
		PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue},
	})
	if err != nil {
		return nil, err
	}
	iv, err := asn1.Marshal(b.iv)
	if err != nil {
		return nil, err
	}
	scheme, err := asn1.Marshal(pbes2Parameters{
		Derivation: pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: derivation}},
		Cipher:     pkix.AlgorithmIdentifier{Algorithm: oidAES256, Parameters: asn1.RawValue{FullBytes: iv}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKey{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: scheme}},
		Data:      b.data,
	})
}
