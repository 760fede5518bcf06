package httpjson

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// items writes a list of items with names of their own.
func items(from, n, v int, pad string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"%s%d","v":%d}`, pad, from+i, v)
	}
	b.WriteByte(']')
	return b.String()
}

// TestErrorsQuoteNothing is about endpoints that send back what they got, as an
// echo service on the wrong port does: the secret stays out of the status.
func TestErrorsQuoteNothing(t *testing.T) {
	for name, answer := range map[string]func(request string) string{
		"first line": func(request string) string { return request[strings.Index(request, "Authorization"):] },
		"header":     func(string) string { return "HTTP/1.1 200 OK\r\nBearer hush\x1b[31m\r\n\r\n" },
		"length":     func(string) string { return "HTTP/1.1 200 OK\r\nContent-Length: hush\r\n\r\n" },
		"chunk":      func(string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhush\r\n" },
		"coding":     func(string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: hush\r\n\r\n" },
	} {
		url := speak(t, answer)
		_, err := pollAt(t, simple(t), url, func(e *plan.DocEndpoint) { e.Auth, e.Secret = plan.DocAuthBearer, probes.NewSecret("hush") })
		if probes.StatusOf(err) != probes.StatusDeviceConnectionError || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %s %v", name, probes.StatusOf(err), err)
		}
	}
}

// speak answers the first bytes of each connection with a text, and closes it.
func speak(t *testing.T, answer func(request string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			n, _ := conn.Read(b)
			_, _ = conn.Write([]byte(answer(string(b[:n]))))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// TestChurnIsForgotten is about an endpoint whose answers never come to an end
// and always have other items.
func TestChurnIsForgotten(t *testing.T) {
	b := block(t, metric(t, "v", plan.DocCount, "path:v"))
	b.Request.Paging = plan.DocPaging{Kind: plan.PageOffset, Parameter: "o", Size: 1, Most: 2, Items: path(t, "[]")}
	g := newRig(t, b)
	for i := range 9 {
		_, _ = g.poll(items(i*3000, 3000, 1, ""))
	}
	if n := len(g.rows()); n > maxDormant+3000 {
		t.Errorf("%d items are remembered", n)
	}
	for i := range 15 {
		_, _ = g.poll(items(i, 1, 1, "x"))
	}
	if n := len(g.rows()); n > 20 {
		t.Errorf("%d items are remembered after a quarter of an hour", n)
	}
}

// TestItemsAreBounded is about items whose dimensions are as long as they may be.
func TestItemsAreBounded(t *testing.T) {
	b := simple(t)
	for i := range 24 {
		b.Dims = append(b.Dims, dim(t, fmt.Sprint("d", i), "path:name"))
	}
	g := newRig(t, b)
	batch, err := g.poll(items(100_000, 2_000, 1, strings.Repeat("y", 300)))
	if len(batch.Points) != 1 || err == nil || !strings.Contains(err.Error(), "share their dimensions") {
		t.Errorf("%d points, %v: what differs behind the end of a value is one series", len(batch.Points), err)
	}
	batch, err = g.poll(items(100_000, 8_000, 1, strings.Repeat("y", 240)))
	if held := g.state().held; held > maxHeld || len(batch.Points) == 0 || err == nil || !strings.Contains(err.Error(), "take more than 64 MB") {
		t.Errorf("%d bytes for %d points, %v", held, len(batch.Points), err)
	}
	_, _ = g.poll(items(0, 10, 1, "")) // makes room
	g.lines(items(0, 10, 1, ""))
	want := 0
	for _, r := range g.rows() {
		want += sizeOf(r.declared)
	}
	if g.state().held != want || len(g.rows()) != 10 {
		t.Errorf("%d bytes are held, want %d for %d items", g.state().held, want, len(g.rows()))
	}
}

// TestLongTextsCost is about one long text that every item is to have: it is not
// copied for each of them.
func TestLongTextsCost(t *testing.T) {
	escaped, long := strings.Repeat(`x\n`, 100_000), strings.Repeat("xy", 1_000_000)
	for name, c := range map[string]struct{ text, value string }{
		"value":   {`{"long":"` + escaped + `"}`, "path:$.long"},
		"number":  {`{"long":` + strings.Repeat("1", 2_000_000) + `}`, "path:$.long"},
		"key":     {`{"` + long + `":1}`, "path:$.long"},
		"where":   {`{"l":[{"k":"` + long + `"}]}`, "path:$.l[k=x]"},
		"its key": {`{"` + long + `":{"v":1}}`, "this:key"},
	} {
		s := newScope(t, c.text)
		if name == "its key" {
			s.item, _ = s.one(path(t, "[]"))
		}
		s.budget.steps = maxSteps - 200_000
		for range 20 {
			s.text(docValue(t, c.value))
			s.cell(docValue(t, c.value))
		}
		if !errors.Is(s.budget.err, errSteps) {
			t.Errorf("%s: it was read forty times: %v", name, s.budget.err)
		}
	}
}

func TestLongLink(t *testing.T) {
	b := simple(t)
	b.Outer = path(t, "i[]")
	b.Request.Paging = plan.DocPaging{Kind: plan.PageNext, Next: path(t, "next"), Most: 1000}
	asked := 0
	batch, err := serve(t, b, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, `{"next":"/%d%s","i":[{"name":"a","v":1}]}`, asked, strings.Repeat("y", maxLink))
	}, nil)
	if asked != 1 || len(batch.Points) != 1 || probes.StatusOf(err) != probes.StatusWarning || !strings.Contains(err.Error(), "link to the next page is longer") {
		t.Errorf("%d requests, %v", asked, err)
	}
}

// TestTooManyDimensions says what the sender would refuse.
func TestTooManyDimensions(t *testing.T) {
	b := simple(t)
	for i := range 48 {
		b.Dims = append(b.Dims, dim(t, fmt.Sprint("d", i), "path:name"))
	}
	g := newRig(t, b)
	g.fails(`[{"name":"a","v":1}]`, probes.StatusGenericError, "v has 51 dimensions, the environment takes at most 50")
}

// TestEventChurn is about items that raise an event and vanish: what is open stays
// bounded, and all of it is closed.
func TestEventChurn(t *testing.T) {
	g := newRig(t, alarm(t))
	open := map[string]bool{}
	for i := range 30 {
		batch, _ := g.poll(items(i*150, 150, 1, "n"))
		for _, e := range batch.Events {
			if e.End != (probes.Stamp{}) {
				delete(open, e.Title)
			} else {
				open[e.Title] = true
			}
		}
		if len(open) > maxEvents || g.state().open != len(open) {
			t.Fatalf("poll %d: %d events are open, %d are counted", i, len(open), g.state().open)
		}
	}
	_, _ = g.poll(`[{"name":"a","v":50}]`)
	if len(g.rows()) != 1 || g.state().open != 0 {
		t.Errorf("%d items, %d open events", len(g.rows()), g.state().open)
	}
}

// TestMostOpenEvents bounds what one endpoint has open, and refreshes all of it.
func TestMostOpenEvents(t *testing.T) {
	g := newRig(t, alarm(t))
	last := map[string]time.Duration{}
	var err error
	for range 27 {
		now := g.clock.stamp.Uptime
		var batch probes.Batch
		batch, err = g.poll(items(0, maxOpen+200, 1, "n"))
		for _, e := range batch.Events {
			if before, seen := last[e.Title]; seen && now-before >= 15*time.Minute {
				t.Fatalf("%s was told after %s", e.Title, now-before)
			}
			last[e.Title] = now
		}
	}
	if len(last) != maxOpen || err == nil || !strings.Contains(err.Error(), "more than 1000 events are open") {
		t.Errorf("%d events were opened, %v", len(last), err)
	}
	for title, at := range last {
		if g.clock.stamp.Uptime-at > 15*time.Minute {
			t.Fatalf("%s was left to its timeout", title)
		}
	}
}

// TestEventThatTimedOut is not closed after hours: that would raise it anew.
func TestEventThatTimedOut(t *testing.T) {
	for name, after := range map[string]string{"recovered": `[{"name":"a","v":50}]`, "gone": `[{"name":"b","v":50}]`} {
		for _, restart := range []bool{false, true} {
			g := newRig(t, alarm(t))
			g.events(`[{"name":"a","v":1}]`, "open a is low at 1 % 1 a")
			g.clock.turn(2 * time.Hour)
			if restart {
				g.carryOver()
			}
			g.events(after, "")
			if g.state().open != 0 {
				t.Errorf("%s, restart %v: %d events are open", name, restart, g.state().open)
			}
			g.events(`[{"name":"a","v":3}]`, "open a is low at 3 % 3 a")
		}
	}
}

// TestSiteInSelector: two sites may have a device of one name.
func TestSiteInSelector(t *testing.T) {
	b := alarm(t)
	b.Events[0].Entity = docText(t, `type("d"),entityName.equals("${this:site}/${path:name}")`)
	b.Dims = append(b.Dims, dim(t, "place", "this:site"))
	g := newRig(t, b)
	g.plan.Documents.Here = `plant "1"`
	g.restart()
	batch, err := g.poll(`[{"name":"a","v":1}]`)
	if err != nil || len(batch.Events) != 1 || batch.Points[0].Series.Dim("place") != `plant "1"` {
		t.Fatal(batch, err)
	}
	if want := `type("d"),entityName.equals("plant ~"1~"/a")`; batch.Events[0].EntitySelector != want {
		t.Errorf("selector %s, want %s", batch.Events[0].EntitySelector, want)
	}
}

// TestRecordLimit: a property that always changes is no storm of records.
func TestRecordLimit(t *testing.T) {
	b := simple(t)
	b.Carrier = plan.DocCarrier{Log: true, Properties: []plan.DocField{{Key: "v", Value: *docValue(t, "path:v")}}}
	g := newRig(t, b)
	told := map[string]bool{}
	for i := range 2 {
		batch, err := g.poll(items(0, maxRecords+500, 1, ""))
		for _, r := range batch.Records {
			told[r.Content] = true
		}
		if len(batch.Records) > maxRecords || (err != nil) != (i == 0) {
			t.Errorf("poll %d: %d records, %v", i, len(batch.Records), err)
		}
	}
	if len(told) != maxRecords+500 {
		t.Errorf("%d items were told of", len(told))
	}
}

// TestPortsAreWhole: a list that does not fit ends behind an entry.
func TestPortsAreWhole(t *testing.T) {
	s := newScope(t, `{"p":["`+strings.Repeat("12345678\",\"", 300)+`x"],"long":["`+strings.Repeat("y", 2000)+`"]}`)
	text, _ := s.text(docValue(t, "path:p"))
	if len(text) > plan.MaxText || strings.Trim(text, "12345678,") != "" || !strings.HasSuffix(text, ",12345678") {
		t.Errorf("it ends %q after %d bytes", text[max(len(text)-20, 0):], len(text))
	}
	if text, _ := s.text(docValue(t, "path:long")); len(text) != plan.MaxText {
		t.Errorf("a long entry has %d bytes", len(text))
	}
}

