package main_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/mqtt/mqtttest"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/sign/mtls"
)

// fleet is a mosquitto with the configuration and the access rules of
// packaging/examples, and who may come to it.
type fleet struct {
	t          *testing.T
	dir, addr  string
	ca         *mtls.Authority
	broker     *process
	topics     wire.Topics
	knownNames map[string]*mtls.Made
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	mqtttest.Need(t, "mosquitto")
	f := &fleet{t: t, dir: t.TempDir(), knownNames: map[string]*mtls.Made{}}
	longAgo := func() time.Time { return time.Now().AddDate(-4, 0, 0) }
	var err error
	if f.ca, err = mtls.Create(mtls.RootOptions{Dir: filepath.Join(f.dir, "ca"), Name: "Fleet", Days: 3650, Now: longAgo}); err != nil {
		t.Fatal(err)
	}
	f.issue(mtls.Request{Role: mtls.Site, Name: "expired", Days: 30})
	f.ca = f.open(filepath.Join(f.dir, "ca"))
	f.issue(mtls.Request{Role: mtls.Broker, Name: "broker", Hosts: []string{"127.0.0.1", "localhost"}})
	for _, site := range []string{"site-a", "site-b", "revoked"} {
		f.issue(mtls.Request{Role: mtls.Site, Name: site})
	}
	f.issue(mtls.Request{Role: mtls.Relay, Name: "hub-1"})
	if _, err := f.ca.Revoke(mtls.Revocation{Name: "revoked", Reason: "keyCompromise"}); err != nil {
		t.Fatal(err)
	}
	f.start()
	return f
}

