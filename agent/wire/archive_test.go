package wire

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// archiveOf makes an archive of blocks of one site.
func archiveOf(t testing.TB, blocks ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	a, err := NewArchiveWriter(&out, ArchiveHead{Site: "plant-7", Number: 12})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := a.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	sign := func(text []byte) ([][]byte, []byte, error) { return [][]byte{{1}}, text[len(text)-4:], nil }
	if _, err := a.Close(sign); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func probeBlock(t testing.TB, seq uint64, size int) []byte {
	t.Helper()
	b, err := AppendProbe(nil, Header{Kind: Probe, Lane: Live, Codec: Packed, Site: "plant-7", Epoch: 1, Seq: seq}, size)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArchive(t *testing.T) {
	want := [][]byte{probeBlock(t, 1, 1000), probeBlock(t, 2, 100_000), probeBlock(t, 3, 200)}
	data := archiveOf(t, want...)
	var got [][]byte
	head, end, err := ReadArchive(bytes.NewReader(data), func(_ Header, b []byte) error {
		got = append(got, slices.Clone(b))
		return nil
	})
	if err != nil || head.Site != "plant-7" || head.Number != 12 || end.Blocks != 3 {
		t.Fatalf("%+v %+v %v", head, end, err)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("other blocks came back")
	}
	if !bytes.HasSuffix(ArchiveText(end.Digest), end.Signature) {
		t.Error("what was signed is not the digest")
	}
	stop := errors.New("stop")
	if _, _, err := ReadArchive(bytes.NewReader(data), func(Header, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestArchiveAltered: whatever one byte is changed to, or wherever the file
// ends, it is not taken.
func TestArchiveAltered(t *testing.T) {
	data := archiveOf(t, probeBlock(t, 1, 300), probeBlock(t, 2, 300))
	take := func(data []byte) error {
		_, _, err := ReadArchive(bytes.NewReader(data), func(Header, []byte) error { return nil })
		return err
	}
	for i := range data {
		if err := take(data[:i]); err == nil {
			t.Fatalf("cut off at %d of %d, it was taken", i, len(data))
		}
	}
	body := bytes.LastIndex(data, []byte(`{"blocks"`))
	for i := range body {
		bad := slices.Clone(data)
		bad[i] ^= 0x20
		if err := take(bad); err == nil {
			t.Fatalf("with another byte %d it was taken", i)
		}
	}
	if err := take(append(slices.Clone(data), 'x')); err == nil {
		t.Error("with more behind it, it was taken")
	}
	other := archiveOf(t)
	other = bytes.Replace(other, []byte("plant-7"), []byte("relay"), 1)
	if err := take(other); err == nil || !strings.Contains(err.Error(), "site") {
		t.Error(err)
	}
	if err := take([]byte("hello")); err == nil || !strings.Contains(err.Error(), "no archive of blocks") {
		t.Error(err)
	}
}

// FuzzReadArchive: what is read can be written again as it was.
func FuzzReadArchive(f *testing.F) {
	f.Add(archiveOf(f, probeBlock(f, 1, 300), probeBlock(f, 2, 200)))
	f.Add(archiveOf(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		var blocks [][]byte
		head, end, err := ReadArchive(bytes.NewReader(data), func(_ Header, b []byte) error {
			blocks = append(blocks, slices.Clone(b))
			return nil
		})
		if err != nil {
			return
		}
		var out bytes.Buffer
		a, err := NewArchiveWriter(&out, head)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if err := a.Add(b); err != nil {
				t.Fatal(err)
			}
		}
		again, err := a.Close(nil)
		if err != nil || again.Blocks != end.Blocks || again.Points != end.Points {
			t.Fatalf("%+v became %+v, %v", end, again, err)
		}
	})
}
