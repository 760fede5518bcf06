package snmp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	nameTTL       = time.Hour
	noNameTTL     = 10 * time.Minute
	lookupTimeout = 5 * time.Second
	maxNames      = 8192
	maxWaiting    = 1024
)

// Resolver finds the names of addresses by reverse DNS in the background. It
// implements probes.Resolver.
type Resolver struct {
	lookup func(ctx context.Context, address string) ([]string, error)
	log    zerolog.Logger
	now    func() time.Time

	queue chan string

	mu    sync.Mutex
	names map[string]*name
}

// name is one answer. A name that was once found stays until a look-up says
// that there is none: series must not change while a DNS server is away.
type name struct {
	text    string
	expires time.Time
	waiting bool // for a look-up
}

// NewResolver makes a resolver that asks dns; nil is the system's. It does
// nothing until Run runs.
func NewResolver(log zerolog.Logger, dns *net.Resolver) *Resolver {
	return &Resolver{
		lookup: dns.LookupAddr,
		log:    log,
		now:    time.Now,
		queue:  make(chan string, maxWaiting),
		names:  map[string]*name{},
	}
}

// NameOf returns what is known now, "" for nothing, and has the address looked
// up where that is due. What is no IP address is its own name.
func (r *Resolver) NameOf(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	key := addr.WithZone("").Unmap().String()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[key]
	if n == nil {
		r.makeRoom()
		n = &name{}
		r.names[key] = n
	}
	if n.waiting || r.now().Before(n.expires) {
		return n.text
	}
	select {
	case r.queue <- key:
		n.waiting = true
	default: // the next poll asks again
	}
	return n.text
}

// makeRoom drops any name that is not waiting when there are too many.
func (r *Resolver) makeRoom() {
	if len(r.names) < maxNames {
		return
	}
	for key, n := range r.names {
		if !n.waiting {
			delete(r.names, key)
			return
		}
	}
}

// Run looks names up, one after the other, until ctx ends.
func (r *Resolver) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case address := <-r.queue:
			r.resolve(ctx, address)
		}
	}
}

func (r *Resolver) resolve(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.lookup(ctx, address)
	var dns *net.DNSError
	none := err == nil && len(found) == 0 || errors.As(err, &dns) && dns.IsNotFound
	if err != nil && !none {
		r.log.Debug().Str("address", address).Err(err).Msg("reverse DNS look-up failed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[address]
	n.waiting = false
	n.expires = r.now().Add(noNameTTL)
	switch {
	case none:
		n.text = ""
	case err == nil:
		n.text = strings.TrimSuffix(found[0], ".")
		n.expires = r.now().Add(nameTTL)
	}
}
