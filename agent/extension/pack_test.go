package extension

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"os"
	"slices"
	"testing"
)

// TestPack holds what is embedded against the folder it is made of, and writes
// it anew with EDGEHOLD_UPDATE_GOLDEN=1.
func TestPack(t *testing.T) {
	want, err := folder{FS: os.DirFS("profiles"), name: "profiles"}.files()
	if err != nil || len(want) == 0 {
		t.Fatalf("%d profiles, %v", len(want), err)
	}
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		text, err := pack(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("profiles.pack", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return // what is embedded changes with the next build
	}
	got, err := unpack(packed)
	if err != nil || !slices.EqualFunc(got, want, func(a, b packedFile) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }) {
		t.Errorf("profiles.pack is not that of profiles/*.yaml (%v): run `make profiles`", err)
	}
}

// pack is the inverse of unpack.
func pack(files []packedFile) (string, error) {
	var raw []byte
	for _, f := range files {
		for _, part := range [][]byte{[]byte(f.name), f.data} {
			raw = append(binary.AppendUvarint(raw, uint64(len(part))), part...)
		}
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(raw); err != nil {
		return "", err
	}
	err = w.Close()
	return b.String(), err
}

// FuzzUnpack: what is unpacked comes out again after packing.
func FuzzUnpack(f *testing.F) {
	text, err := pack([]packedFile{{"a.yaml", []byte("name: a")}, {"b.yaml", nil}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		files, err := unpack(text)
		if err != nil {
			return
		}
		again, err := pack(files)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpack(again)
		if err != nil || !slices.EqualFunc(got, files, func(a, b packedFile) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }) {
			t.Errorf("%d files became %d, %v", len(files), len(got), err)
		}
	})
}

func BenchmarkOpenProfiles(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenProfiles(nil, ""); err != nil {
			b.Fatal(err)
		}
	}
}
