package mqtt_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
)

// site are the options of a client with a certificate.
func site(broker *mqtttest.Broker, ca *mqtttest.Authority, own mqtttest.Files) mqtt.Options {
	return mqtt.Options{Broker: broker.URL(), ClientID: "site", CAFile: ca.File, CertFile: own.Cert, KeyFile: own.Key}
}

func TestE2EClientCertificates(t *testing.T) {
	ca, other := mqtttest.NewAuthority(t), mqtttest.NewAuthority(t)
	server := ca.Issue(mqtttest.Leaf{Name: "broker"})
	acl := "pattern write p/%u/up\npattern read p/%u/down\n"
	for _, socket := range []bool{false, true} {
		broker := mqtttest.Start(t, mqtttest.Options{Server: &server, ClientCA: ca.File, ACL: acl, WebSocket: socket})
		own := ca.Issue(mqtttest.Leaf{Name: "site-1"})
		c := dial(t, site(broker, ca, own))
		publish(t, c, mqtt.Message{Topic: "p/site-1/up", Payload: make([]byte, 100<<10), QoS: 1})
		if c.CertExpires().Before(time.Now()) {
			t.Errorf("expires %v", c.CertExpires())
		}
		past := mqtttest.Leaf{Name: "old", From: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
		future := mqtttest.Leaf{Name: "new", From: time.Now().Add(time.Hour)}
		for name, c := range map[string]struct {
			o     mqtt.Options
			words []string
		}{
			"expired":    {site(broker, ca, ca.Issue(past)), []string{"client certificate has expired", "old.pem is valid until " + past.NotAfter.UTC().Format("2006-01-02")}},
			"not yet":    {site(broker, ca, ca.Issue(future)), []string{"client certificate", "new.pem is valid until"}},
			"other CA":   {site(broker, ca, other.Issue(mqtttest.Leaf{Name: "other"})), []string{"does not know the authority of the client certificate", "other.pem"}},
			"none":       {site(broker, ca, mqtttest.Files{}), []string{"asks for a client certificate", "cert_file"}},
			"wrong CA":   {site(broker, other, own), []string{"not signed by an authority of ca_file"}},
			"no CA file": {mqtt.Options{Broker: broker.URL(), ClientID: "x", CAFile: "/nowhere/ca.pem"}, []string{"/nowhere/ca.pem", "check the path"}},
			"empty CA":   {mqtt.Options{Broker: broker.URL(), ClientID: "x", CAFile: own.Key}, []string{own.Key, "no certificate in it"}},
			"wrong key":  {mqtt.Options{Broker: broker.URL(), ClientID: "x", CAFile: ca.File, CertFile: own.Cert, KeyFile: server.Key}, []string{own.Cert, server.Key, "belong together"}},
			"clock ahead": {func() mqtt.Options {
				o := site(broker, ca, own)
				o.Time = func() time.Time { return time.Now().Add(3 * time.Hour) }
				return o
			}(), []string{"broker's certificate has expired", "clock is ahead"}},
			"clock behind": {func() mqtt.Options {
				o := site(broker, ca, own)
				o.Time = func() time.Time { return time.Now().Add(-3 * time.Hour) }
				return o
			}(), []string{"broker's certificate is not valid yet", "clock"}},
		} {
			t.Run(name+" "+broker.URL()[:4], func(t *testing.T) {
				_, err := mqtt.Dial(within(t), c.o)
				says(t, err, append(c.words, "connect to "+broker.URL())...)
				if name != "empty CA" && name != "wrong key" && !errors.Is(err, mqtt.ErrRefused) {
					t.Errorf("not refused: %v", err)
				}
			})
		}
	}
}

func TestE2EBrokersCertificate(t *testing.T) {
	ca := mqtttest.NewAuthority(t)
	for name, c := range map[string]struct {
		leaf  mqtttest.Leaf
		words string
	}{
		"expired":  {mqtttest.Leaf{From: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}, "has expired; renew it"},
		"not yet":  {mqtttest.Leaf{From: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}, "not valid yet"},
		"elsewise": {mqtttest.Leaf{Hosts: []string{"hub.example.com"}}, "for another name; check the host"},
	} {
		t.Run(name, func(t *testing.T) {
			c.leaf.Name = "broker-" + name
			server := ca.Issue(c.leaf)
			broker := mqtttest.Start(t, mqtttest.Options{Server: &server})
			_, err := mqtt.Dial(within(t), mqtt.Options{Broker: broker.URL(), ClientID: "x", CAFile: ca.File})
			says(t, err, c.words)
			if !errors.Is(err, mqtt.ErrRefused) {
				t.Errorf("not refused: %v", err)
			}
		})
	}
}

// TestE2EPlainAndTLSMixedUp speaks the wrong one at each.
func TestE2EPlainAndTLSMixedUp(t *testing.T) {
	ca := mqtttest.NewAuthority(t)
	server := ca.Issue(mqtttest.Leaf{Name: "broker"})
	secure := mqtttest.Start(t, mqtttest.Options{Server: &server})
	open := mqtttest.Start(t, mqtttest.Options{})
	_, err := mqtt.Dial(within(t), mqtt.Options{Broker: "mqtt://" + secure.Addr(), ClientID: "x"})
	says(t, err, "TLS")
	_, err = mqtt.Dial(within(t), mqtt.Options{Broker: "mqtts://" + open.Addr(), ClientID: "x", CAFile: ca.File})
	says(t, err, "TLS")
	_, err = mqtt.Dial(within(t), mqtt.Options{Broker: "ws://" + open.Addr(), ClientID: "x"})
	says(t, err, "connect to")
}

// TestE2ENewFiles replaces the certificate and the authority between two
// connections, as a rotation does.
func TestE2ENewFiles(t *testing.T) {
	old, next := mqtttest.NewAuthority(t), mqtttest.NewAuthority(t)
	server := old.Issue(mqtttest.Leaf{Name: "broker"})
	broker := mqtttest.Start(t, mqtttest.Options{Server: &server, ClientCA: old.File})
	folder := t.TempDir()
	mine := mqtttest.Files{Cert: filepath.Join(folder, "site.pem"), Key: filepath.Join(folder, "site.key")}
	trust := filepath.Join(folder, "ca.pem")
	install := func(ca *mqtttest.Authority, end time.Time) {
		f := ca.Issue(mqtttest.Leaf{Name: "site", NotAfter: end})
		for from, to := range map[string]string{f.Cert: mine.Cert, f.Key: mine.Key, ca.File: trust} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	o := mqtt.Options{Broker: broker.URL(), CAFile: trust, CertFile: mine.Cert, KeyFile: mine.Key}
	ends := []time.Time{time.Now().Add(time.Hour), time.Now().Add(2 * time.Hour)}
	install(old, ends[0])
	first := dial(t, o)
	install(old, ends[1])
	o.ClientID = "second"
	second := dial(t, o)
	for i, c := range []*mqtt.Conn{first, second} {
		if d := c.CertExpires().Sub(ends[i]).Abs(); d > time.Second {
			t.Errorf("connection %d: expires %v, want %v", i, c.CertExpires(), ends[i])
		}
	}
	publish(t, first, mqtt.Message{Topic: "a", QoS: 1}) // it lives on
	install(next, ends[1])
	_, err := mqtt.Dial(within(t), o)
	says(t, err, "not signed by an authority of ca_file")
}

// TestE2EWebSocket sends much and receives little: mosquitto 2.0 writes large
// messages to a WebSocket at some 40 kB/s.
func TestE2EWebSocket(t *testing.T) {
	goroutines(t)
	broker := mqtttest.Start(t, mqtttest.Options{WebSocket: true})
	here := dial(t, mqtt.Options{Broker: broker.URL() + "/mqtt", ClientID: "here"})
	there := dial(t, mqtt.Options{Broker: broker.URL(), ClientID: "there"})
	came := collect(t, there, "small/+")
	large := make([]byte, 100<<10)
	for i := range 10 {
		publish(t, here, mqtt.Message{Topic: "large", Payload: large, QoS: 1, Retain: true})
		publish(t, here, mqtt.Message{Topic: "small/a", Payload: []byte(strconv.Itoa(i)), QoS: 1})
		if got := receive(t, came, "a message"); got != strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	if got := receive(t, collect(t, there, "large"), "the large message"); len(got) != len(large) {
		t.Errorf("%d bytes came", len(got))
	}
	broker.Kill()
	receive(t, here.Closed(), "the end")
	says(t, here.Err(), "lost", "the broker ended the connection")
}

// TestOldTLS is of a server that has no newer TLS than 1.1.
func TestOldTLS(t *testing.T) {
	ca := mqtttest.NewAuthority(t)
	server := ca.Issue(mqtttest.Leaf{Name: "old"})
	pair, err := tls.LoadX509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1))
		conn.Close()
	}()
	_, err = mqtt.Dial(within(t), mqtt.Options{Broker: "mqtts://" + l.Addr().(*net.TCPAddr).String(), ClientID: "x", CAFile: ca.File})
	says(t, err, "TLS of version 1.2 or newer")
	l.Close()
	<-done
}
