package setup

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/probes"
)

func TestE2EBroker(t *testing.T) {
	ca, other := mqtttest.NewAuthority(t), mqtttest.NewAuthority(t)
	own := ca.Issue(mqtttest.Leaf{Name: "plant-7", NotAfter: time.Now().Add(90 * 24 * time.Hour)})
	short := ca.Issue(mqtttest.Leaf{Name: "plant-8"})
	over := ca.Issue(mqtttest.Leaf{Name: "plant-9", NotAfter: time.Now().Add(-time.Minute)})
	foreign := other.Issue(mqtttest.Leaf{Name: "plant-7", NotAfter: time.Now().Add(90 * 24 * time.Hour)})
	server := ca.Issue(mqtttest.Leaf{Name: "hub"})
	broker := mqtttest.Start(t, mqtttest.Options{Server: &server, ClientCA: ca.File})
	at := func(files mqtttest.Files) Uplink {
		return Uplink{Kind: MQTT, URL: broker.URL(), CAFile: ca.File, CertFile: files.Cert, KeyFile: files.Key}
	}
	check := func(u Uplink, site string) []Finding { return Broker(t.Context(), u, site, time.Now()) }
	wants(t, check(at(own), "plant-7"), "GG", "lasts until", "lets this site in")
	wants(t, check(at(own), "plant-8"), "F", `the certificate is for "plant-7", and the site is "plant-8"`)
	wants(t, check(at(short), "plant-8"), "NG", "ends on")
	wants(t, check(at(over), "plant-9"), "F", "has ended on")
	wants(t, check(at(foreign), "plant-7"), "GF", "certificate")
	mixed := at(own)
	mixed.KeyFile = short.Key
	wants(t, check(mixed, "plant-7"), "F", "certificate and key", "belongs to it")
	mixed.KeyFile = "/nowhere"
	wants(t, check(mixed, "plant-7"), "F", "no such file")
	unknown := at(own)
	unknown.CAFile = other.File
	wants(t, check(unknown, "plant-7"), "GF", "authority")
	bare := Uplink{Kind: MQTT, URL: broker.URL(), CAFile: ca.File, User: "plant-7", Password: probes.NewSecret(testToken)}
	wants(t, check(bare, "plant-7"), "F", "client certificate")
}
