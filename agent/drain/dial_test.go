package drain

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The answers of a name server.
const (
	nameKnown  = 0
	nameFails  = 2 // SERVFAIL
	nameNone   = 3 // NXDOMAIN
	nameSilent = -1
)

// nameServer answers every question for an IPv4 address with 127.0.0.1, or as
// rcode says. It returns a resolver that asks nobody else.
func nameServer(t *testing.T, rcode *atomic.Int32) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if code := rcode.Load(); code != nameSilent {
				_, _ = server.WriteTo(nameAnswer(buffer[:n], uint16(code)), from)
			}
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// nameAnswer turns a question into its answer. See RFC 1035, section 4.1.
func nameAnswer(question []byte, rcode uint16) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5
	answer := append([]byte{}, question[:end]...)
	binary.BigEndian.PutUint16(answer[2:], 0x8180|rcode)
	clear(answer[6:12])
	if isIPv4 := binary.BigEndian.Uint16(question[end-4:]) == 1; rcode == nameKnown && isIPv4 {
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
	}
	return answer
}

// named is a sender to a host of that name server, at the port of url.
func named(t *testing.T, url string, resolver *net.Resolver) *sender {
	t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	s := testSender(t, "http://env.example:"+port, ClientOptions{})
	s.client.Transport.(*transport).dialer.Resolver = resolver
	return s
}

func TestNames(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { taken(w) }))
	defer server.Close()
	for name, test := range map[string]struct {
		rcode int32
		cause string
	}{
		"NXDOMAIN": {nameNone, "no such name; check the host"},
		"SERVFAIL": {nameFails, "the name server fails (SERVFAIL)"},
		"silence":  {nameSilent, "no name server answers; check the link"},
	} {
		t.Run(name, func(t *testing.T) {
			var rcode atomic.Int32
			rcode.Store(test.rcode)
			s := named(t, server.URL, nameServer(t, &rcode))
			dial := s.client.Transport.(*transport).dialer
			dial.Timeout, dial.patience = time.Second, 100*time.Millisecond
			o := classify(send(t, s, lines("one\ntwo\n")), time.Now())
			if o.verdict != later || !o.unreached || o.ambiguous || !strings.Contains(o.cause, test.cause) {
				t.Errorf("outcome %+v", o)
			}
			rcode.Store(nameKnown)
			if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); o.verdict != accepted {
				t.Errorf("with a name: %+v", o)
			}
			rcode.Store(test.rcode)
			s.closeIdle()
			if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); o.verdict != accepted {
				t.Errorf("with the address of last time: %+v", o)
			}
		})
	}
	t.Run("both are dead", func(t *testing.T) {
		var rcode atomic.Int32
		s := named(t, server.URL, nameServer(t, &rcode))
		if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); o.verdict != accepted {
			t.Errorf("outcome %+v", o)
		}
		s.closeIdle()
		server.Close()
		if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); !strings.Contains(o.cause, "nothing listens there") {
			t.Errorf("outcome %+v", o)
		}
		rcode.Store(nameNone)
		if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); !strings.Contains(o.cause, "no such name") {
			t.Errorf("outcome %+v", o)
		}
	})
}

// TestDialEndsWithContext has a name server that is silent and a stop.
func TestDialEndsWithContext(t *testing.T) {
	var rcode atomic.Int32
	rcode.Store(nameSilent)
	resolver := nameServer(t, &rcode)
	asked := make(chan struct{}, 100)
	inner := resolver.Dial
	resolver.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		asked <- struct{}{}
		return inner(ctx, network, address)
	}
	s := named(t, "http://127.0.0.1:1", resolver)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan outcome)
	go func() { ended <- classify(s.post(ctx, lines("one\n")), time.Now()) }()
	<-asked
	cancel(errLinkChanged)
	if o := <-ended; !o.unreached || !strings.Contains(o.cause, fmt.Sprint(errLinkChanged)) {
		t.Errorf("outcome %+v", o)
	}
}
