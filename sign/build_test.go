package sign

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func build(t testing.TB, dir string) []byte {
	t.Helper()
	data, err := Build(dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The same files give the same bytes, whenever and in whichever order they were
// written, whoever owns them and whatever lies hidden beside them.
func TestBuildIsDeterministic(t *testing.T) {
	files := maps.Clone(content)
	files["documents/größe.json"] = strings.Repeat("abc ", 5000)
	first := build(t, folderOf(t, files))
	other := t.TempDir()
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(files))) {
		path := filepath.Join(other, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(files[name]), 0o755), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".git/config", "snmp/.swp", ".gitignore", "empty/.keep"} {
		path := filepath.Join(other, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if second := build(t, other); !bytes.Equal(first, second) {
		t.Fatal("the same files gave other bytes")
	}
	zr, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range zr.File {
		names = append(names, f.Name)
		if len(f.Extra) > 0 || f.Comment != "" || f.Flags&^uint16(flagUTF8) != 0 || f.Method != zip.Deflate || f.ModifiedTime != 0 || f.ModifiedDate != january1980 || f.Mode() != 0o644 {
			t.Errorf("%s: header %+v", f.Name, f.FileHeader)
		}
		got, err := fs.ReadFile(zr, f.Name)
		if err != nil || string(got) != files[f.Name] {
			t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
		}
	}
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
	files["alerts/a.json"] = "{ }"
	if bytes.Equal(build(t, folderOf(t, files)), first) {
		t.Error("another file gave the same bytes")
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"no manifest", func(d string) error { return os.Remove(d + "/extension.yaml") }, "no readable extension.yaml"},
		{"link", func(d string) error { return os.Symlink("/etc/passwd", d+"/x") }, `file "x": links and special files`},
		{"case", func(d string) error { return os.WriteFile(d+"/Extension.yaml", nil, 0o600) }, "upper and lower case"},
		{"backslash", func(d string) error { return os.WriteFile(d+`/a\b`, nil, 0o600) }, "backslashes"},
		{"large file", func(d string) error { return os.WriteFile(d+"/x", make([]byte, 25_000_001), 0o600) }, "larger than the limit"},
		{"bundle inside", func(d string) error { return os.WriteFile(d+"/extension.zip", nil, 0o600) }, "side by side"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folderOf(t, content)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Build(dir, DefaultLimits())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %q and the folder", err, c.want)
			}
		})
	}
	if _, err := Build(filepath.Join(t.TempDir(), "none"), DefaultLimits()); err == nil || !strings.Contains(err.Error(), "give the folder") {
		t.Errorf("no folder: %v", err)
	}
}

func TestBundle(t *testing.T) {
	inner := build(t, folderOf(t, content))
	signature := []byte("-----BEGIN CMS-----")
	bundle := WriteBundle(inner, signature)
	if !bytes.Equal(bundle, WriteBundle(inner, signature)) {
		t.Error("the same parts gave other bytes")
	}
	p := open(t, writeFile(t, "bundle.zip", bundle))
	if p.Form != Bundle || !p.Signed {
		t.Errorf("form %s, signed %v", p.Form, p.Signed)
	}
	parts, err := Split(bundle, DefaultLimits())
	if err != nil || !bytes.Equal(parts.Inner, inner) || !bytes.Equal(parts.Signature, signature) || parts.Timestamp != nil {
		t.Errorf("parts of %d and %d bytes, %v", len(parts.Inner), len(parts.Signature), err)
	}
	parts, err = Split(inner, DefaultLimits())
	if err != nil || !bytes.Equal(parts.Inner, inner) || parts.Signature != nil {
		t.Errorf("a package alone: %d and %d bytes, %v", len(parts.Inner), len(parts.Signature), err)
	}
	vendors := bundleOf(t, map[string]string{innerName: string(inner), signatureName: "s", timestampName: "t"})
	if parts, err = Split(vendors, DefaultLimits()); err != nil || string(parts.Signature)+string(parts.Timestamp) != "st" {
		t.Errorf("with a timestamp: %q %q, %v", parts.Signature, parts.Timestamp, err)
	}
	for name, bad := range map[string][]byte{"text": []byte("x"), "cut": bundle[:200], "large": make([]byte, 25_000_001)} {
		if _, err := Split(bad, DefaultLimits()); err == nil {
			t.Errorf("%s: was split", name)
		}
	}
}

// Another program's zip tool reads both and finds nothing to complain about.
func TestBuildReadElsewhere(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	inner := build(t, folderOf(t, content))
	for name, data := range map[string][]byte{"inner": inner, "bundle": WriteBundle(inner, []byte("s"))} {
		out, err := exec.Command(python, "-m", "zipfile", "-t", writeFile(t, name+".zip", data)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Done testing") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// FuzzSplit: what is taken apart and put together again is the same.
func FuzzSplit(f *testing.F) {
	inner := zipOf(f, content)
	f.Add(WriteBundle(inner, []byte("s")))
	f.Add(inner)
	f.Add(bundleOf(f, map[string]string{innerName: string(inner), signatureName: "s", timestampName: "t"}))
	limits := Limits{PackageBytes: 1 << 16, Entries: 20, TotalBytes: 1 << 20, FileBytes: 1 << 16, Ratio: 100, Depth: 5}
	f.Fuzz(func(t *testing.T, data []byte) {
		parts, err := Split(data, limits)
		if err != nil {
			return
		}
		again, err := Split(WriteBundle(parts.Inner, parts.Signature), Limits{1 << 20, 20, 1 << 20, 1 << 20, 100, 5})
		if err != nil || !bytes.Equal(again.Inner, parts.Inner) || !bytes.Equal(again.Signature, parts.Signature) {
			t.Fatalf("%v: %d and %d bytes became %d and %d", err, len(parts.Inner), len(parts.Signature), len(again.Inner), len(again.Signature))
		}
	})
}
