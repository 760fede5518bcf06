package linktest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

const patience = 40 * time.Second

// udp gives a socket on the server's side, and one on the client's that is
// connected to it.
func udp(t *testing.T, l *Link) (client *net.UDPConn, server *net.UDPConn) {
	t.Helper()
	err := l.Server.Do(func() (err error) {
		server, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ServerAddr)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Client.DialContext(t.Context(), "udp4", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	client = c.(*net.UDPConn)
	for _, x := range []*net.UDPConn{client, server} {
		_ = x.SetDeadline(time.Now().Add(patience)) // a socket that is new takes it
		t.Cleanup(func() { x.Close() })
	}
	return client, server
}

// echo answers datagrams until the socket is closed.
func echo(server *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := server.ReadFromUDP(buf)
		if err != nil {
			return
		}
		_, _ = server.WriteToUDP(buf[:n], from) // lost is lost
	}
}

// leastRTT is the shortest of several round trips.
func leastRTT(t *testing.T, client *net.UDPConn) time.Duration {
	t.Helper()
	least := time.Hour
	for range 8 {
		begin := time.Now()
		if _, err := client.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(begin))
	}
	return least
}

func TestRoundTripTime(t *testing.T) {
	t.Parallel()
	up := Path{Delay: 60 * time.Millisecond, Jitter: 4 * time.Millisecond}
	l := New(t, Options{Up: up, Down: Path{Delay: 30 * time.Millisecond}, Seed: 1})
	client, server := udp(t, l)
	go echo(server)
	// The shortest of several, since the machine adds to each.
	if rtt := leastRTT(t, client); rtt < 90*time.Millisecond || rtt > 140*time.Millisecond {
		t.Errorf("round trip of %v, want 90 ms to 94 ms", rtt)
	}
	l.Set(Path{}, Path{})
	if rtt := leastRTT(t, client); rtt > 45*time.Millisecond {
		t.Errorf("round trip of %v without a delay", rtt)
	}
	up2, down := l.Traffic()
	if up2.Packets != 16 || down.Packets != 16 || up2.Bytes != 16*(20+8+4) {
		t.Errorf("traffic %+v, %+v", up2, down)
	}
}

// arrived sends numbered datagrams, few at a time so that no buffer overflows,
// and tells which came.
func arrived(t *testing.T, l *Link, count int) []bool {
	t.Helper()
	client, server := udp(t, l)
	came := make([]bool, count)
	buf := make([]byte, 8)
	read := int64(0)
	for i := range count {
		if _, err := client.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
		if (i+1)%50 != 0 {
			continue
		}
		var up Traffic
		eventually(t, "the datagrams are handed over or lost", func() bool {
			up, _ = l.Traffic()
			return up.Packets+up.Lost == int64(i)+1
		})
		for ; read < up.Packets; read++ {
			if _, err := server.Read(buf); err != nil {
				t.Fatal(err)
			}
			came[binary.BigEndian.Uint32(buf)] = true
		}
	}
	return came
}

func TestLoss(t *testing.T) {
	t.Parallel()
	const count = 2000
	lossy := func(seed uint64) []bool {
		return arrived(t, New(t, Options{Up: Path{Loss: 0.05}, Seed: seed}), count)
	}
	first := lossy(1)
	lost := 0
	for _, came := range first {
		if !came {
			lost++
		}
	}
	if lost < 70 || lost > 130 { // 100 expected, 10 is one sigma
		t.Errorf("%d of %d lost, want 5 %%", lost, count)
	}
	if !slices.Equal(first, lossy(1)) {
		t.Error("the same seed loses other packets")
	}
	if slices.Equal(first, lossy(2)) {
		t.Error("another seed loses the same packets")
	}
}

