package drain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rawServer listens on loopback and handles each connection with serve, which
// may do what no HTTP server would. Connections are closed at the end.
func rawServer(t *testing.T, l net.Listener, serve func(net.Conn)) (address string) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			all.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readRequest reads one whole request.
func readRequest(conn net.Conn) error {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// say reads a request and answers with the text as it is.
func say(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if readRequest(conn) == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// noise does not get smaller by compression.
func noise(n int) []byte {
	body := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(body) // never fails
	return body
}

// TestFaults has the faults of servers and links that real sockets can make.
// Each tells whether all of the request may have arrived.
func TestFaults(t *testing.T) {
	small, large := []byte("one\n"), noise(16<<20) // larger than what sockets hold
	closed := listen(t)
	closed.Close()
	for name, test := range map[string]struct {
		serve            func(net.Conn) // nil: nobody listens
		body             []byte
		verdict          verdict
		begun, ambiguous bool
		cause            string
	}{
		"refused":             {nil, small, later, false, false, "nothing listens there"},
		"reset at once":       {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); reset(c) }, large, later, true, false, "cut before the answer"},
		"reset in mid-body":   {func(c net.Conn) { _, _ = io.CopyN(io.Discard, c, 100_000); reset(c) }, large, later, true, false, "cut before the answer"},
		"cut after all of it": {func(c net.Conn) { _ = readRequest(c) }, small, later, true, true, "cut before the answer"},
		"reset after all":     {func(c net.Conn) { _ = readRequest(c); reset(c) }, large, later, true, true, "cut before the answer"},
		"reads nothing":       {func(c net.Conn) { wait(c) }, large, later, true, false, "no byte moved"},
		"reads, says nothing": {func(c net.Conn) { _ = readRequest(c); wait(c) }, small, later, true, true, "no byte moved"},
		"stops reading":       {func(c net.Conn) { _, _ = io.CopyN(io.Discard, c, 100_000); wait(c) }, large, later, true, false, "no byte moved"},
		"half an answer":      {func(c net.Conn) { say("HTTP/1.1 202 Acc")(c); wait(c) }, small, later, true, true, "no byte moved"},
		"half a header":       {say("HTTP/1.1 202 Accepted\r\nContent-Le"), small, later, true, true, "broke off in its header"},
		"half a body":         {say("HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n{\"linesOk\":1,"), small, later, true, true, "broke off"},
		"half a body of 202":  {say("HTTP/1.1 202 Accepted\r\nContent-Length: 500\r\n\r\n{\"linesOk\":1,"), small, accepted, true, false, ""},
		"slow loris":          {loris, small, later, true, true, "does not answer in time"},
		"not HTTP":            {say("220 mail.example ESMTP\r\n"), small, later, true, true, "does not speak HTTP"},
		"portal":              {say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Sign in</html>"), small, later, true, false, "wants a sign-in first"},
		"portal by redirect":  {say("HTTP/1.1 302 Found\r\nLocation: http://portal.example/x?y\r\nContent-Length: 0\r\n\r\n"), small, hold, true, false, "redirected to http://portal.example"},
		"early 413":           {early413, large, split, true, false, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := closed.Addr().String()
			if test.serve != nil {
				address = rawServer(t, listen(t), test.serve)
			}
			s := testSender(t, "http://"+address, ClientOptions{})
			s.target.Plain, s.stall = true, 300*time.Millisecond
			limit := 10 * time.Second
			if name == "slow loris" {
				limit = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			x := s.post(ctx, request{cargo: metrics, body: test.body, items: 1})
			o := classify(x, time.Now())
			if o.verdict != test.verdict || o.ambiguous != test.ambiguous || x.begun != test.begun || o.unreached == x.begun || !strings.Contains(o.cause, test.cause) {
				t.Errorf("outcome %+v of %+v", o, x)
			}
		})
	}
}

// wait holds a connection until the client ends it.
func wait(conn net.Conn) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	for alive := true; alive; time.Sleep(time.Millisecond) { // polls, since it must not read
		_ = raw.Control(func(fd uintptr) {
			code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
			alive = err == nil && code == 0
		})
		if err := conn.SetDeadline(time.Time{}); err != nil {
			return
		}
	}
}

