package mqtttest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// greet speaks just enough to see the broker's greeting.
func greet(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01x")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := conn.Read(answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestE2EBrokerRunsStopsAndRunsAgain(t *testing.T) {
	b := mqtttest.Start(t, mqtttest.Options{Persistence: true})
	addr := b.Addr()
	for _, end := range []func(){b.Stop, b.Kill, b.Stop} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := greet(t, conn); string(got) != "\x20\x02\x00\x00" {
			t.Errorf("greeting %x", got)
		}
		conn.Close()
		end()
		end() // a second time is as good
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Fatal("it still listens")
		}
		b.Start()
	}
	if b.Addr() != addr || !strings.Contains(b.Log(), "New client connected") {
		t.Errorf("at %s, log:\n%s", b.Addr(), b.Log())
	}
}

func TestE2EListensOnLoopbackOnly(t *testing.T) {
	for _, socket := range []bool{false, true} {
		b := mqtttest.Start(t, mqtttest.Options{WebSocket: socket})
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(b.Addr())
		for _, a := range addrs {
			ip := a.(*net.IPNet).IP
			if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
				continue
			}
			if conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), port), time.Second); err == nil {
				conn.Close()
				t.Errorf("it listens at %v", ip)
			}
		}
	}
}

func TestAuthority(t *testing.T) {
	ca := mqtttest.NewAuthority(t)
	f := ca.Issue(mqtttest.Leaf{Name: "site", Hosts: []string{"a.example", "192.0.2.1"}})
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, host := range []string{"a.example", "192.0.2.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if pair.Leaf.Subject.CommonName != "site" {
		t.Errorf("name %s", pair.Leaf.Subject.CommonName)
	}
}
