package board

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// LinkChangeKind says what happened to a way into the network.
type LinkChangeKind uint8

// What may come and go. The first three open a way.
const (
	CarrierUp LinkChangeKind = iota + 1
	AddressAdded
	RouteAdded // a default route
	CarrierDown
	AddressRemoved
	RouteRemoved
)

var linkWords = map[LinkChangeKind]string{
	CarrierUp: "carrier up", CarrierDown: "carrier down",
	AddressAdded: "address added", AddressRemoved: "address removed",
	RouteAdded: "default route added", RouteRemoved: "default route removed",
}

// LinkChange is one thing that came or went.
type LinkChange struct {
	Kind      LinkChangeKind
	Interface string // its name, "" for a route over several
	Detail    string // the address or the gateway, "" for a carrier
}

// String is such as "eth0: address added 192.0.2.7/24".
func (c LinkChange) String() string {
	text := linkWords[c.Kind]
	if c.Interface != "" {
		text = c.Interface + ": " + text
	}
	if c.Detail != "" {
		text += " " + c.Detail
	}
	return text
}

// LinkEvent is what changed within a short while.
type LinkEvent struct{ Changes []LinkChange }

// Opens says that a way may be open that was not: something came up.
func (e LinkEvent) Opens() bool {
	return slices.ContainsFunc(e.Changes, func(c LinkChange) bool { return c.Kind <= RouteAdded })
}

// String lists the changes.
func (e LinkEvent) String() string {
	words := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		words[i] = c.String()
	}
	return strings.Join(words, ", ")
}

// network is the state that changes are told of.
type network struct {
	links     map[int32]link
	addresses map[address]bool
	routes    map[route]bool
}

// add takes one message of a dump.
func (n *network) add(m netlinkMessage) error {
	switch m.kind {
	case unix.RTM_NEWLINK:
		index, l, err := parseLink(m.body)
		if err == nil {
			n.links[index] = l
		}
		return err
	case unix.RTM_NEWADDR:
		a, ok, err := parseAddress(m.body)
		if ok {
			n.addresses[a] = true
		}
		return err
	case unix.RTM_NEWROUTE:
		r, ok, err := parseRoute(m.body)
		if ok {
			n.routes[r] = true
		}
		return err
	}
	return nil
}

// matters tells whether a message may say something that is not known yet.
// What cannot be read may.
func (n *network) matters(m netlinkMessage) bool {
	switch m.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		index, l, err := parseLink(m.body)
		if err != nil {
			return true
		}
		if m.body[0] != unix.AF_UNSPEC { // of a bridge about its ports
			return false
		}
		old, known := n.links[index]
		return known && (m.kind == unix.RTM_DELLINK || old != l) || !known && m.kind == unix.RTM_NEWLINK
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok, err := parseAddress(m.body)
		if m.kind == unix.RTM_DELADDR {
			return err != nil || n.addresses[a]
		}
		return err != nil || ok && !n.addresses[a]
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, ok, err := parseRoute(m.body)
		return err != nil || ok && n.routes[r] == (m.kind == unix.RTM_DELROUTE)
	}
	return false
}

// quiet tells of interfaces that no way out leads through: the loopback, the
// ports of a bridge, and a bridge that only joins what runs on this machine, as
// containers do. Those come and go without meaning anything for the uplink.
func (n *network) quiet(index int32) bool {
	l := n.links[index]
	if !l.bridge {
		return l.loopback || l.port
	}
	for r := range n.routes {
		if r.index == index {
			return false
		}
	}
	return true
}

// diff lists what changed from one state to the next, what came first.
func diff(from, to *network) []LinkChange {
	var changes []LinkChange
	for index := range to.links {
		if to.up(index) && !from.up(index) {
			changes = append(changes, LinkChange{CarrierUp, to.links[index].name, ""})
		}
	}
	for index, l := range from.links {
		if from.up(index) && !to.up(index) && !to.quiet(index) {
			changes = append(changes, LinkChange{CarrierDown, l.name, ""})
		}
	}
	changes = append(changes, to.missing(from, AddressAdded, RouteAdded)...)
	changes = append(changes, from.missing(to, AddressRemoved, RouteRemoved)...)
	sort.Slice(changes, func(i, j int) bool {
		a, b := &changes[i], &changes[j]
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		return a.Interface+a.Detail < b.Interface+b.Detail
	})
	return changes
}

func (n *network) up(index int32) bool { return n.links[index].carrier && !n.quiet(index) }

// missing lists the addresses and routes of n that other lacks.
func (n *network) missing(other *network, anAddress, aRoute LinkChangeKind) []LinkChange {
	var changes []LinkChange
	for a := range n.addresses {
		if !other.addresses[a] && !n.quiet(a.index) {
			changes = append(changes, LinkChange{anAddress, n.links[a.index].name, a.prefix.String()})
		}
	}
	for r := range n.routes {
		if !other.routes[r] && !n.quiet(r.index) {
			changes = append(changes, LinkChange{aRoute, n.links[r.index].name, r.detail()})
		}
	}
	return changes
}

func (r route) detail() string {
	if r.gateway.IsValid() {
		return fmt.Sprintf("via %s", r.gateway)
	}
	return ""
}

func newNetwork() *network {
	return &network{links: map[int32]link{}, addresses: map[address]bool{}, routes: map[route]bool{}}
}
