package drain

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
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

// Spread is how long a site waits with its backlog.
func Spread(site string) time.Duration { return spread(site) }
