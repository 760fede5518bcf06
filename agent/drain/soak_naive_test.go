package drain

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// naive is the baseline: lines by fmt, compressed by the standard library at
// its default level, posted by its client, 1,000 at a time.
type naive struct {
	client *http.Client
	url    string
}

func newNaive(t *testing.T, c *child) naive {
	t.Helper()
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Time: c.now}, ForceAttemptHTTP2: true}
	return naive{client: &http.Client{Transport: transport}, url: c.URL + "/api/v2/metrics/ingest"}
}

func (n naive) post(t *testing.T, points []probes.Point) {
	t.Helper()
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	for _, p := range points {
		_, _ = io.WriteString(zip, naiveLine(p)) // a buffer takes everything
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Api-Token "+drainToken)
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("answered %d %s, %v", resp.StatusCode, answer, err)
	}
}

// naiveLine is good for plain keys and values alone.
func naiveLine(p probes.Point) string {
	line := p.Series.Key()
	for _, d := range p.Series.Dims() {
		line += fmt.Sprintf(",%s=%q", d.Key, d.Value)
	}
	kind := "gauge,"
	if p.Series.Type() == probes.Count {
		kind = "count,delta="
	}
	if p.Value.Form() == probes.FormFloat {
		return line + fmt.Sprintf(" %s%v %d\n", kind, p.Value.Float64(), p.Stamp.Wall)
	}
	return line + fmt.Sprintf(" %s%d %d\n", kind, p.Value.Uint64(), p.Stamp.Wall)
}

// naiveDrain empties a store.
func naiveDrain(t *testing.T, c *child) (posts int64) {
	t.Helper()
	n := newNaive(t, c)
	for ; ; posts++ {
		lease, err := c.store.Lease(buffer.Query{Max: maxLines})
		if err != nil {
			t.Fatal(err)
		}
		if lease == nil {
			return posts
		}
		n.post(t, lease.Points)
		if err := c.store.Settle(lease, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
			t.Fatal(err)
		}
	}
}

// collectorBody is how an OpenTelemetry collector's SNMP receiver would send one
// poll of a switch: the counters as they stand, the port's name as the only
// attribute. It shows how hard values are to compress, against the 9.3 bytes a
// point that were measured on such bodies.
func collectorBody(device []netSeries, poll []probes.Point) (raw, packed int) {
	var list []byte
	for c := range netColumns {
		var data []byte
		for i := 1 + c; i < len(device); i += netColumns {
			data = protowire.AppendTag(data, 1, protowire.BytesType)
			data = protowire.AppendBytes(data, collectorPoint(&device[i], poll[i]))
		}
		metric := protowire.AppendTag(nil, 1, protowire.BytesType)
		metric = protowire.AppendString(metric, netKeys[c])
		if c < netColumns-1 {
			data = append(data, 0x10, 2, 0x18, 1) // cumulative, monotonic
			metric = protowire.AppendTag(metric, 7, protowire.BytesType)
		} else {
			metric = protowire.AppendTag(metric, 5, protowire.BytesType)
		}
		metric = protowire.AppendBytes(metric, data)
		list = protowire.AppendTag(list, 2, protowire.BytesType)
		list = protowire.AppendBytes(list, metric)
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write(list) // a buffer takes everything
	_ = zip.Close()
	return len(list), zipped.Len()
}

func collectorPoint(s *netSeries, p probes.Point) []byte {
	text := p.Series.Dim("if.name")
	value := protowire.AppendString([]byte{0x0a}, text)
	attribute := protowire.AppendString([]byte{0x0a}, "ifName")
	attribute = protowire.AppendBytes(append(attribute, 0x12), value)
	b := protowire.AppendBytes([]byte{0x3a}, attribute)
	b = protowire.AppendFixed64(append(b, 0x11), uint64(netStart.UnixNano()))
	b = protowire.AppendFixed64(append(b, 0x19), uint64(p.Stamp.Wall)*1e6+123_457)
	if p.Series.Type() == probes.Count {
		return binary.LittleEndian.AppendUint64(append(b, 0x31), s.total)
	}
	if p.Value.Form() == probes.FormFloat {
		return binary.LittleEndian.AppendUint64(append(b, 0x21), math.Float64bits(p.Value.Float64()))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0x31), p.Value.Uint64())
}
