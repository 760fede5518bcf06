package drain

import (
	"net"
	"sync/atomic"
	"testing"
)

// The scenes, which see the package from outside, borrow these.

// The answers of a name server.
const (
	NameKnown  = nameKnown
	NameFails  = nameFails
	NameNone   = nameNone
	NameSilent = nameSilent
)

// NameServer answers as rcode says, or with 127.0.0.1.
func NameServer(t *testing.T, rcode *atomic.Int32) *net.Resolver { return nameServer(t, rcode) }
