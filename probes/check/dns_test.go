package check

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
)

// zone answers queries: a response code and records as type and data.
type zone func(name string, typ uint16) (code byte, records []record)

type record struct {
	typ  uint16
	data []byte
}

// reply makes the response to a query, RFC 1035, 4.1. All records are of the name
// that was asked for.
func (z zone) reply(query []byte) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	typ := binary.BigEndian.Uint16(query[at+1:])
	code, records := z(strings.Join(labels, "."), typ)
	b := append([]byte{}, query[0], query[1], 0x84|query[2]&1, 0x80|code, 0, 1, 0, byte(len(records)), 0, 0, 0, 0)
	b = append(b, query[12:at+5]...)
	for _, r := range records {
		b = append(b, 0xc0, 12, byte(r.typ>>8), byte(r.typ), 0, 1, 0, 0, 0, 60)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.data)))
		b = append(b, r.data...)
	}
	return b
}

// wire is a name on the wire.
func wire(name string) (b []byte) {
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

const (
	typeA     = 1
	typeCNAME = 5
	typeMX    = 15
	typeTXT   = 16
	typeAAAA  = 28
)

func plant(name string, typ uint16) (byte, []record) {
	switch name {
	case "www.plant.example":
		switch typ {
		case typeA:
			return 0, []record{{typeA, []byte{192, 0, 2, 1}}, {typeA, []byte{192, 0, 2, 2}}}
		case typeAAAA:
			return 0, []record{{typeAAAA, net.ParseIP("2001:db8::1")}}
		}
		return 0, nil
	case "plant.example":
		switch typ {
		case typeMX:
			return 0, []record{{typeMX, append([]byte{0, 10}, wire("mail.plant.example")...)}}
		case typeTXT:
			return 0, []record{{typeTXT, append([]byte{6}, "v=spf1"...)}}
		}
		return 0, nil
	case "servfail.example":
		return 2, nil
	case "refused.example":
		return 5, nil
	}
	return 3, nil
}

// serveDNS answers on a port of both protocols. Over UDP it may answer in another
// way.
func serveDNS(t *testing.T, z zone, overUDP func(query []byte) []byte) string {
	t.Helper()
	address := listenTCP(t, func(c net.Conn) {
		size := make([]byte, 2)
		for {
			if _, err := io.ReadFull(c, size); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			b := z.reply(query)
			for _, part := range [][]byte{{byte(len(b) >> 8)}, {byte(len(b))}, b[:3], b[3:]} { // in parts, as it may come
				if _, err := c.Write(part); err != nil {
					return
				}
			}
		}
	})
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Skipf("SKIPPED: the port is taken for UDP: %v", err)
	}
	if overUDP == nil {
		overUDP = z.reply
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := overUDP(buf[:n]); b != nil {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return address
}

func query(t *testing.T, name, typ, server string, expect ...string) (values, error) {
	t.Helper()
	return poll(t, made(t, "dns_check", probes.Deps{}, func(o *DNSOptions) {
		o.Query, o.Type, o.Server, o.Expect = name, typ, server, expect
	}))
}

func TestDNS(t *testing.T) {
	server := serveDNS(t, plant, nil)
	for _, c := range []struct {
		name, typ string
		expect    []string
		answers   float64
		words     string // "": it is right
	}{
		{"www.plant.example", "A", nil, 2, ""},
		{"www.plant.example.", "A", []string{"192.0.2.2", "192.0.2.1"}, 2, ""},
		{"www.plant.example", "A", []string{"192.0.2.3"}, 2, "192.0.2.3 is not among them"},
		{"www.plant.example", "AAAA", []string{"2001:DB8:0::1"}, 1, ""},
		{"plant.example", "MX", []string{"10 MAIL.plant.example"}, 1, ""},
		{"plant.example", "MX", []string{"20 mail.plant.example"}, 1, "the answers are 10 mail.plant.example."},
		{"plant.example", "TXT", []string{"v=spf1"}, 1, ""},
		{"plant.example", "TXT", []string{"V=SPF1"}, 1, "is not among them"},
		{"plant.example", "A", nil, 0, "plant.example has no A record"},
		{"www.plant.example", "CNAME", nil, 0, "www.plant.example has no CNAME record"},
		{"nobody.example", "A", nil, 0, "nobody.example does not exist (NXDOMAIN)"},
		{"nobody.example", "TXT", nil, 0, "does not exist (NXDOMAIN)"},
		{"servfail.example", "A", nil, 0, "the DNS server answers SERVFAIL"},
		{"refused.example", "MX", nil, 0, "the DNS server answers REFUSED"},
	} {
		got, err := query(t, c.name, c.typ, server, c.expect...)
		if c.words == "" {
			want(t, got, err, 1, probes.StatusOK)
		} else {
			want(t, got, err, 0, probes.StatusGenericError, c.words)
		}
		if got["dns.answers"] != c.answers || got["duration"] <= 0 {
			t.Errorf("%s %s: %v", c.typ, c.name, got)
		}
	}
}

// An alias is found although the resolver asks for addresses.
func TestDNSAlias(t *testing.T) {
	server := serveDNS(t, func(name string, typ uint16) (byte, []record) {
		switch {
		case name == "alias.example":
			return 0, []record{{typeCNAME, wire("www.plant.example")}}
		case name == "www.plant.example" && typ == typeA:
			return 0, []record{{typeA, []byte{192, 0, 2, 1}}}
		}
		return 0, nil
	}, nil)
	got, err := query(t, "alias.example", "CNAME", server, "www.plant.example")
	want(t, got, err, 1, probes.StatusOK)
	got, err = query(t, "alias.example", "CNAME", server, "ftp.plant.example")
	want(t, got, err, 0, probes.StatusGenericError, "the answers are www.plant.example.")
}

// A truncated answer is asked for again as a stream, whose response code counts.
func TestDNSOverStreams(t *testing.T) {
	cut := func(query []byte) []byte {
		b := zone(func(string, uint16) (byte, []record) { return 0, nil }).reply(query)
		b[2] |= 2
		return b
	}
	server := serveDNS(t, plant, cut)
	got, err := query(t, "www.plant.example", "A", server, "192.0.2.1")
	want(t, got, err, 1, probes.StatusOK)
	got, err = query(t, "nobody.example", "A", server)
	want(t, got, err, 0, probes.StatusGenericError, "NXDOMAIN")
}

func TestDNSFaults(t *testing.T) {
	var asked atomic.Int64
	deaf := serveDNS(t, plant, func([]byte) []byte { asked.Add(1); return nil })
	task := made(t, "dns_check", probes.Deps{}, func(o *DNSOptions) { o.Query, o.Server, o.Timeout = "www.plant.example", deaf, ms(200) })
	got, err := poll(t, task)
	want(t, got, err, 0, probes.StatusGenericError, "no answer of the DNS server")
	if asked.Load() == 0 || len(got) != 1 {
		t.Errorf("asked %d times, %v", asked.Load(), got)
	}
	// Another's answer is none.
	wrong := serveDNS(t, plant, func(q []byte) []byte {
		b := zone(plant).reply(q)
		b[0]++
		return b
	})
	task = made(t, "dns_check", probes.Deps{}, func(o *DNSOptions) { o.Query, o.Server, o.Timeout = "www.plant.example", wrong, ms(200) })
	got, err = poll(t, task)
	want(t, got, err, 0, probes.StatusGenericError, "no whole answer of the DNS server within 200ms")
}

// The files of this machine are no answer of a server. It runs again in a process
// that has a file of its own in the place of /etc/hosts.
// Nothing is left behind by a check whose time is over.
func TestDNSLeavesNothing(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := &traffic{sent: map[string]int{}, received: map[string]int{}}
	task := made(t, "dns_check", probes.Deps{Traffic: c}, func(o *DNSOptions) {
		o.Query, o.Server, o.Timeout = "www.example.com", silent.LocalAddr().String(), ms(20)
	})
	for range 5 {
		if _, err := poll(t, task); err == nil {
			t.Error("a server that says nothing is well")
		}
	}
	for begin := time.Now(); c.open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 2*time.Second { // the resolver's own patience is 5 s
			t.Fatalf("%d connections are open", c.open.Load())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent["udp"] == 0 {
		t.Error("it was not asked")
	}
}

func TestDNSHosts(t *testing.T) {
	const inside = "EDGEHOLD_CHECK_HOSTS"
	if hosts := os.Getenv(inside); hosts != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		got, err := query(t, "gate.plant.example", "A", serveDNS(t, plant, nil), "192.0.2.7")
		want(t, got, err, 0, probes.StatusGenericError, "/etc/hosts of this machine has the name")
		if len(got) != 1 {
			t.Errorf("%v", got)
		}
		got, err = query(t, "gate.plant.example", "A", "", "192.0.2.7") // but what the system answers
		want(t, got, err, 1, probes.StatusOK)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can put a file in the place of /etc/hosts")
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("192.0.2.7 gate.plant.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestDNSHosts$")
	cmd.Env = append(os.Environ(), inside+"="+hosts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("skipped inside:\n%s", out)
	}
}

// Without a server those of the machine are asked, through the resolver that is
// handed in.
func TestDNSOfTheSystem(t *testing.T) {
	server := serveDNS(t, plant, nil)
	deps := probes.Deps{DNS: &net.Resolver{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}}
	task := made(t, "dns_check", deps, func(o *DNSOptions) { o.Query, o.Expect = "www.plant.example", []string{"192.0.2.1"} })
	got, err := poll(t, task)
	want(t, got, err, 1, probes.StatusOK)
	if task.Device != "www.plant.example" {
		t.Errorf("%+v", task)
	}
	deps.DNS.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("the wire is cut") }
	task = made(t, "dns_check", deps, func(o *DNSOptions) { o.Query = "www.plant.example" })
	got, err = poll(t, task)
	want(t, got, err, 0, probes.StatusGenericError, "no answer of the DNS server: the wire is cut")
}

func TestDNSOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *DNSOptions)
		want   string
	}{
		{"right", func(*DNSOptions) {}, ""},
		{"server", func(o *DNSOptions) { o.Server = "192.0.2.53:5353" }, ""},
		{"address", func(o *DNSOptions) { o.Query = "192.0.2.1" }, "query: "},
		{"nothing", func(o *DNSOptions) { o.Query = "" }, "query: "},
		{"type", func(o *DNSOptions) { o.Type = "a" }, "type: found \"a\", expected one of A, AAAA"},
		{"bad server", func(o *DNSOptions) { o.Server = "a:b" }, "server: "},
	} {
		o := dnsKind().Options().(*DNSOptions)
		o.Query = "www.example.com"
		c.change(o)
		checkErrors(t, c.name, o.Check(), c.want)
	}
	for _, typ := range dnsTypes {
		if lookups[typ] == nil {
			t.Errorf("nobody looks up %s", typ)
		}
	}
	if len(lookups) != len(dnsTypes) {
		t.Errorf("%d types, %d of them are named", len(lookups), len(dnsTypes))
	}
}

// What a connection says is heard the same in whatever parts it comes.
func FuzzHeardStream(f *testing.F) {
	f.Add([]byte("\x00\x0c\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00"), uint8(1))
	f.Add([]byte("\x00\x0c\x12\x34\x01\x05\x00\x01\x00\x00\x00\x00\x00\x00"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		client, server := net.Pipe()
		go func() {
			_, _ = server.Write(b)
			server.Close()
		}()
		var l listener
		h := &heardStream{Conn: client, listener: &l}
		part := make([]byte, int(step)+1)
		for {
			if _, err := h.Read(part); err != nil {
				break
			}
		}
		code, heard := l.last()
		sound := len(b) >= 14 && int(b[0])<<8+int(b[1]) >= 12 && b[4] >= 128
		if heard != sound || heard && code != int(b[5]%16) {
			t.Errorf("heard %v, code %d of %x", heard, code, b)
		}
	})
}
