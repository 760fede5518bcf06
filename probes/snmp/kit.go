package snmp

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/rs/zerolog"
)

// kit is what the sessions of many devices share: buffers and the texts of
// OIDs. It is safe for use by several goroutines.
type kit struct {
	scratches sync.Pool // of *scratch
	slates    sync.Pool // of *slate
	oids      oidTable
	owners    engineOwners
	keyring   keyring
	traffic   probes.Traffic // nil: nobody counts
	log       zerolog.Logger
	now       func() time.Duration // a clock that never goes back
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
}

// scratch is the working memory of one session.
type scratch struct {
	in   [maxDatagram]byte
	out  writer
	vars []varbind
}

// newKit uses the log and the clock of deps, both of which may be missing.
func newKit(deps probes.Deps) *kit {
	started := time.Now()
	k := &kit{
		log: deps.Log, traffic: deps.Traffic,
		now: func() time.Duration { return time.Since(started) },
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return deps.DNS.LookupNetIP(ctx, "ip", host)
		},
	}
	if deps.Clock != nil {
		k.now = func() time.Duration { return deps.Clock.Now().Uptime }
	}
	k.scratches.New = func() any { return new(scratch) }
	return k
}

// peer is what is known of the way to one device. It outlives the sessions.
type peer struct {
	*kit
	engine engine
	route  route
}

func newPeer(k *kit) *peer { return &peer{kit: k} }
