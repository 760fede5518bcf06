package drain

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// listener notes what a Watcher is told.
type listener struct {
	mu    sync.Mutex
	tried []string
	conns []string
}

func (*listener) Resolver() *net.Resolver { return nil }

func (l *listener) Trying(_, address, host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried = append(l.tried, host+" "+address)
}

func (l *listener) Watch(conn net.Conn, host string) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, host+" "+conn.RemoteAddr().String())
	return conn
}

// A watcher is told of each address that is tried, also where nobody answers,
// and gets each connection.
func TestWatcher(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var l listener
	client, err := NewClient(ClientOptions{Watch: &l})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	resp, err := client.Get("http://localhost:" + port)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := "localhost 127.0.0.1:" + port
	l.mu.Lock()
	if !slices.Contains(l.tried, want) || !slices.Equal(l.conns, []string{want}) {
		t.Errorf("tried %q, connections %q", l.tried, l.conns)
	}
	l.tried = nil
	l.mu.Unlock()
	client.CloseIdleConnections()
	server.Close()
	if answer, err := client.Get(server.URL); err == nil {
		_ = answer.Body.Close()
		t.Fatal("the server is gone and answers")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tried) == 0 || l.tried[0] != "127.0.0.1 127.0.0.1:"+port || len(l.conns) != 1 {
		t.Errorf("tried %q, connections %q", l.tried, l.conns)
	}
}
