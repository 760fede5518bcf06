package emulated

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/packaging/emulated/cable"
	"github.com/edgehold/edgehold/packaging/emulated/talk"
)

// TestArchive has the archive unpacked by another program.
func TestArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is missing")
	}
	var out bytes.Buffer
	if err := writeArchive(&out, map[string][]byte{
		"/init": []byte("abc"), "/etc/deep/file": []byte("four"), "/etc/empty": nil,
	}); err != nil {
		t.Fatal(err)
	}
	list := exec.Command(cpio, "-t", "--quiet")
	list.Stdin = &out
	names, err := list.CombinedOutput()
	if want := "dev\ndev/console\netc\netc/deep\netc/deep/file\netc/empty\ninit\n"; err != nil || string(names) != want {
		t.Errorf("%v: %q, want %q", err, names, want)
	}
}

func TestJudge(t *testing.T) {
	before := account{Accepted: 10, Buffered: 6, Delivered: 4}
	taken := draintest.Counts{Distinct: 7}
	for _, c := range []struct {
		name  string
		after account
		want  string // "": nothing is wrong
	}{
		{"the same", before, ""},
		{"more, and more delivered", account{Accepted: 12, Buffered: 5, Delivered: 7}, ""},
		{"lost", account{Accepted: 9, Buffered: 5, Delivered: 4}, "10 points were acknowledged, the store knows of 9"},
		{"a sum", account{Accepted: 10, Buffered: 5, Delivered: 4}, "does not add up"},
		{"delivered to nobody", account{Accepted: 10, Buffered: 2, Delivered: 8}, "the environment has 7"},
		{"damaged", account{Accepted: 10, Buffered: 5, Delivered: 4, Damaged: 1}, "went astray"},
	} {
		if got := strings.Join(judge(before, c.after, taken), "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCable leads a connection over two joined ends.
func TestCable(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // ends with the listener
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, io.LimitReader(conn, 100<<10))
			_ = conn.Close()
		}
	}()
	near, far := &cable.Cable{}, &cable.Cable{Dial: func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) }}
	there, back := make(chan talk.Piece), make(chan talk.Piece)
	near.Send, far.Send = func(p talk.Piece) { there <- p }, func(p talk.Piece) { back <- p }
	go carry(there, far)
	go carry(back, near)
	defer close(there)
	defer close(back)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error)
	go func() { accepted <- near.Accept(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789"), 10<<10)
	go func() { _, _ = conn.Write(sent) }()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
	_ = l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	near.Close()
	far.Close()
}

func carry(pieces <-chan talk.Piece, to *cable.Cable) {
	for p := range pieces {
		to.Take(p)
	}
}

// TestBadOptions: what cannot be had is refused before anything is started.
func TestBadOptions(t *testing.T) {
	for want, m := range map[string]Machine{
		"expected armv7 or arm64": {Arch: "mips"},
		"expected virt":           {Arch: "arm64", Board: "sabrelite"},
		"nothing can be added":    {Arch: "arm64", Nodes: map[string][]Node{"soc": nil}, Dir: t.TempDir()},
		"no module nonsense":      {Arch: "arm64", Modules: []string{"nonsense"}, Dir: t.TempDir()},
	} {
		if g, err := m.Boot(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			if g != nil {
				g.Kill()
			}
			t.Errorf("%+v: %v, want %q", m, err, want)
		}
	}
}
