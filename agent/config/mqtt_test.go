package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// keyPair writes a certificate for a name, and its key.
func keyPair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestMQTTUplink(t *testing.T) {
	cert, key := keyPair(t, "plant-7")
	folder(t, map[string]string{"edgehold.yaml": site + `uplink:
  mqtt:
    brokers: [mqtts://B.example.com, "wss://b2.example.com/mqtt/", mqtt://127.0.0.1]
    cert_file: site.pem
    key_file: site.key
    user: u
    password_file: pw
    codec: text
    block_size: 100KiB
`, "site.pem": cert, "site.key": key, "pw": "secret"})
	cfg, _ := mustLoad(t, "edgehold.yaml")
	m := cfg.Uplink.MQTT
	if cfg.Uplink.Kind != "mqtt" || m.Prefix != "edgehold" || m.Codec != "text" || m.BlockSize != 100<<10 {
		t.Errorf("%+v", cfg.Uplink)
	}
	if want := []string{"mqtts://b.example.com:8883", "wss://b2.example.com:443/mqtt", "mqtt://127.0.0.1:1883"}; !reflect.DeepEqual(m.Brokers, want) {
		t.Errorf("brokers %q, want %q", m.Brokers, want)
	}
	if pw, err := m.Password(); err != nil || pw.Reveal() != "secret" || !m.HasPassword() {
		t.Error("no password", err)
	}
	if other := m; !m.Equal(other) {
		t.Error("not equal to itself")
	}
	other := m
	other.Brokers = other.Brokers[:1]
	if m.Equal(other) {
		t.Error("equal with other brokers")
	}
}

// A key that is not that of the certificate is told, and stops no polling.
func TestMQTTKeyOfAnother(t *testing.T) {
	cert, _ := keyPair(t, "plant-7")
	_, key := keyPair(t, "plant-7")
	folder(t, map[string]string{"edgehold.yaml": site + "uplink: {mqtt: {brokers: ['mqtts://b'], cert_file: c.pem, key_file: c.key}}\n", "c.pem": cert, "c.key": key})
	if _, warnings := mustLoad(t, "edgehold.yaml"); len(warnings) != 1 || !strings.Contains(warnings[0].String(), "uplink.mqtt.key_file: it does not belong to the certificate") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestMQTTFaults(t *testing.T) {
	cert, key := keyPair(t, "plant-8")
	for text, want := range map[string]string{
		"brokers: []":                                                         "uplink.mqtt.brokers: is empty",
		"brokers: [b.example.com]":                                            "uplink.mqtt.brokers[0]: not the address of a broker",
		"brokers: ['mqtt://b.example.com']":                                   "uplink.mqtt.brokers[0]: mqtt would send everything in clear text",
		"brokers: ['ws://b.example.com/m']":                                   "uplink.mqtt.brokers[0]: ws would send everything in clear text",
		"brokers: ['tcp://b.example.com']":                                    "uplink.mqtt.brokers[0]: an unknown scheme",
		"brokers: ['mqtts://u:p@b']":                                          "uplink.mqtt.brokers[0]: holds a user or password",
		"brokers: ['mqtts://b/path']":                                         "uplink.mqtt.brokers[0]: holds more than scheme, host and port",
		"brokers: ['mqtts://b', 'mqtts://B']":                                 "uplink.mqtt.brokers[1]: given twice",
		"brokers: ['mqtts://b'], prefix: '/x'":                                "uplink.mqtt.prefix: not the begin of a topic",
		"brokers: ['mqtts://b'], prefix: 'a/+'":                               "uplink.mqtt.prefix: not the begin of a topic",
		"brokers: ['mqtts://b'], block_size: 200KiB":                          "uplink.mqtt.block_size: found 200KiB, expected 4KiB to 120KiB",
		"brokers: ['mqtts://b'], codec: json":                                 "uplink.mqtt.codec: found",
		"brokers: ['mqtts://b'], cert_file: c.pem":                            "uplink.mqtt.key_file: missing",
		"brokers: ['mqtts://b'], cert_file: c.pem, key_file: c.key":           `uplink.mqtt.cert_file: the certificate is for "plant-8", and site is "plant-7"`,
		"brokers: ['mqtts://b'], password_file: pw":                           "uplink.mqtt.user: missing, and a password is given",
		"brokers: ['mqtts://b'], user: u, password_file: p, password_env: PW": "uplink.mqtt.password_env: password_file and password_env are given",
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {mqtt: {" + text + "}}\n", "c.pem": cert, "c.key": key, "pw": "x"})
		got := errorsOf(t, "edgehold.yaml").Error()
		if !strings.Contains(got, want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: got  %s\nwant %s", text, got, want)
		}
	}
	folder(t, map[string]string{"edgehold.yaml": "site: plant/7\nuplink: {mqtt: {brokers: ['mqtts://b']}}\n"})
	if got := errorsOf(t, "edgehold.yaml").Error(); !strings.Contains(got, "site: cannot be a part of an MQTT topic") {
		t.Error(got)
	}
	folder(t, map[string]string{"edgehold.yaml": site + "uplink: {mqtt: {brokers: ['mqtts://b']}, otlp: {url: 'https://x'}}\n"})
	if got := errorsOf(t, "edgehold.yaml").Error(); !strings.Contains(got, "otlp and mqtt are given, expected one of them") {
		t.Error(got)
	}
}

func TestRelay(t *testing.T) {
	folder(t, map[string]string{"edgehold.yaml": site + target + "relay: {id: hub-1, mqtt: {brokers: ['mqtts://b'], prefix: a/b}, site_quota: 1GiB}\n"})
	cfg, _ := mustLoad(t, "edgehold.yaml")
	r := cfg.Relay
	if r.ID != "hub-1" || r.MQTT.Prefix != "a/b" || r.SiteQuota != 1<<30 || r.SilentAfter != probes.Duration(15*time.Minute) {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]string{
		"relay: {mqtt: {brokers: ['mqtts://b']}}":                     "relay.id: missing",
		"relay: {id: relay, mqtt: {brokers: ['mqtts://b']}}":          "relay.id: cannot be a part of an MQTT topic",
		"relay: {id: h, mqtt: {brokers: ['mqtts://b'], codec: text}}": "relay.mqtt.codec: unknown key",
		"relay: {id: h}": "relay.mqtt.brokers: missing",
		"relay: {id: h, mqtt: {brokers: ['mqtts://b']}, silent_after: 10s}":      "relay.silent_after: found 10s, expected 1m to 7d",
		"relay: {id: h, mqtt: {brokers: ['mqtts://b']}, site_quota: 1KiB}":       "relay.site_quota: found 1KiB, expected 1MiB or more",
		"relay: {id: h, mqtt: {brokers: ['mqtts://b'], brokers: ['mqtts://c']}}": "relay.mqtt.brokers",
	} {
		folder(t, map[string]string{"edgehold.yaml": site + target + text + "\n"})
		if got := errorsOf(t, "edgehold.yaml").Error(); !strings.Contains(got, want) {
			t.Errorf("%s: got  %s\nwant %s", text, got, want)
		}
	}
	folder(t, map[string]string{"edgehold.yaml": site + "uplink: {mqtt: {brokers: ['mqtts://b']}}\nrelay: {id: h, mqtt: {brokers: ['mqtts://b']}}\n"})
	if got := errorsOf(t, "edgehold.yaml").Error(); !strings.Contains(got, "a relay cannot send to another relay") {
		t.Error(got)
	}
}