// TestAuthorityIsReadAgain: a certificate that was exchanged needs no restart.
func TestAuthorityIsReadAgain(t *testing.T) {
	server, pem := tlsServer(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, otherCA(t), 0o600); err != nil {
		t.Fatal(err)
	}
	e := endpointOf(t, server)
	e.CA = file
	p := &plan.Plan{Extension: "custom:x", Documents: &plan.Documents{Blocks: []plan.DocBlock{simple(t)}}}
	task := Tasks(p, []plan.DocEndpoint{e}, TaskOptions{}, probes.Deps{Clock: newClock()})[0]
	if _, err := task.Probe.Poll(context.Background()); probes.StatusOf(err) != probes.StatusDeviceConnectionError {
		t.Fatalf("another authority: %v", err)
	}
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Probe.Poll(context.Background()); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// TestGroupsOfOneName keep their counters apart over a restart.
func TestGroupsOfOneName(t *testing.T) {
	first := block(t, metric(t, "c", plan.DocCount, "path:c"))
	second := block(t, metric(t, "c", plan.DocCount, "path:c"))
	first.Request.Path, second.Request.Path = "/a", "/b"
	first.Dims, second.Dims = nil, nil
	second.Metrics[0].Key = "c"
	counters := map[string]int{"/a": 5, "/b": 5000}
	clock := newClock()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `[{"c":%d}]`, counters[r.URL.Path]) })
	p := &plan.Plan{Documents: &plan.Documents{Blocks: []plan.DocBlock{first, second}}}
	task := func() *Probe {
		return Tasks(p, []plan.DocEndpoint{endpointOf(t, server)}, TaskOptions{}, probes.Deps{Clock: clock})[0].Probe.(*Probe)
	}
	before := task()
	if _, err := before.Poll(context.Background()); err != nil {
		t.Fatal(err)
	}
	data, err := before.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	clock.turn(time.Minute)
	counters["/a"], counters["/b"] = 7, 5007
	after := task()
	if err := after.Restore(data); err != nil {
		t.Fatal(err)
	}
	batch, err := after.Poll(context.Background())
	if err != nil || len(batch.Points) != 1 || batch.Points[0].Value.Uint64() != 9 {
		t.Errorf("%v, %v; want 2 and 7, added up", batch.Points, err)
	}
}

func newServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// tlsServer gives the URL of an endpoint and the certificate of its authority.
func tlsServer(t *testing.T) (string, []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, one) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// otherCA is an authority that signed nothing.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
