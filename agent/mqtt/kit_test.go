package mqtt_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/edgehold/edgehold/agent/mqtt"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dial connects, and closes with the test.
func dial(t testing.TB, o mqtt.Options) *mqtt.Conn {
	t.Helper()
	if o.ClientID == "" {
		o.ClientID = strings.ReplaceAll(t.Name(), "/", "-")
	}
	c, err := mqtt.Dial(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(t, c) })
	return c
}

// hangUp closes, also where messages are in flight for ever.
func hangUp(t testing.TB, c *mqtt.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Logf("close: %v", err)
	}
}

func publish(t testing.TB, c *mqtt.Conn, m mqtt.Message) {
	t.Helper()
	if err := c.Publish(within(t), m); err != nil {
		t.Fatal(err)
	}
}

// collect subscribes, and gives the payloads that come.
func collect(t testing.TB, c *mqtt.Conn, filter string) <-chan string {
	t.Helper()
	came := make(chan string, 10000)
	err := c.Subscribe(within(t), filter, 1, func(m mqtt.Incoming) { came <- string(m.Payload) })
	if err != nil {
		t.Fatal(err)
	}
	return came
}

// receive waits for one.
func receive[T any](t testing.TB, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("never came: %s", what)
	}
	return got
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never so: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// goroutines checks at the end of the test that no more are left than now.
func goroutines(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	})
}

// says checks an error's words.
func says(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

// fake is a broker of few lines. It greets and then does with each packet what
// answer says; false ends the connection.
type fake struct {
	addr        string
	connections atomic.Int64
	work        sync.WaitGroup
}

func newFake(t testing.TB, greeting []byte, answer func(c net.Conn, p packets.ControlPacket) bool) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String()}
	f.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.connections.Add(1)
			f.work.Go(func() { serve(conn, greeting, answer) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.work.Wait()
	})
	return f
}

func (f *fake) url() string { return "mqtt://" + f.addr }

func serve(conn net.Conn, greeting []byte, answer func(c net.Conn, p packets.ControlPacket) bool) {
	defer conn.Close()
	from := bufio.NewReader(conn)
	if _, err := packets.ReadPacket(from); err != nil { // CONNECT
		return
	}
	if _, err := conn.Write(greeting); err != nil {
		return
	}
	for {
		p, err := packets.ReadPacket(from)
		if err != nil || !answer(conn, p) {
			return
		}
	}
}

// welcome is a greeting that accepts.
var welcome = []byte{0x20, 2, 0, 0}

// swallow takes everything and answers nothing.
func swallow(net.Conn, packets.ControlPacket) bool { return true }

// talk serves raw bytes to each connection, whatever it says.
func talk(t testing.TB, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				_, _ = conn.Write([]byte(text))
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l.Addr().String()
}
