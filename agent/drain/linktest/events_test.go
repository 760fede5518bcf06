package linktest

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenRoutes opens a netlink socket in the namespace, for links, addresses
// and routes.
func listenRoutes(t *testing.T, n *Namespace) *os.File {
	t.Helper()
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE)
		return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	})
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	t.Cleanup(func() { f.Close() })
	return f
}

// waitFor reads messages until ok takes one.
func waitFor(t *testing.T, f *os.File, what string, ok func(kind uint16, body []byte) bool) {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("never came: %s", what)
		}
		if err != nil {
			t.Fatal(err)
		}
		for data := buf[:n]; len(data) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(data))
			if ok(binary.NativeEndian.Uint16(data[4:]), data[unix.NLMSG_HDRLEN:size]) {
				return
			}
			data = data[min(len(data), (size+3)&^3):]
		}
	}
}

// linkFlags are those of a link message; 0 in any other.
func linkFlags(kind uint16, body []byte) uint32 {
	if kind != unix.RTM_NEWLINK {
		return 0
	}
	return binary.NativeEndian.Uint32(body[8:])
}

func TestDownAndUpAreEvents(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	client, server := udp(t, l)
	go echo(server)
	leastRTT(t, client)
	ends := []*os.File{listenRoutes(t, l.Client), listenRoutes(t, l.Server)}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	for _, f := range ends {
		waitFor(t, f, "a link without a carrier", func(kind uint16, body []byte) bool {
			flags := linkFlags(kind, body)
			return flags&unix.IFF_UP != 0 && flags&unix.IFF_LOWER_UP == 0
		})
	}
	_, _ = client.Write([]byte("lost")) // the kernel may refuse it or drop it
	if err := l.Up(); err != nil {
		t.Fatal(err)
	}
	for _, f := range ends {
		waitFor(t, f, "a link with a carrier", func(kind uint16, body []byte) bool {
			return linkFlags(kind, body)&(unix.IFF_LOWER_UP|unix.IFF_RUNNING) == unix.IFF_LOWER_UP|unix.IFF_RUNNING
		})
	}
	if _, err := client.Write([]byte("found")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := client.Read(buf); err != nil || string(buf[:n]) != "found" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

func TestInterfaceIsAnEvent(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	f := listenRoutes(t, l.Client)
	for range 2 {
		if err := l.Client.SetInterface(false); err != nil {
			t.Fatal(err)
		}
		// The kernel takes the routes of the device away without a message on them.
		waitFor(t, f, "a link that is down", func(kind uint16, body []byte) bool {
			return kind == unix.RTM_NEWLINK && linkFlags(kind, body)&unix.IFF_UP == 0
		})
		if err := l.Client.SetInterface(true); err != nil {
			t.Fatal(err)
		}
		waitFor(t, f, "a new route", func(kind uint16, _ []byte) bool { return kind == unix.RTM_NEWROUTE })
	}
	client, server := udp(t, l)
	go echo(server)
	leastRTT(t, client)
}

func TestAddressIsAnEvent(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	f := listenRoutes(t, l.Client)
	for range 2 {
		if err := l.Client.SetAddress(false); err != nil {
			t.Fatal(err)
		}
		waitFor(t, f, "an address that is gone", func(kind uint16, _ []byte) bool { return kind == unix.RTM_DELADDR })
		if err := l.Client.SetAddress(true); err != nil {
			t.Fatal(err)
		}
		waitFor(t, f, "a new address", func(kind uint16, _ []byte) bool { return kind == unix.RTM_NEWADDR })
	}
	client, server := udp(t, l)
	go echo(server)
	leastRTT(t, client)
}
