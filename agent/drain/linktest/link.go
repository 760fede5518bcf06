// Package linktest joins two network namespaces by a link of its own: what one
// side sends comes to a goroutine, which lets packets wait, loses some and
// keeps to a rate, by a seed, and hands the rest to the other side. So a real
// TCP runs over a thin and lossy link, without netem in the kernel. It needs
// root, or a user namespace and a /dev/net/tun that anybody may open.
package linktest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of the two sides, from TEST-NET-1.
const (
	ClientAddr = "192.0.2.1"
	ServerAddr = "192.0.2.2"
)

// Path is how one direction of a link goes. The zero value loses nothing and
// has no limits.
type Path struct {
	// Delay is how long a packet is under way, Jitter the most that comes on
	// top, at random. The order stays.
	Delay, Jitter time.Duration
	Loss          float64 // share of packets, from 0 to 1; they take their time of the rate
	Rate          int64   // bits a second, IP headers included; 0: no limit
	Queue         int     // bytes that wait for the rate, more are dropped; 0: 64 KiB
}

// Options of a link.
type Options struct {
	Up, Down Path   // from the client to the server, and back
	MTU      int    // 0: 1500
	Seed     uint64 // of loss and jitter
}

// Both gives options with the same path in both directions.
func Both(p Path, seed uint64) Options { return Options{Up: p, Down: p, Seed: seed} }

// Traffic counts the packets of one direction.
type Traffic struct {
	Packets, Bytes int64 // handed over to the other side
	Lost           int64 // packets, by Path.Loss
	Dropped        int64 // packets that found the queue full, or the link down
}

// Link is two namespaces and what joins them.
type Link struct {
	Client, Server *Namespace

	up, down *hop
	work     sync.WaitGroup
}

// New makes a link that ends with the test. Where the machine does not allow
// it, the test is skipped; without root it is run again, alone, as root of a
// user namespace.
func New(t testing.TB, o Options) *Link {
	t.Helper()
	if unix.Geteuid() != 0 {
		again(t)
	}
	err := loopback() // a fresh namespace of the test itself has none
	var l *Link
	if err == nil {
		l, err = open(o)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("this machine gives no network namespaces with a TUN device: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Errorf("close link: %v", err)
		}
	})
	return l
}

func open(o Options) (*Link, error) {
	if o.MTU == 0 {
		o.MTU = 1500
	}
	client, err := newNamespace(ClientAddr, o.MTU)
	if err != nil {
		return nil, fmt.Errorf("make the client's namespace: %w", err)
	}
	server, err := newNamespace(ServerAddr, o.MTU)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the server's namespace: %w", err), client.close())
	}
	l := &Link{
		Client: client, Server: server,
		up:   newHop(client.tun, server.tun, rand.New(rand.NewPCG(o.Seed, 1))),
		down: newHop(server.tun, client.tun, rand.New(rand.NewPCG(o.Seed, 2))),
	}
	l.Set(o.Up, o.Down)
	for _, h := range []*hop{l.up, l.down} {
		l.work.Go(h.read)
		l.work.Go(h.pace)
		l.work.Go(h.deliver)
	}
	return l, nil
}

func (l *Link) close() error {
	close(l.up.done)
	close(l.down.done)
	err := errors.Join(l.Client.close(), l.Server.close())
	l.work.Wait()
	return err
}

// Set changes the paths. What is under way goes on as it was.
func (l *Link) Set(up, down Path) {
	l.up.set(up)
	l.down.set(down)
}

// Traffic counts what went up and down so far.
func (l *Link) Traffic() (up, down Traffic) { return l.up.count(), l.down.count() }

// Down takes the carrier away on both sides, as a pulled cable does: packets
// are lost, addresses and routes stay. The kernel tells listeners on netlink.
func (l *Link) Down() error {
	l.up.carry(false)
	l.down.carry(false)
	return l.carrier(false)
}

// Up gives the carrier back.
func (l *Link) Up() error {
	l.up.carry(true)
	l.down.carry(true)
	return l.carrier(true)
}

func (l *Link) carrier(up bool) error {
	return errors.Join(setCarrier(l.Client.tun, up), setCarrier(l.Server.tun, up))
}
