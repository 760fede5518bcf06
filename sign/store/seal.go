package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// A sealed document is one line of JSON whose last member is the SHA-256 of the
// line without that member, so that a changed byte is seen. By hand:
//
//	sed 's/,"hash":"[0-9a-f]*"}$/}/' | tr -d '\n' | sha256sum
const (
	sealBegin = `,"hash":"`
	sealEnd   = `"}`
	sealSize  = len(sealBegin) + 2*sha256.Size + len(sealEnd)
)

var errSeal = errors.New("its hash does not fit: it was changed or not written whole")

// seal encodes document, a struct with at least one member, and returns its hash
// too.
func seal(document any) (line []byte, hash string, err error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, "", err
	}
	hash = hashOf(body)
	return append(body[:len(body)-1], sealBegin+hash+sealEnd...), hash, nil
}

// unseal decodes what seal made.
func unseal(line []byte, document any) (hash string, err error) {
	at := len(line) - sealSize
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(sealBegin)) || !bytes.HasSuffix(line, []byte(sealEnd)) {
		return "", errSeal
	}
	hash = string(line[at+len(sealBegin) : len(line)-len(sealEnd)])
	body := append(bytes.Clone(line[:at]), '}')
	if hashOf(body) != hash {
		return "", errSeal
	}
	return hash, json.Unmarshal(body, document)
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