// A rate is kept within 10 %.
func TestRate(t *testing.T) {
	t.Parallel()
	const rate, size, count = 400_000, 1000, 40
	l := New(t, Options{Up: Path{Rate: rate, Queue: count * size}, Seed: 1})
	client, server := udp(t, l)
	const want = count * size * 8 * time.Second / rate
	least := time.Hour // of several, since the machine adds to each
	for try := 0; try < 4 && least > want*11/10; try++ {
		begin := time.Now()
		for range count {
			if _, err := client.Write(make([]byte, size-28)); err != nil {
				t.Fatal(err)
			}
		}
		for range count {
			if _, err := server.Read(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		least = min(least, time.Since(begin))
	}
	if least < want || least > want*11/10 {
		t.Errorf("%d packets of %d bytes took %v, want %v", count, size, least, want)
	}
}

// What the queue cannot hold is dropped, the last first.
func TestQueue(t *testing.T) {
	t.Parallel()
	const size = 1000
	l := New(t, Options{Up: Path{Rate: 8 * size, Queue: 5*size + 1}, Seed: 1}) // one a second
	client, server := udp(t, l)
	for i := range 50 {
		if _, err := client.Write(bytes.Repeat([]byte{byte(i)}, size-28)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the queue is full", func() bool {
		up, _ := l.Traffic()
		return up.Dropped >= 40
	})
	l.Set(Path{}, Path{})
	buf := make([]byte, size)
	for i := range 5 {
		if _, err := server.Read(buf); err != nil || buf[0] != byte(i) {
			t.Errorf("packet %d came as %d: %v", i, buf[0], err)
		}
	}
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

func TestTCP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		path Path
		size int
	}{
		{"plain", Path{}, 4 << 20},
		{"300ms-5percent", Path{Delay: 150 * time.Millisecond, Loss: 0.05}, 60_000},
		{"9kbit", Path{Delay: 100 * time.Millisecond, Rate: 9_000}, 4_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, Both(c.path, 3))
			data := make([]byte, c.size)
			_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
			if got := transfer(t, l, data); !bytes.Equal(got, data) {
				t.Errorf("%d bytes came", len(got))
			}
			up, down := l.Traffic()
			if up.Bytes < int64(c.size) || (up.Lost > 0) != (c.path.Loss > 0) {
				t.Errorf("traffic %+v, %+v", up, down)
			}
		})
	}
}

// transfer sends data from the client to the server and gives what came.
func transfer(t *testing.T, l *Link, data []byte) []byte {
	t.Helper()
	listener, err := l.Server.Listen("tcp4", ServerAddr+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := l.Client.DialContext(ctx, "tcp4", listener.Addr().String())
		if err == nil {
			_, err = c.Write(data)
			err = errors.Join(err, c.Close())
		}
		sent <- err
	}()
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // a connection that is new takes it
	got, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	return got
}

// Do leaves the thread where it was.
func TestDoComesBack(t *testing.T) {
	l := New(t, Options{})
	for _, n := range []*Namespace{l.Client, l.Server} {
		var there []net.Interface
		err := n.Do(func() (err error) {
			there, err = net.Interfaces()
			return err
		})
		if err != nil || len(there) != 2 || there[1].Name != linkName || there[0].Flags&net.FlagUp == 0 {
			t.Errorf("in the namespace: %+v, %v", there, err)
		}
		if _, err := net.InterfaceByName(linkName); err == nil {
			t.Errorf("%s is here too", linkName)
		}
	}
	if err := l.Client.Do(func() error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// A child process lives in the namespace: it reaches the server, and sees no
// other interface.
func TestStart(t *testing.T) {
	if addr := os.Getenv("LINKTEST_CHILD"); addr != "" {
		child(t, addr)
		return
	}
	l := New(t, Options{})
	listener, err := l.Server.Listen("tcp4", ServerAddr+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStart$")
	cmd.Env = append(os.Environ(), "LINKTEST_CHILD="+listener.Addr().String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := l.Client.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	c, err := listener.Accept() // it is in the queue
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if host, _, err := net.SplitHostPort(c.RemoteAddr().String()); host != ClientAddr || err != nil {
		t.Errorf("the child came from %s", c.RemoteAddr())
	}
}

func child(t *testing.T, addr string) {
	c, err := net.DialTimeout("tcp4", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if all, err := net.Interfaces(); err != nil || len(all) != 2 {
		t.Errorf("interfaces %+v, %v", all, err)
	}
}

func TestDialWithoutRoute(t *testing.T) {
	l := New(t, Options{})
	if err := l.Client.SetInterface(false); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Client.DialContext(t.Context(), "tcp4", ServerAddr+":1"); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("%v, %v", c, err)
	}
	if err := l.Client.SetInterface(true); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Client.DialContext(t.Context(), "tcp4", ServerAddr+":1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestPattern(t *testing.T) {
	if got, want := pattern("TestX/a.b"), `^TestX$/^a\.b$`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
