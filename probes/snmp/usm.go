package snmp

import (
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/gosnmp/gosnmp"
)

// The ciphers and most signatures of the user-based security model (RFC 3414,
// 3826, 7860) are gosnmp's. Which message it gets to see is ours to say: it would
// make keys for whatever engine a message names, and takes every level that is
// signed.

// Security levels, as the flags of a message have them.
const (
	noAuthNoPriv = byte(gosnmp.NoAuthNoPriv)
	authNoPriv   = byte(gosnmp.AuthNoPriv)
	authPriv     = byte(gosnmp.AuthPriv)
)

var authProtocols = map[probes.AuthProtocol]gosnmp.SnmpV3AuthProtocol{
	probes.AuthMD5:    gosnmp.MD5,
	probes.AuthSHA:    gosnmp.SHA,
	probes.AuthSHA224: gosnmp.SHA224,
	probes.AuthSHA256: gosnmp.SHA256,
	probes.AuthSHA384: gosnmp.SHA384,
	probes.AuthSHA512: gosnmp.SHA512,
}

// Keys that the hash makes too short for AES are extended as Blumenthal does,
// or as Reeder does where the name ends in C.
var privProtocols = map[probes.PrivProtocol]gosnmp.SnmpV3PrivProtocol{
	probes.PrivDES:     gosnmp.DES,
	probes.PrivAES:     gosnmp.AES,
	probes.PrivAES192:  gosnmp.AES192,
	probes.PrivAES256:  gosnmp.AES256,
	probes.PrivAES192C: gosnmp.AES192C,
	probes.PrivAES256C: gosnmp.AES256C,
}

// otherExtension is the same cipher with the other extension of its key.
var otherExtension = map[probes.PrivProtocol]probes.PrivProtocol{
	probes.PrivAES192:  probes.PrivAES192C,
	probes.PrivAES256:  probes.PrivAES256C,
	probes.PrivAES192C: probes.PrivAES192,
	probes.PrivAES256C: probes.PrivAES256,
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

// user seals and opens messages with the keys of one credential for one engine.
type user struct {
	credential probes.Credential
	level      byte
	engineID   string // that the keys are for; "" before there are any
	keys       *gosnmp.UsmSecurityParameters
	codec      gosnmp.GoSNMP
}

func newUser(c probes.Credential) *user { return &user{credential: c, level: levelOf(c)} }

// bind takes the keys for an engine, which must be this user's alone.
func (u *user) bind(keys *gosnmp.UsmSecurityParameters) {
	u.engineID, u.keys = keys.AuthoritativeEngineID, keys
	u.codec = gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: gosnmp.SnmpV3MsgFlags(u.level),
		SecurityParameters: keys, ContextEngineID: u.engineID, ContextName: u.credential.Context,
	}
}

// discovery is the request that an engine answers with its name (RFC 3414,
// section 4).
func discovery(msgID, id uint32) ([]byte, error) {
	p := gosnmp.SnmpPacket{
		Version: gosnmp.Version3, MsgFlags: gosnmp.Reportable, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{}, PDUType: gosnmp.GetRequest, MsgID: msgID, RequestID: id,
	}
	return p.MarshalMsg()
}

// seal makes a signed and encrypted message of a request, as the level wants.
// Its salt is random.
func (u *user) seal(r request, msgID, id uint32, c clockOf) (packet []byte, err error) {
	defer func() {
		if recover() != nil || err != nil || len(packet) == 0 {
			packet, err = nil, errUnsendable
		}
	}()
	vars := make([]gosnmp.SnmpPDU, len(r.oids))
	for i, oid := range r.oids {
		vars[i] = gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Null}
		if r.kind == set {
			vars[i].Type, vars[i].Value = gosnmp.Integer, int(int32(r.value))
		}
	}
	u.keys.AuthoritativeEngineBoots, u.keys.AuthoritativeEngineTime = c.boots, c.time
	u.codec.SetMsgID(msgID - 1)
	u.codec.SetRequestID(id - 1)
	return u.codec.SnmpEncodePacket(gosnmp.PDUType(pduTypes[r.kind]), vars, 0, uint32(max(r.reps, 0)))
}

// afterSignature begins the errors of gosnmp about the varbinds of a message
// whose signature was good: our codec reads more of them.
const afterSignature = "error in unmarshalResponse: "

// open checks the signature of a message and decrypts it in place. What it is
// given names our engine and user.
func (u *user) open(message []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	p, err := u.codec.UnmarshalTrap(message, true)
	if err != nil {
		return strings.HasPrefix(err.Error(), afterSignature)
	}
	by, ok := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	return ok && by.AuthoritativeEngineID == u.engineID && by.UserName == u.credential.User
}
