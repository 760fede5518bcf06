package drain

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The frames of HTTP/2 that the tests write and wait for. See RFC 9113.
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7
	flagEnd       = 1
	flagAck       = 1
)

// http2Conn is the server's side of a connection whose frames are written by
// hand.
type http2Conn struct{ net.Conn }

func (c http2Conn) frame(kind, flags byte, stream uint32, payload ...uint32) {
	b := []byte{0, 0, byte(4 * len(payload)), kind, flags}
	b = binary.BigEndian.AppendUint32(b, stream)
	for _, p := range payload {
		b = binary.BigEndian.AppendUint32(b, p)
	}
	_, _ = c.Write(b) // a client that is gone shows when it is read
}

// greet reads the client's preface, and greets it.
func (c http2Conn) greet() {
	_, _ = io.CopyN(io.Discard, c, 24)
	c.frame(frameSettings, 0, 0)
}

// request reads frames until one request has come whole. It gives its stream, 0
// where the client is gone.
func (c http2Conn) request() uint32 {
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return 0
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return 0
		}
		switch {
		case head[3] == frameSettings && head[4] != flagAck:
			c.frame(frameSettings, flagAck, 0)
		case head[3] <= frameHeaders && head[4]&flagEnd != 0:
			return binary.BigEndian.Uint32(head[5:])
		}
	}
}

// ok answers 202 without a body, in HPACK: ":status" from the static table with
// a value of its own.
func (c http2Conn) ok(stream uint32) {
	block := append([]byte{0x08, 3}, "202"...)
	b := append([]byte{0, 0, byte(len(block)), frameHeaders, 4 | flagEnd}, binary.BigEndian.AppendUint32(nil, stream)...)
	_, _ = c.Write(append(b, block...))
}

// TestHTTP2 has what a server can say of a request without answering it: that
// it has not looked at it, which is not ambiguous, or nothing.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve     func(c http2Conn, stream uint32, times int32) // times: requests before this one
		verdict   verdict
		ambiguous bool
		cause     string
		requests  int32
	}{
		"answer": {func(c http2Conn, s uint32, _ int32) { c.ok(s) }, accepted, false, "", 1},
		"refused once": {func(c http2Conn, s uint32, n int32) {
			answerAfter(c, s, n, func() { c.frame(frameReset, 0, s, refusedStream) })
		}, accepted, false, "", 2},
		"refused always": {func(c http2Conn, s uint32, _ int32) { c.frame(frameReset, 0, s, refusedStream) }, later, false, "without having looked at it", 2},
		"going away, unseen": {func(c http2Conn, s uint32, n int32) {
			answerAfter(c, s, n, func() { c.frame(frameGoAway, 0, 0, 0, 0) })
		}, accepted, false, "", 2},
		"always going away":   {func(c http2Conn, s uint32, _ int32) { c.frame(frameGoAway, 0, 0, 0, 0) }, later, false, "without having looked at it", 2},
		"away with an error":  {func(c http2Conn, s uint32, _ int32) { c.frame(frameGoAway, 0, 0, 0, 11) }, later, false, "GOAWAY", 1},
		"going away, seen":    {func(c http2Conn, s uint32, _ int32) { c.frame(frameGoAway, 0, 0, s, 0) }, later, true, "GOAWAY", 1},
		"cancelled by server": {func(c http2Conn, s uint32, _ int32) { c.frame(frameReset, 0, s, 8) }, later, true, "", 1},
		"cut":                 {func(http2Conn, uint32, int32) {}, later, true, "", 1},
		"silent":              {func(c http2Conn, _ uint32, _ int32) { _, _ = io.Copy(io.Discard, c) }, later, true, "no byte moved", 1},
	} {
		t.Run(name, func(t *testing.T) {
			good := tlsServer(t, tlsOptions{}) // lends its certificate
			config := &tls.Config{Certificates: good.TLS.Certificates, NextProtos: []string{"h2"}}
			var requests atomic.Int32
			address := rawServer(t, tls.NewListener(listen(t), config), func(conn net.Conn) {
				c := http2Conn{conn}
				c.greet()
				for {
					stream := c.request()
					if stream == 0 {
						return
					}
					test.serve(c, stream, requests.Add(1)-1)
					if !strings.Contains(name, "refused") {
						return
					}
				}
			})
			s := testSender(t, "https://"+address, ClientOptions{CAFile: good.ca})
			s.stall = 500 * time.Millisecond
			x := send(t, s, lines("one\n"))
			o := classify(x, time.Now())
			if o.verdict != test.verdict || o.ambiguous != test.ambiguous || !strings.Contains(o.cause, test.cause) {
				t.Errorf("outcome %+v", o)
			}
			if n := requests.Load(); n != test.requests {
				t.Errorf("%d requests arrived, want %d", n, test.requests)
			}
		})
	}
}

// answerAfter fails the first request and takes the others.
func answerAfter(c http2Conn, stream uint32, times int32, fail func()) {
	if times == 0 {
		fail()
		return
	}
	c.ok(stream)
}

// TestDeadConnectionIsLeft holds that a connection on which nothing moves is not
// tried again, though HTTP/2 could carry the next request on it.
func TestDeadConnectionIsLeft(t *testing.T) {
	t.Parallel()
	good := tlsServer(t, tlsOptions{})
	var conns atomic.Int32
	address := rawServer(t, tls.NewListener(listen(t), &tls.Config{Certificates: good.TLS.Certificates, NextProtos: []string{"h2"}}), func(conn net.Conn) {
		c := http2Conn{conn}
		if first := conns.Add(1) == 1; first {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		c.greet()
		c.ok(c.request())
		_, _ = io.Copy(io.Discard, c)
	})
	s := testSender(t, "https://"+address, ClientOptions{CAFile: good.ca})
	s.stall = 500 * time.Millisecond
	first := classify(send(t, s, lines("one\n")), time.Now())
	second := classify(send(t, s, lines("one\n")), time.Now())
	if first.verdict != later || second.verdict != accepted || conns.Load() != 2 {
		t.Errorf("%d connections; outcomes %+v, then %+v", conns.Load(), first, second)
	}
}
