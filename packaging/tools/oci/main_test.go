package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestImage makes an image of two platforms, unpacks it with the system's tar and
// reads it by the library: every file whole, with its owner, and the same bytes
// from a second run.
func TestImage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795311412")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, folder := range []string{"etc/edgehold", "var/lib/edgehold", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc/edgehold/edgehold.yaml"), "site: x\n")
	write(t, filepath.Join(dir, "amd64"), "the program of amd64")
	write(t, filepath.Join(dir, "armv7"), "the program of armv7")
	var made [2]string
	for i, name := range []string{"one.tar", "two.tar"} {
		out := filepath.Join(dir, name)
		if err := run([]string{out, "1.0~git+2", root, "linux/amd64=" + filepath.Join(dir, "amd64"), "linux/arm/v7=" + filepath.Join(dir, "armv7")}); err != nil {
			t.Fatal(err)
		}
		made[i] = read(t, out)
	}
	if made[0] != made[1] {
		t.Error("two runs give different bytes")
	}

	unpacked := filepath.Join(dir, "layout")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "xf", filepath.Join(dir, "one.tar"), "-C", unpacked).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	if index := read(t, filepath.Join(unpacked, "index.json")); !strings.Contains(index, `ref.name": "1.0-git-2"`) {
		t.Errorf("the name is not one of an image: %s", index)
	}
	for _, platform := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm", Variant: "v7"}} {
		files := content(t, unpacked, platform)
		want := "the program of " + platform.Architecture + platform.Variant
		if got := files["usr/bin/edgehold"]; got.text != want || got.uid != 0 || got.mode != 0o755 {
			t.Errorf("%s: the program is %+v, not %q of root", platform, got, want)
		}
		if got := files["etc/edgehold/edgehold.yaml"]; got.text != "site: x\n" || got.gid != owner || got.uid != 0 {
			t.Errorf("%s: the configuration is %+v", platform, got)
		}
		if got := files["var/lib/edgehold"]; got.uid != owner {
			t.Errorf("%s: the state is %+v, not the agent's", platform, got)
		}
	}
}

type packed struct {
	text     string
	uid, gid int
	mode     int64
}

// content unpacks the image of one platform, behind the index in the layout's own.
func content(t *testing.T, folder string, platform v1.Platform) map[string]packed {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err = index.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if !m.Platform.Equals(platform) {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		return unpack(t, image)
	}
	t.Fatalf("no image for %s", platform)
	return nil
}

func unpack(t *testing.T, image v1.Image) map[string]packed {
	t.Helper()
	files := map[string]packed{}
	stream := mutate.Extract(image)
	defer stream.Close()
	r := tar.NewReader(stream)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(h.Name, "/")] = packed{string(text), h.Uid, h.Gid, h.Mode}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
