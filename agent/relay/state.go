package relay

import (
	"time"

	"github.com/edgehold/edgehold/buffer/custody"
)

// State is what a relay is doing and has done since it was made.
type State struct {
	State   string // online, draining, stopped
	Store   uint64 // epoch of the store
	Slow    time.Duration
	Brokers []BrokerState
	Counts  Counts
	Sites   []SiteState
	Series  int    // that are known in memory
	Waiting int    // blocks on their way to the disk
	Deny    string // why the deny list is not published; "" if it is, or if there is none
	DenyNo  int64  // number of the published one; 0: none
}

// BrokerState is how a broker fares.
type BrokerState struct {
	URL       string
	Connected bool
	Since     time.Time
	LastError string
}

// Counts are of blocks in this run.
type Counts struct {
	Came       int64
	Probes     int64 // of `relay probe`
	Stored     int64
	Duplicates int64 // stored before
	Done       int64 // settled before
	Rejected   int64
	Names      int64 // to be sent again with all names
	Full       int64 // found no room
	Garbled    int64 // messages that are none
	Unsent     int64 // answers that found no way
}

// SiteState is a site with its account. One of the two may be empty: a site that
// has sent no block, blocks of an archive.
type SiteState struct {
	Site
	Account custody.SiteAccount
}

// State is a picture of this moment.
func (r *Relay) State() State {
	c := &r.counts
	s := State{
		State: *r.state.Load(), Store: r.opts.Store.Epoch(), Slow: time.Duration(r.slow.Load()) * time.Millisecond,
		Counts: Counts{
			Came: c.blocks.Load(), Probes: c.probes.Load(), Stored: c.stored.Load(), Duplicates: c.duplicates.Load(), Done: c.done.Load(),
			Rejected: c.rejected.Load(), Names: c.names.Load(), Full: c.full.Load(), Garbled: c.garbled.Load(), Unsent: c.dropped.Load(),
		},
		Series: r.names.known(), Waiting: len(r.taken),
	}
	for _, b := range r.all() {
		b.mu.Lock()
		s.Brokers = append(s.Brokers, BrokerState{URL: b.url, Connected: b.conn != nil, Since: b.since, LastError: b.lastErr})
		b.mu.Unlock()
	}
	r.deny.mu.Lock()
	s.Deny, s.DenyNo = r.deny.fault, r.deny.number
	r.deny.mu.Unlock()
	s.Sites = r.siteStates()
	return s
}

// siteStates joins what is known of sites with their accounts, both by name.
func (r *Relay) siteStates() []SiteState {
	var out []SiteState
	sites, accounts := r.sites.list(), r.opts.Store.Sites()
	for len(sites) > 0 || len(accounts) > 0 {
		switch {
		case len(accounts) == 0 || len(sites) > 0 && sites[0].Name < accounts[0].Site:
			out = append(out, SiteState{Site: sites[0]})
			sites = sites[1:]
		case len(sites) == 0 || accounts[0].Site < sites[0].Name:
			if accounts[0].Site != r.opts.ID { // the relay's own
				out = append(out, SiteState{Site: Site{Name: accounts[0].Site}, Account: accounts[0]})
			}
			accounts = accounts[1:]
		default:
			out = append(out, SiteState{Site: sites[0], Account: accounts[0]})
			sites, accounts = sites[1:], accounts[1:]
		}
	}
	return out
}
