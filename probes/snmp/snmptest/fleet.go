package snmptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// FleetOptions says what a Fleet is.
type FleetOptions struct {
	Devices   int
	Ports     int              // of each device
	Port      int              // UDP port of all devices; 0 is a free one
	Community string           // "" is "public"
	Loss      float64          // share of datagrams that are lost, in each direction
	Dead      func(i int) bool // devices that never answer; nil: none
	Slow      func(i int) bool // devices whose answers come SlowBy later; nil: none
	SlowBy    time.Duration    // one delay for all of them
	Now       func() time.Time // drives the counters; nil is time.Now
}

// FleetCounts counts the datagrams of all devices of a Fleet.
type FleetCounts struct {
	Requests  uint64 // that came in, those to dead devices and lost ones included
	Dead      uint64 // to dead devices
	Lost      uint64 // requests and replies thrown away
	Malformed uint64 // not v2c, not decoded, or with another community
	Replies   uint64
	Varbinds  uint64 // in the replies
}

// Fleet is many simulated switches in one process, made to cost far less than
// what polls them: one socket serves all of them, answers are put together from
// rows encoded beforehand, and counters are a formula of the time. Each device
// has an address of its own in 127.0.0.0/8. It speaks v2c.
type Fleet struct {
	options FleetOptions
	table   *fleetTable
	conn    *net.UDPConn
	port    uint16
	start   time.Time
	wait    chan fleetReply
	stop    chan struct{}
	served  sync.WaitGroup

	requests, dead, lost, malformed, replies, varbinds atomic.Uint64
}

// fleetReply is an answer that waits for its time.
type fleetReply struct {
	due      time.Time
	datagram []byte
	control  []byte
	to       netip.AddrPort
	varbinds int
}

// maxWaiting is how many answers of slow devices may wait at a time; more are
// lost.
const maxWaiting = 4096

const (
	fleetNet     = 77  // 127.77.1.0 is the first device
	fleetPerByte = 250 // devices in one step of the third octet
)

// StartFleet starts the devices.
func StartFleet(o FleetOptions) (*Fleet, error) {
	if o.Community == "" {
		o.Community = "public"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: o.Port})
	if err != nil {
		return nil, fmt.Errorf("start fleet: %w", err)
	}
	if err := tellDestination(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start fleet: ask for destination addresses: %w", err)
	}
	_ = conn.SetReadBuffer(8 << 20) // the system may give less
	_ = conn.SetWriteBuffer(8 << 20)
	f := &Fleet{
		options: o, table: newFleetTable(o.Ports), conn: conn,
		port:  uint16(conn.LocalAddr().(*net.UDPAddr).Port),
		start: o.Now(),
		wait:  make(chan fleetReply, maxWaiting), stop: make(chan struct{}),
	}
	f.served.Go(f.serve)
	f.served.Go(f.deliver)
	return f, nil
}

// tellDestination makes the socket say which of its addresses a datagram was
// sent to.
func tellDestination(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
	})
	return errors.Join(err, set)
}

// Addrs are the addresses of the devices, with their port.
func (f *Fleet) Addrs() []string {
	all := make([]string, f.options.Devices)
	for i := range all {
		all[i] = netip.AddrPortFrom(fleetAddr(i), f.port).String()
	}
	return all
}

func fleetAddr(i int) netip.Addr {
	high := i / fleetPerByte
	return netip.AddrFrom4([4]byte{127, byte(fleetNet + high/fleetPerByte), byte(1 + high%fleetPerByte), byte(1 + i%fleetPerByte)})
}

// fleetDevice is fleetAddr backwards; -1 for an address of no device.
func (f *Fleet) fleetDevice(ip [4]byte) int {
	if ip[0] != 127 || ip[1] < fleetNet || ip[2] == 0 || ip[3] == 0 {
		return -1
	}
	i := (int(ip[1]-fleetNet)*fleetPerByte+int(ip[2])-1)*fleetPerByte + int(ip[3]) - 1
	if i >= f.options.Devices || int(ip[3]) > fleetPerByte {
		return -1
	}
	return i
}

// Counts returns the counts since the start.
func (f *Fleet) Counts() FleetCounts {
	return FleetCounts{
		Requests:  f.requests.Load(),
		Dead:      f.dead.Load(),
		Lost:      f.lost.Load(),
		Malformed: f.malformed.Load(),
		Replies:   f.replies.Load(),
		Varbinds:  f.varbinds.Load(),
	}
}

// Close ends the devices and waits for them. Answers that wait are lost.
func (f *Fleet) Close() error {
	close(f.stop)
	err := f.conn.Close()
	f.served.Wait()
	if err != nil {
		return fmt.Errorf("close fleet: %w", err)
	}
	return nil
}

func (f *Fleet) serve() {
	in, control := make([]byte, 1<<16), make([]byte, 64)
	var out fleetScratch
	for {
		n, c, _, from, err := f.conn.ReadMsgUDPAddrPort(in, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		f.requests.Add(1)
		device := f.fleetDevice(localAddr(control[:c]))
		if device < 0 || f.options.Dead != nil && f.options.Dead(device) {
			f.dead.Add(1)
			continue
		}
		if f.loses() {
			continue
		}
		datagram, varbinds := f.answer(in[:n], device, &out)
		if datagram == nil {
			f.malformed.Add(1)
			continue
		}
		reply := fleetReply{datagram: datagram, control: control[:c], to: from, varbinds: varbinds}
		if f.options.Slow != nil && f.options.Slow(device) {
			f.later(reply)
			continue
		}
		f.send(reply)
	}
}

// localAddr reads the destination out of the control message (struct
// in_pktinfo: interface, address to answer from, address of the header) and
// takes the interface out, so that the message serves for the answer.
func localAddr(control []byte) (ip [4]byte) {
	const head = syscall.SizeofCmsghdr
	if len(control) < head+syscall.SizeofInet4Pktinfo {
		return ip
	}
	binary.NativeEndian.PutUint32(control[head:], 0)
	copy(ip[:], control[head+8:])
	copy(control[head+4:head+8], ip[:])
	return ip
}

func (f *Fleet) loses() bool {
	if f.options.Loss > 0 && rand.Float64() < f.options.Loss {
		f.lost.Add(1)
		return true
	}
	return false
}

func (f *Fleet) later(r fleetReply) {
	r.due = time.Now().Add(f.options.SlowBy)
	r.datagram = append([]byte(nil), r.datagram...)
	r.control = append([]byte(nil), r.control...)
	select {
	case f.wait <- r:
	default:
		f.lost.Add(1)
	}
}

// deliver sends the answers of slow devices. The delay is one for all, so they
// are due in the order in which they came.
func (f *Fleet) deliver() {
	for {
		select {
		case <-f.stop:
			return
		case r := <-f.wait:
			if !f.pause(time.Until(r.due)) {
				return
			}
			f.send(r)
		}
	}
}

func (f *Fleet) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.stop:
		return false
	}
}

func (f *Fleet) send(r fleetReply) {
	if f.loses() {
		return
	}
	if _, _, err := f.conn.WriteMsgUDPAddrPort(r.datagram, r.control, r.to); err != nil {
		f.lost.Add(1)
		return
	}
	f.replies.Add(1)
	f.varbinds.Add(uint64(r.varbinds))
}

// FleetName is the sysName of a device of a Fleet.
func FleetName(i int) string { return "fleet-" + strconv.Itoa(i) }
