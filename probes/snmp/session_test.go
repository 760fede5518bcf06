package snmp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// rawAgent answers each datagram with what reply gives.
func rawAgent(t *testing.T, reply func(in []byte) [][]byte) plan.Device {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			for _, out := range reply(buf[:n]) {
				_, _ = conn.WriteToUDP(out, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return deviceAt(t, conn.LocalAddr().String())
}

// quick is the timeout where no answer is expected, or can wait for a retry.
const quick = 200 * time.Millisecond

// patient is the timeout where every request is answered: on a machine that is
// busy with other things an answer may take its time, and no retry may count.
const patient = 30 * time.Second

// unhurried is the timeout where some requests are answered and others are not,
// and it matters which.
const unhurried = time.Second

func deviceAt(t *testing.T, addr string) plan.Device {
	t.Helper()
	d, err := ParseDevice(addr)
	if err != nil {
		t.Fatal(err)
	}
	d.Timeout = 2 * time.Second
	d.Credentials = []probes.Credential{{Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("public")}}
	return d
}

func open(t *testing.T, d plan.Device) *session {
	t.Helper()
	s, err := dial(t.Context(), d, newPeer(newKit(probes.Deps{})), &probes.PollStats{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if err := s.use(d.Credentials[0]); err != nil {
		t.Fatal(err)
	}
	return s
}

var askUptime = request{kind: get, oids: []string{sysUpTime}}

// answerTo makes a good answer to a request, for the test to spoil.
func answerTo(in []byte) snmptest.Message {
	req, err := snmptest.Decode(in)
	if err != nil {
		return snmptest.Message{}
	}
	out := *req
	out.Type, out.Status, out.Index = snmptest.Response, 0, 0
	for i := range out.Varbinds {
		out.Varbinds[i].Value = snmptest.TimeTicks(4711)
	}
	return out
}

func TestSessionTakesOnlyItsAnswer(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(m *snmptest.Message)
	}{
		{"other request id", func(m *snmptest.Message) { m.RequestID++ }},
		{"request id 0", func(m *snmptest.Message) { m.RequestID = 0 }},
		{"other community", func(m *snmptest.Message) { m.Community = "private" }},
		{"other version", func(m *snmptest.Message) { m.Version = snmptest.V1 }},
		{"a request", func(m *snmptest.Message) { m.Type = snmptest.GetRequest }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			alone := rawAgent(t, func(in []byte) [][]byte {
				m := answerTo(in)
				test.spoil(&m)
				return [][]byte{m.Append(nil)}
			})
			alone.Timeout = quick
			s := open(t, alone)
			if _, err := s.exchange(t.Context(), askUptime); !errors.Is(err, errTimeout) {
				t.Errorf("err %v, want a timeout", err)
			}
			if s.stats.Strays != 2 || s.stats.Requests != 2 || s.stats.Retries != 1 || s.stats.Timeouts != 2 {
				t.Errorf("stats %+v", *s.stats)
			}
			first := rawAgent(t, func(in []byte) [][]byte {
				good := answerTo(in)
				bad := good
				test.spoil(&bad)
				return [][]byte{[]byte("junk"), bad.Append(nil), {}, good.Append(nil)}
			})
			s = open(t, first)
			resp, err := s.exchange(t.Context(), askUptime)
			if err != nil || len(resp.vars) != 1 || resp.vars[0].cell.Uint != 4711 {
				t.Errorf("good answer after a bad one: %+v %v", resp, err)
			}
		})
	}
}

func TestSessionMalformed(t *testing.T) {
	// The value of the last varbind is an OID that is cut off within an arc.
	d := rawAgent(t, func(in []byte) [][]byte {
		m := answerTo(in)
		m.Varbinds[len(m.Varbinds)-1].Value = snmptest.ObjectID(snmptest.OID{1, 3, 6, 1})
		out := m.Append(nil)
		out[len(out)-1] |= 0x80
		return [][]byte{out}
	})
	s := open(t, d)
	if _, err := s.exchange(t.Context(), askUptime); !errors.Is(err, errMalformed) {
		t.Errorf("err %v, want malformed", err)
	}
	resp, err := s.exchange(t.Context(), request{kind: getNext, oids: []string{sysUpTime, "1.3.6.1.2.1.1.4.0"}})
	if err != nil || len(resp.vars) != 1 || resp.vars[0].oid != sysUpTime {
		t.Errorf("the varbind before the bad one: %+v %v", resp, err)
	}
	if s.stats.Requests != 2 || s.stats.Malformed != 2 {
		t.Errorf("%d requests, want 2: a malformed answer is an answer; %d malformed, want 2", s.stats.Requests, s.stats.Malformed)
	}
}

func TestSessionLateAnswer(t *testing.T) {
	t.Parallel()
	var kept []byte
	d := rawAgent(t, func(in []byte) [][]byte {
		m := answerTo(in)
		if kept == nil {
			kept = m.Append(nil)
			return nil
		}
		return [][]byte{kept, m.Append(nil)}
	})
	d.Timeout = quick
	s := open(t, d)
	if _, err := s.exchange(t.Context(), askUptime); err != nil {
		t.Fatal(err)
	}
	s.timeout = 2 * time.Second
	for range 2 {
		if _, err := s.exchange(t.Context(), askUptime); err != nil {
			t.Fatal(err)
		}
	}
	if s.stats.Retries != 1 {
		t.Errorf("%d retries, want 1", s.stats.Retries)
	}
}

func TestSessionRefused(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	conn.Close()
	s := open(t, deviceAt(t, addr))
	if _, err := s.exchange(t.Context(), askUptime); !errors.Is(err, errRefused) {
		t.Errorf("err %v, want refused", err)
	}
	if s.stats.Requests != 2 {
		t.Errorf("%d requests, want 2", s.stats.Requests)
	}
}

func TestSessionCancel(t *testing.T) {
	asked := make(chan struct{}, 10)
	d := rawAgent(t, func([]byte) [][]byte { asked <- struct{}{}; return nil })
	d.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	s, err := dial(ctx, d, newPeer(newKit(probes.Deps{})), &probes.PollStats{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.use(d.Credentials[0]); err != nil {
		t.Fatal(err)
	}
	go func() { <-asked; cancel() }()
	if _, err := s.exchange(ctx, askUptime); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v, want cancelled", err)
	}
}

func TestSessionDeadline(t *testing.T) {
	d := rawAgent(t, func([]byte) [][]byte { return nil })
	d.Timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := dial(ctx, d, newPeer(newKit(probes.Deps{})), &probes.PollStats{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.exchange(ctx, askUptime); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err %v, want the deadline", err)
	}
}

func TestSessionUnsendable(t *testing.T) {
	s := open(t, rawAgent(t, func([]byte) [][]byte { return nil }))
	for _, oid := range []string{"", "1", "1.x", "1.99", "9.1", "1.3." + strings.Repeat("1.", 130) + "1", "1.3.4294967296"} {
		if _, err := s.exchange(t.Context(), request{kind: get, oids: []string{oid}}); !errors.Is(err, errUnsendable) {
			t.Errorf("OID %.20q: err %v, want unsendable", oid, err)
		}
	}
	long := probes.Credential{Name: "long", Community: probes.NewSecret(strings.Repeat("x", 256))}
	if err := s.use(long); err == nil || strings.Contains(err.Error(), "xxx") {
		t.Errorf("a community of 256 bytes: %v", err)
	}
}

func TestSessionIPv6(t *testing.T) {
	r, err := snmptest.Start(snmptest.Options{
		Addr: "[::1]:0", Communities: map[string]*snmptest.MIB{"public": snmptest.NewSwitch("v6", 2, 1, nil)},
	})
	if err != nil {
		t.Skip("no IPv6 on the loopback:", err)
	}
	defer r.Close()
	s := open(t, deviceAt(t, r.Addr()))
	if _, err := s.exchange(t.Context(), askUptime); err != nil {
		t.Error(err)
	}
}
