package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// passedSockets lists the descriptors that systemd hands over under the name
// snmptrap (sd_listen_fds(3)).
func passedSockets(environment func(string) string, pid int) []int {
	const first = 3
	if environment("LISTEN_PID") != strconv.Itoa(pid) {
		return nil
	}
	n, err := strconv.Atoi(environment("LISTEN_FDS"))
	names := strings.Split(environment("LISTEN_FDNAMES"), ":")
	var fds []int
	for i := 0; err == nil && i < min(n, len(names)); i++ {
		if names[i] == "snmptrap" {
			fds = append(fds, first+i)
		}
	}
	return fds
}

func socketOf(fd int) (*net.UDPConn, error) {
	f := os.NewFile(uintptr(fd), "snmptrap")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is not open", fd)
	}
	defer f.Close()
	conn, err := net.FilePacketConn(f) // a copy, closed when another program is started
	if err != nil {
		return nil, fmt.Errorf("take descriptor %d over: %w", fd, err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("descriptor %d is no UDP socket; write ListenDatagram= in the socket unit", fd)
	}
	return udp, nil
}

func localOf(conn *net.UDPConn) netip.AddrPort {
	at, _ := conn.LocalAddr().(*net.UDPAddr)
	if at == nil {
		return netip.AddrPort{}
	}
	local := at.AddrPort()
	return netip.AddrPortFrom(listenAt(local.Addr()), local.Port())
}

// listenAt is an address to listen at; the one that stands for all is the zero one.
func listenAt(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// openTrapPort opens a socket. beside: another one of ours has an address of the
// port, and allows it.
func openTrapPort(at netip.AddrPort, beside bool) (*net.UDPConn, error) {
	host := ""
	if at.Addr().IsValid() {
		host = at.Addr().String()
	}
	var config net.ListenConfig
	if beside {
		config.Control = func(_, _ string, raw syscall.RawConn) error { return setOption(raw, syscall.SO_REUSEADDR, 1) }
	}
	conn, err := config.ListenPacket(context.Background(), "udp", net.JoinHostPort(host, strconv.Itoa(int(at.Port()))))
	if err != nil {
		return nil, portError(at.Port(), err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("listen for SNMP traps: UDP port %d is not one", at.Port())
	}
	return udp, nil
}

// shareable says whether another socket may be opened beside this one.
func shareable(conn *net.UDPConn, yes bool) {
	value := 0
	if yes {
		value = 1
	}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = setOption(raw, syscall.SO_REUSEADDR, value)
	}
}

func setOption(raw syscall.RawConn, option, value int) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, value) })
	return errors.Join(err, failed)
}

// portError says what to do about a port that cannot be had.
func portError(port uint16, err error) error {
	doing := fmt.Sprintf("listen for SNMP traps on UDP port %d", port)
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w; ports below 1024 need a right: have systemd open it (systemctl enable --now edgehold-snmptrap.socket, then restart edgehold), or give the program the capability CAP_NET_BIND_SERVICE, or have the devices send to another port, as in \"port\": 1162", doing, syscall.EACCES)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: another program has it (ss -ulpn shows which); stop that one, or choose another port, as in \"port\": 1162", doing, syscall.EADDRINUSE)
	}
	return fmt.Errorf("%s: %w; check `listen` and `port` in the monitoring configuration", doing, err)
}

// tellDestination has the kernel tell the address that each datagram came to. An
// answer goes out with what it told.
func tellDestination(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1) != nil {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		}
	})
}

// destination is the address that a datagram came to, as the kernel told it.
func destination(control []byte) netip.Addr {
	told, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range told {
		switch {
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= 16:
			return netip.AddrFrom16([16]byte(m.Data[:16])).Unmap()
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= 12:
			return netip.AddrFrom4([4]byte(m.Data[8:12]))
		}
	}
	return netip.Addr{}
}

// deafen connects a socket to itself, so that nothing from elsewhere comes to it.
func deafen(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if self, err := syscall.Getsockname(int(fd)); err == nil {
			_ = syscall.Connect(int(fd), self)
		}
	})
}

// growBuffer has the kernel keep trapBuffer bytes for a socket, or as many as it
// allows. What the unit of systemd says for one that it has passed is not made
// less.
func growBuffer(conn *net.UDPConn, passed bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	has := 0
	_ = raw.Control(func(fd uintptr) { has, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF) })
	if has >= 2*trapBuffer { // the kernel counts what it needs itself
		return
	}
	if setOption(raw, syscall.SO_RCVBUFFORCE, trapBuffer) != nil && !passed {
		_ = setOption(raw, syscall.SO_RCVBUF, trapBuffer)
	}
}

// lossesOf is how many datagrams the kernel has dropped since the socket was
// opened, most of them because nobody took them fast enough. It counts in 32
// bits; before Linux 4.12 it does not tell.
func lossesOf(conn *net.UDPConn) uint32 {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	const drops = 8 // SK_MEMINFO_DROPS
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_ = raw.Control(func(fd uintptr) {
		_, _, failed := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if failed != 0 {
			info[drops] = 0
		}
	})
	return info[drops]
}