func (f *fleet) open(dir string) *mtls.Authority {
	f.t.Helper()
	a, err := mtls.Open(dir, time.Now)
	if err == nil {
		err = a.Unlock(nil)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fleet) issue(r mtls.Request) {
	f.t.Helper()
	r.Dir = filepath.Join(f.dir, r.Name)
	made, err := f.ca.Issue(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.knownNames[r.Name] = made
}

// start runs mosquitto with the files as they are, in a folder of its own.
func (f *fleet) start() {
	f.t.Helper()
	if f.addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.t.Fatal(err)
		}
		f.addr = l.Addr().String()
		l.Close()
	}
	const examples = "../../packaging/examples/mosquitto/"
	acl, err := filepath.Abs(examples + "acl")
	if err != nil {
		f.t.Fatal(err)
	}
	text, err := os.ReadFile(examples + "mosquitto.conf")
	if err != nil {
		f.t.Fatal(err)
	}
	made := f.knownNames["broker"]
	_, port, _ := net.SplitHostPort(f.addr)
	conf := strings.NewReplacer(
		"listener 8883", "listener "+port+" 127.0.0.1",
		"/etc/mosquitto/edgehold/acl", acl,
		"/etc/mosquitto/edgehold/broker.pem", made.CertFile,
		"/etc/mosquitto/edgehold/broker.key", made.KeyFile,
		"/etc/mosquitto/edgehold/ca.crl", filepath.Join(f.ca.Dir, mtls.CRLName),
		"/etc/mosquitto/edgehold/ca.pem", filepath.Join(f.ca.Dir, mtls.RootName),
	).Replace(string(text))
	if os.Geteuid() == 0 {
		conf += "user root\n" // else it changes to one that may not read the folder
	}
	path := filepath.Join(f.dir, "mosquitto.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.broker = launch(f.t, exec.Command(mqtttest.Need(f.t, "mosquitto"), "-c", path), filepath.Join(f.dir, "broker.log"))
	eventually(f.t, "mosquitto to listen", func() bool {
		conn, err := net.Dial("tcp", f.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (f *fleet) restart() {
	f.t.Helper()
	f.broker.end(syscall.SIGTERM)
	f.start()
}

// connect connects with the certificate of who, under a client ID.
func (f *fleet) connect(who, id string) (*mqtt.Conn, error) {
	o := mqtt.Options{Broker: "mqtts://" + f.addr, ClientID: id, CAFile: filepath.Join(f.ca.Dir, mtls.RootName)}
	if made := f.knownNames[who]; made != nil {
		o.CertFile, o.KeyFile = made.CertFile, filepath.Join(f.dir, who, who+".key")
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	conn, err := mqtt.Dial(ctx, o)
	if err == nil {
		f.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = conn.Close(ctx)
		})
	}
	return conn, err
}

// client is a connection with all that it ever got.
type client struct {
	f    *fleet
	conn *mqtt.Conn

	mu  sync.Mutex
	got []string // topic=payload
}

// join connects and subscribes to filters, and to everything that it can name.
func (f *fleet) join(who string, filters ...string) *client {
	f.t.Helper()
	conn, err := f.connect(who, who)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &client{f: f, conn: conn}
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for _, filter := range filters {
		err := conn.Subscribe(ctx, filter, 1, func(m mqtt.Incoming) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.got = append(c.got, m.Topic+"="+string(m.Payload))
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return c
}

// say publishes; a broker says nothing where it does not allow it.
func (c *client) say(topic, text string) {
	c.f.t.Helper()
	ctx, cancel := context.WithTimeout(c.f.t.Context(), patience)
	defer cancel()
	if err := c.conn.Publish(ctx, mqtt.Message{Topic: topic, Payload: []byte(text), QoS: 1}); err != nil {
		c.f.t.Fatalf("publish to %s: %v", topic, err)
	}
}

// heard waits until the last of the messages came, and wants no other before.
func (c *client) heard(want ...string) {
	c.f.t.Helper()
	var got []string
	eventually(c.f.t, want[len(want)-1], func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		got = append([]string(nil), c.got...)
		return strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+want[len(want)-1]+"\n")
	})
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		c.f.t.Errorf("it got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c.mu.Lock()
	c.got = nil
	c.mu.Unlock()
}

// TestE2ERelayBroker holds the access rules for mosquitto against what a stolen
// site may try.
func TestE2ERelayBroker(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	up, down := f.topics.Up, f.topics.Down
	relay := f.join("hub-1", "$share/edgehold/"+f.topics.AllUp(), f.topics.AllAsk(), f.topics.AllStates(), f.topics.AllRelayStates())
	a := f.join("site-a", down("site-a"), f.topics.AllRelayStates(), f.topics.Deny(), f.topics.Probe("site-a"))
	b := f.join("site-b", "#")

	// What they are for.
	a.say(up("site-a"), "block")
	relay.heard(up("site-a") + "=block")
	a.say(f.topics.Ask("site-a"), "ask")
	a.say(f.topics.State("site-a"), "state")
	relay.heard(f.topics.Ask("site-a")+"=ask", f.topics.State("site-a")+"=state")
	relay.say(f.topics.RelayState("hub-1"), "online")
	relay.say(f.topics.Deny(), "list")
	relay.say(down("site-a"), "stored")
	a.heard(f.topics.RelayState("hub-1")+"=online", f.topics.Deny()+"=list", down("site-a")+"=stored")
	relay.heard(f.topics.RelayState("hub-1") + "=online")
	a.say(f.topics.Probe("site-a"), "mine")
	a.heard(f.topics.Probe("site-a") + "=mine")

	// A site that asks for everything gets what is its own and what is for all.
	relay.say(down("site-b"), "yours")
	b.heard(f.topics.RelayState("hub-1")+"=online", f.topics.Deny()+"=list", down("site-b")+"=yours")

	// As another site, and as a relay.
	for _, topic := range []string{
		up("site-a"), f.topics.State("site-a"), f.topics.Ask("site-a"), f.topics.Probe("site-a"),
		down("site-a"), down("site-b"), f.topics.RelayState("hub-1"), f.topics.RelayState("site-b"), f.topics.Deny(),
	} {
		b.say(topic, "forged")
	}
	b.say(up("site-b"), "honest")
	relay.heard(up("site-b") + "=honest")
	relay.say(down("site-a"), "the next")
	a.heard(down("site-a") + "=the next")

	// Under another's client ID: it gets its own.
	thief, err := f.connect("site-b", "site-a")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.conn.Closed(): // its own older connection has made way
	case <-time.After(patience):
		t.Error("two connections of one name stay")
	}
	relay.say(down("site-a"), "still here")
	a.heard(down("site-a") + "=still here")
	if thief.Err() != nil {
		t.Error(thief.Err())
	}
}

// TestE2ERelayBrokerRefuses is about who does not come in at all.
func TestE2ERelayBrokerRefuses(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	if _, err := f.connect("site-a", "site-a"); err != nil {
		t.Fatal(err)
	}
	other := &fleet{t: t, dir: t.TempDir(), knownNames: f.knownNames}
	var err error
	if other.ca, err = mtls.Create(mtls.RootOptions{Dir: filepath.Join(other.dir, "ca"), Name: "Fleet", Days: 30, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	made, err := other.ca.Issue(mtls.Request{Role: mtls.Site, Name: "foreign", Dir: filepath.Join(f.dir, "foreign")})
	if err != nil {
		t.Fatal(err)
	}
	f.knownNames["foreign"] = made
	for who, why := range map[string]string{
		"nobody": "asks for a client certificate", "foreign": "does not know the authority",
		"revoked": "revoked", "expired": "has expired", "broker": "one for clients",
	} {
		_, err := f.connect(who, "x")
		if !errors.Is(err, mqtt.ErrRefused) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", who, err)
		}
	}
	// What is revoked while it is connected stays until the broker starts anew.
	stolen, err := f.connect("site-b", "site-b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ca.Revoke(mtls.Revocation{Name: "site-b", Reason: "keyCompromise"}); err != nil {
		t.Fatal(err)
	}
	f.restart()
	select {
	case <-stolen.Closed():
	case <-time.After(patience):
		t.Error("the stolen site stays connected")
	}
	if _, err := f.connect("site-b", "site-b"); !errors.Is(err, mqtt.ErrRefused) {
		t.Errorf("stolen site: %v", err)
	}
	if _, err := f.connect("site-a", "site-a"); err != nil {
		t.Error(err)
	}
}