// early413 answers when it has seen the begin of a request.
func early413(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}

// loris answers a byte at a time, forever.
func loris(conn net.Conn) {
	if readRequest(conn) != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nX: "); err != nil {
		return
	}
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if _, err := io.WriteString(conn, "a"); err != nil {
			return
		}
	}
}

// TestSlowIsNotStalled has a server that reads slowly what lies in the kernel's
// buffers already: nothing is written or read meanwhile, and yet it moves.
func TestSlowIsNotStalled(t *testing.T) {
	t.Parallel()
	const size = 128 << 10
	address := rawServer(t, narrow(t), func(conn net.Conn) {
		r := bufio.NewReaderSize(conn, 16)
		head := ""
		for head != "\r\n" {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head = line
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range size / 1024 {
			if _, err := io.CopyN(io.Discard, r, 1024); err != nil {
				return
			}
			<-tick.C
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
	})
	s := testSender(t, "http://"+address, ClientOptions{})
	s.target.Plain, s.stall = true, time.Second
	x := s.post(t.Context(), request{cargo: metrics, body: noise(size), items: 1})
	if o := classify(x, time.Now()); o.verdict != accepted {
		t.Errorf("outcome %+v of %+v", o, x)
	}
}

// narrow listens with small buffers, so that the client's have to hold what is
// not read.
func narrow(t *testing.T) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		}), err)
	}}
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestGivenUpNeverArrives holds that a post that was given up does not leave
// the kernel's buffers later, when the link is back: it would arrive twice.
func TestGivenUpNeverArrives(t *testing.T) {
	const size = 128 << 10 // fits into the client's buffers
	givenUp, got := make(chan struct{}), make(chan int64, 1)
	address := rawServer(t, narrow(t), func(conn net.Conn) {
		<-givenUp
		n, _ := io.Copy(io.Discard, conn) // ends with the reset
		got <- n
	})
	s := testSender(t, "http://"+address, ClientOptions{})
	s.target.Plain, s.stall = true, 200*time.Millisecond
	x := s.post(t.Context(), request{cargo: metrics, body: noise(size), items: 1})
	close(givenUp)
	if o := classify(x, time.Now()); !errors.Is(x.err, errStalled) || !o.ambiguous {
		t.Errorf("outcome %+v", o)
	}
	if n := <-got; n >= size {
		t.Errorf("%d bytes arrived after all", n)
	}
}

// meteredListener counts what its connections read and write.
type meteredListener struct {
	net.Listener
	traffic *traffic
}

func (l meteredListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.traffic.wrap(conn), nil
}

// TestWireBytes compares what the posts say moved with what the server saw move,
// TLS and all, over HTTP/1 and HTTP/2 and over more than one connection.
func TestWireBytes(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP2=%v", http2), func(t *testing.T) {
			seen := newTraffic()
			server := tlsServer(t, tlsOptions{http2: http2, listener: func(l net.Listener) net.Listener { return meteredListener{l, seen} }})
			s := testSender(t, server.URL, ClientOptions{CAFile: server.ca})
			sum := int64(0)
			for i := range 6 {
				x := send(t, s, request{cargo: metrics, body: switchLines(50), items: 50})
				if x.status != http.StatusAccepted || x.wire <= int64(x.packed) {
					t.Fatalf("exchange %+v", x)
				}
				sum += x.wire
				if i == 2 {
					s.closeIdle()
				}
			}
			if s.counted != sum {
				t.Errorf("the posts say %d bytes, the client counts %d", sum, s.counted)
			}
			const farewell = 24 // the server's alert to a connection that the client has closed
			eventually(t, func() bool {
				lost := seen.out.Load() - s.traffic.in.Load()
				return seen.in.Load() == s.traffic.out.Load() && (lost == 0 || lost == farewell)
			}, func() string {
				return fmt.Sprintf("the server read %d bytes and wrote %d, the client wrote %d and read %d", seen.in.Load(), seen.out.Load(), s.traffic.out.Load(), s.traffic.in.Load())
			})
		})
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, met func() bool, words func() string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatal(words())
		}
		time.Sleep(time.Millisecond)
	}
}
