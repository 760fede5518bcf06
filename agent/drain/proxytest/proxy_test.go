package proxytest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

// server accepts connections and hands them to the test.
type server struct {
	t        *testing.T
	listener net.Listener
}

func newServer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &server{t, l}
}

func (s *server) addr() string { return s.listener.Addr().String() }

// meet opens a connection through the proxy and gives both ends.
func (s *server) meet(p *Proxy) (client, far *net.TCPConn) {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", p.Addr(), patience)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, x := range []net.Conn{c, f} {
		_ = x.SetDeadline(time.Now().Add(patience)) // a connection that is new takes it
		s.t.Cleanup(func() { x.Close() })
	}
	return c.(*net.TCPConn), f.(*net.TCPConn)
}

func write(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d of %d bytes, equal %v: %v", n, len(want), bytes.Equal(got, want), err)
	}
}

func noise(seed uint64, n int) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed)})
	data := make([]byte, n)
	_, _ = random.Read(data) // never fails
	return data
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func TestForwards(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	client, far := s.meet(p)
	const size = 3 << 20
	up, down := noise(1, size), noise(2, size/2)
	var wg sync.WaitGroup
	for _, x := range []struct {
		from, to *net.TCPConn
		data     []byte
	}{{client, far, up}, {far, client, down}} {
		wg.Go(func() {
			if _, err := x.from.Write(x.data); err != nil {
				t.Error(err)
			}
			if err := x.from.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if got, err := io.ReadAll(x.to); err != nil || !bytes.Equal(got, x.data) {
				t.Errorf("%d bytes came, equal %v, %v", len(got), bytes.Equal(got, x.data), err)
			}
		})
	}
	wg.Wait()
	eventually(t, "the connection counts as ended", func() bool { return p.Counts().Open == 0 })
	if c := p.Counts(); c != (Counts{Connections: 1, Up: size, Down: size / 2}) {
		t.Errorf("counts %+v", c)
	}
}

// One end closes its direction; the other goes on.
func TestHalfClose(t *testing.T) {
	s := newServer(t)
	client, far := s.meet(New(t, s.addr(), 1))
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("read %d, %v", n, err)
	}
	write(t, far, []byte("answer"))
	wantRead(t, client, []byte("answer"))
}

func TestStall(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	p.Set(Up, Way{Stall: true})
	client, far := s.meet(p)
	write(t, client, []byte("held"))
	for range 10 { // the other direction works all the while
		write(t, far, []byte("free"))
		wantRead(t, client, []byte("free"))
	}
	if c := p.Counts(); c.Up != 0 || c.Down != 40 {
		t.Fatalf("counts %+v", c)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	wantRead(t, far, []byte("held"))

	// A client writes until all buffers are full, and no longer.
	p.Set(Up, Way{Stall: true})
	_ = client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	data := noise(1, 64<<20)
	n, err := client.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if c := p.Counts(); c.Up != 4 {
		t.Errorf("counts %+v", c)
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	wantRead(t, far, data[:n])
}

func TestCut(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	for _, c := range []struct {
		ending Ending
		want   error
	}{{RST, syscall.ECONNRESET}, {FIN, io.EOF}} {
		client, far := s.meet(p)
		write(t, client, []byte("x"))
		wantRead(t, far, []byte("x"))
		p.Cut(c.ending)
		for _, x := range []net.Conn{client, far} {
			if n, err := x.Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("ending %d: read %d, %v", c.ending, n, err)
			}
			x.Close()
		}
		eventually(t, "the connection is gone", func() bool { return p.Counts().Open == 0 })
	}
	client, far := s.meet(p) // new ones go
	write(t, client, []byte("x"))
	wantRead(t, far, []byte("x"))
	if n := p.Counts().Cut; n != 2 {
		t.Errorf("%d cuts", n)
	}
}

// A cut in mid-body: just so many bytes pass, once.
func TestCutAfter(t *testing.T) {
	s := newServer(t)
	for _, open := range []bool{false, true} { // the connection is there already
		p := New(t, s.addr(), 1)
		order := func() { p.CutAfter(Up, Cut{After: 1000, Ending: FIN, Times: 1}) }
		if !open {
			order()
		}
		client, far := s.meet(p)
		if open {
			write(t, client, noise(7, 500))
			wantRead(t, far, noise(7, 500))
			order()
		}
		data := noise(3, 100_000)
		_, _ = client.Write(data) // may come to its end in either way
		if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, data[:1000]) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
		client, far = s.meet(p)
		write(t, client, data)
		wantRead(t, far, data)
		if c := p.Counts(); c.Cut != 1 {
			t.Errorf("counts %+v", c)
		}
	}
}

// A cut comes with the last byte that it lets pass, without waiting for another.
func TestCutAfterTheLastByte(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	p.CutAfter(Up, Cut{After: 5})
	client, far := s.meet(p)
	write(t, client, []byte("hello"))
	if n, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := io.ReadAll(far); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if c := p.Counts(); c.Up != 5 || c.Cut != 1 {
		t.Errorf("counts %+v", c)
	}
}

// The answer is lost: the server gets the whole request, the client nothing.
func TestCutInsteadOfAnswer(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	p.CutAfter(Down, Cut{Times: 2})
	for range 2 {
		client, far := s.meet(p)
		write(t, client, noise(1, 50_000))
		wantRead(t, far, noise(1, 50_000))
		write(t, far, []byte("answer"))
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d, %v", n, err)
		}
	}
	client, far := s.meet(p)
	write(t, far, []byte("answer"))
	wantRead(t, client, []byte("answer"))
	if c := p.Counts(); c.Down != 6 || c.Cut != 2 {
		t.Errorf("counts %+v", c)
	}
}

