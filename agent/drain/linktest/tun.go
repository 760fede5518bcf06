package linktest

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	linkName = "link0"
	device   = "/dev/net/tun"
	netmask  = "255.255.255.0"
)

// openTUN makes the link's device in the namespace of this thread.
func openTUN() (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: device, Err: err}
	}
	request, err := unix.NewIfreq(linkName)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// configure gives the link's device its address and brings it and the loopback
// up, in the namespace of this thread.
func configure(addr string, mtu int) error {
	return withSocket(func(fd int) error {
		if err := address(fd, addr); err != nil {
			return err
		}
		request, err := unix.NewIfreq(linkName)
		if err != nil {
			return err
		}
		request.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, request); err != nil {
			return fmt.Errorf("set MTU %d: %w", mtu, err)
		}
		return setUp(fd, linkName, true)
	})
}

// address gives the link's device an address and the mask that belongs to it.
func address(fd int, addr string) error {
	if err := setAddr(fd, unix.SIOCSIFADDR, addr); err != nil {
		return err
	}
	return setAddr(fd, unix.SIOCSIFNETMASK, netmask)
}

// loopback brings the loopback of this thread's namespace up.
func loopback() error {
	return withSocket(func(fd int) error { return setUp(fd, "lo", true) })
}

// withSocket opens a socket to control interfaces with.
func withSocket(fn func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	defer unix.Close(fd)
	return fn(fd)
}

func setAddr(fd int, request uint, addr string) error {
	r, err := unix.NewIfreq(linkName)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return err
	}
	if err := r.SetInet4Addr(ip.AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, request, r); err != nil {
		return fmt.Errorf("set address %s: %w", addr, err)
	}
	return nil
}

func setUp(fd int, name string, up bool) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
		return fmt.Errorf("read flags of %s: %w", name, err)
	}
	flags := r.Uint16() &^ unix.IFF_UP
	if up {
		flags |= unix.IFF_UP | unix.IFF_RUNNING
	}
	r.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("set flags of %s: %w", name, err)
	}
	return nil
}

// setCarrier plugs the cable of a device in or pulls it.
func setCarrier(tun *os.File, up bool) error {
	raw, err := tun.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach TUN device: %w", err)
	}
	value := 0
	if up {
		value = 1
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.IoctlSetPointerInt(int(fd), unix.TUNSETCARRIER, value) }); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("set carrier: %w", failed)
	}
	return nil
}