// pingPong is how long one byte there and back takes at least, of several.
func pingPong(t *testing.T, client, far net.Conn) time.Duration {
	t.Helper()
	least := time.Hour
	for range 3 {
		begin := time.Now()
		write(t, client, []byte("a"))
		wantRead(t, far, []byte("a"))
		write(t, far, []byte("b"))
		wantRead(t, client, []byte("b"))
		least = min(least, time.Since(begin))
	}
	return least
}

func TestDelay(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	client, far := s.meet(p)
	p.Set(Up, Way{Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond})
	p.Set(Down, Way{Delay: 20 * time.Millisecond})
	if took := pingPong(t, client, far); took < 60*time.Millisecond {
		t.Errorf("there and back in %v", took)
	}
	data := noise(1, 200_000) // a delay is no rate: what is under way overlaps
	begin := time.Now()
	go func() { _, _ = client.Write(data) }()
	wantRead(t, far, data)
	if took := time.Since(begin); took < 40*time.Millisecond {
		t.Errorf("arrived within %v", took)
	}
}

func TestRate(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	p.Set(Up, Way{Rate: 20_000})
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 2 { // they share the rate
		client, far := s.meet(p)
		data := noise(uint64(i), 5_000)
		wg.Go(func() { _, _ = client.Write(data) })
		wg.Go(func() {
			if got, err := io.ReadAll(io.LimitReader(far, 5_000)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took < 490*time.Millisecond {
		t.Errorf("10,000 bytes at 20,000 a second took %v", took)
	}
}

func TestTrickle(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	p.Set(Down, Way{Chunk: 3, Every: 10 * time.Millisecond})
	client, far := s.meet(p)
	begin := time.Now()
	write(t, far, noise(1, 30))
	wantRead(t, client, noise(1, 30))
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("10 chunks took %v", took)
	}
	p.Set(Down, Way{Chunk: 1, Every: time.Hour})
	write(t, far, noise(1, 30))
	write(t, client, []byte("x")) // the other direction is free
	wantRead(t, far, []byte("x"))
	if err := p.Restore(); err != nil { // ends the wait
		t.Fatal(err)
	}
	wantRead(t, client, noise(1, 30))
}

func TestCorrupt(t *testing.T) {
	s := newServer(t)
	const size = 100_000
	spoiled := func(seed uint64, step int) []byte {
		p := New(t, s.addr(), seed)
		p.Set(Up, Way{Corrupt: 0.01})
		client, far := s.meet(p)
		go func() {
			for i := 0; i < size; i += step {
				_, _ = client.Write(make([]byte, min(step, size-i)))
			}
		}()
		got := make([]byte, size)
		if _, err := io.ReadFull(far, got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := spoiled(1, size)
	changed := size - bytes.Count(first, []byte{0})
	if changed < 900 || changed > 1100 { // 1,000 expected, 31 is one sigma
		t.Errorf("%d of %d bytes changed, want 1 %%", changed, size)
	}
	if !bytes.Equal(first, spoiled(1, 777)) {
		t.Error("the same seed spoils otherwise where the bytes come in other portions")
	}
	if bytes.Equal(first, spoiled(2, size)) {
		t.Error("another seed spoils the same bytes")
	}
}

func TestRefuse(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	client, far := s.meet(p)
	for range 3 {
		p.Refuse()
		p.Refuse() // twice is once
		if c, err := net.DialTimeout("tcp", p.Addr(), patience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%v, %v", c, err)
		}
		pingPong(t, client, far) // what is open goes on
		if err := p.Restore(); err != nil {
			t.Fatal(err)
		}
		a, b := s.meet(p)
		pingPong(t, a, b)
	}
}

func TestBlackHole(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	client, far := s.meet(p)
	for range 2 {
		for range 2 { // twice is once
			if err := p.BlackHole(); err != nil {
				t.Fatal(err)
			}
		}
		var timeout net.Error
		if c, err := net.DialTimeout("tcp", p.Addr(), 100*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("%v, %v", c, err)
		}
		pingPong(t, client, far)
		if err := p.Restore(); err != nil {
			t.Fatal(err)
		}
		a, b := s.meet(p)
		pingPong(t, a, b)
	}
	if n := p.Counts().Connections; n != 3 {
		t.Errorf("%d connections, want the test's own 3", n)
	}
	if err := p.BlackHole(); err != nil {
		t.Fatal(err)
	}
	p.Refuse()
	if c, err := net.DialTimeout("tcp", p.Addr(), patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("%v, %v", c, err)
	}
	if err := p.BlackHole(); err != nil { // from a port that refuses
		t.Fatal(err)
	}
	if c, err := net.DialTimeout("tcp", p.Addr(), 100*time.Millisecond); err == nil {
		t.Fatalf("connected to %v", c.RemoteAddr())
	}
}

func TestServerGone(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	s.listener.Close()
	c, err := net.DialTimeout("tcp", p.Addr(), patience)
	if err == nil { // the reset was not as fast as the dial
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience)) // a connection that is new takes it
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// Close ends whatever holds a connection, and a reset goes through.
func TestEnds(t *testing.T) {
	s := newServer(t)
	p := New(t, s.addr(), 1)
	client, far := s.meet(p)
	reset(client)
	if n, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
	for _, w := range []Way{{Stall: true}, {Delay: time.Hour}, {Chunk: 1, Every: time.Hour}} {
		p := New(t, s.addr(), 1)
		client, _ := s.meet(p)
		p.SetBoth(w)
		write(t, client, noise(1, 1000))
		p.Close()
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%+v: read %d, %v", w, n, err)
		}
	}
}
