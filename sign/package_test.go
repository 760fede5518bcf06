package sign

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

var content = map[string]string{
	"extension.yaml":      "name: custom:example\nversion: 1.0.0\n",
	"alerts/a.json":       "{}",
	"snmp/sub/EXAMPLE.my": "EXAMPLE DEFINITIONS ::= BEGIN END\n",
}

// zipOf deflates files, as the vendor's tools do.
func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	return rawZip(t, func(w *zip.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f, err := w.Create(name)
			if err != nil {
				return err
			}
			if _, err := f.Write([]byte(files[name])); err != nil {
				return err
			}
		}
		return nil
	})
}

func rawZip(t testing.TB, fill func(*zip.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bundleOf stores its parts, as the vendor's tools do.
func bundleOf(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	return rawZip(t, func(w *zip.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			if err != nil {
				return err
			}
			if _, err := f.Write([]byte(parts[name])); err != nil {
				return err
			}
		}
		return w.SetComment("Generator: dt-cli 1.0")
	})
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func folderOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, path string) *Package {
	t.Helper()
	p, err := Open(path, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestOpenForms(t *testing.T) {
	inner := string(zipOf(t, content))
	sum := sha256.Sum256([]byte(inner))
	zipDigest := hex.EncodeToString(sum[:])
	signedZip := writeFile(t, "extension.zip", []byte(inner))
	if err := os.WriteFile(signedZip+".sig", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	bundle := bundleOf(t, map[string]string{innerName: inner, signatureName: "-----BEGIN CMS-----", timestampName: "x"})
	for _, c := range []struct {
		name, path string
		form       Form
		signed     bool
		digest     string
	}{
		{"folder", folderOf(t, content), Folder, false, ""},
		{"zip", writeFile(t, "bundle.tar", []byte(inner)), Zip, false, zipDigest}, // the name says nothing
		{"zip with signature beside", signedZip, Zip, true, zipDigest},
		{"bundle", writeFile(t, "bundle.zip", bundle), Bundle, true, zipDigest},
		{"bundle without signature", writeFile(t, "b.zip", bundleOf(t, map[string]string{innerName: inner})), Bundle, false, zipDigest},
		{"bundle with empty signature", writeFile(t, "b.zip", bundleOf(t, map[string]string{innerName: inner, signatureName: ""})), Bundle, false, zipDigest},
		{"deflated bundle", writeFile(t, "b.zip", zipOf(t, map[string]string{innerName: inner, signatureName: "x"})), Bundle, true, zipDigest},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, c.path)
			if p.Form != c.form || p.Signed != c.signed || p.Name != c.path {
				t.Errorf("got form %s, signed %v, name %s", p.Form, p.Signed, p.Name)
			}
			if c.digest != "" && p.Digest != c.digest {
				t.Errorf("digest %s, want that of the inner zip %s", p.Digest, c.digest)
			}
			if err := fstest.TestFS(p.FS, slices.Collect(maps.Keys(content))...); err != nil {
				t.Error(err)
			}
			for name, want := range content {
				if got, err := fs.ReadFile(p.FS, name); err != nil || string(got) != want {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			}
			for _, name := range []string{"missing", "../x", "/etc/passwd", "extension.yaml/x"} {
				if _, err := fs.ReadFile(p.FS, name); err == nil {
					t.Errorf("read %s", name)
				}
			}
		})
	}
}

func TestFormString(t *testing.T) {
	if got := Folder.String() + Zip.String() + Bundle.String() + Form(0).String(); got != "folderzipbundleinvalid" {
		t.Error(got)
	}
}

func TestFolderDigest(t *testing.T) {
	first := open(t, folderOf(t, content)).Digest
	same := folderOf(t, content)
	if err := os.Chtimes(filepath.Join(same, "extension.yaml"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(same, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := open(t, same).Digest; got != first {
		t.Errorf("the same content has the digest %s and %s", first, got)
	}
	for name, change := range map[string]func(map[string]string){
		"content": func(m map[string]string) { m["alerts/a.json"] = "[]" },
		"name":    func(m map[string]string) { m["alerts/b.json"] = m["alerts/a.json"]; delete(m, "alerts/a.json") },
		"added":   func(m map[string]string) { m["alerts/z.json"] = "" },
		"removed": func(m map[string]string) { delete(m, "alerts/a.json") },
	} {
		files := maps.Clone(content)
		change(files)
		if got := open(t, folderOf(t, files)).Digest; got == first {
			t.Errorf("%s changed and the digest did not", name)
		}
	}
}

func TestOpenRefusesPaths(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(t.TempDir(), "none.zip"), "no such file"},
		{"fifo", fifo, "neither a folder nor a file"},
		{"text", writeFile(t, "extension.zip", []byte("name: x")), "not a zip file"},
		{"empty file", writeFile(t, "extension.zip", nil), "not a zip file"},
		{"empty zip", writeFile(t, "extension.zip", zipOf(t, nil)), "not a zip file, or an empty one"},
		{"cut zip", writeFile(t, "extension.zip", zipOf(t, content)[:100]), "read zip"},
		{"large", writeFile(t, "extension.zip", make([]byte, 25_000_001)), "larger than 25000000 bytes"},
		{"empty folder", t.TempDir(), "no readable extension.yaml"},
		{"folder with a zip", folderOf(t, map[string]string{innerName: "x"}), "give the path of that file"},
		{"manifest is a folder", folderOf(t, map[string]string{"extension.yaml.d/x": ""}), "no readable extension.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.path, DefaultLimits())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v, want %q and the path", err, c.want)
			}
		})
	}
}

func TestOpenRefusesFolders(t *testing.T) {
	limits := Limits{PackageBytes: 1000, Entries: 6, TotalBytes: 300, FileBytes: 200, Ratio: 10, Depth: 3}
	if _, err := Open(folderOf(t, content), limits); err != nil {
		t.Fatalf("a good folder is refused: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"link out", func(d string) error { return os.Symlink("/etc/passwd", d+"/x") }, `file "x": links and special files`},
		{"link inside", func(d string) error { return os.Symlink("extension.yaml", d+"/x") }, `file "x": links and special files`},
		{"link to folder", func(d string) error { return os.Symlink("/etc", d+"/x") }, `file "x": links and special files`},
		{"fifo", func(d string) error { return syscall.Mkfifo(d+"/x", 0o600) }, `file "x": links and special files`},
		{"file too large", func(d string) error { return os.WriteFile(d+"/x", make([]byte, 201), 0o600) }, "larger than the limit"},
		{"total", func(d string) error {
			x := os.WriteFile(d+"/snmp/x", make([]byte, 150), 0o600)
			return errors.Join(x, os.WriteFile(d+"/alerts/y", make([]byte, 150), 0o600))
		}, "more than 300 bytes together"},
		{"entries", func(d string) error { return os.Mkdir(d+"/x", 0o755) }, "more than 6 files and folders"},
		{"depth", func(d string) error { return os.Mkdir(d+"/snmp/sub/y", 0o755) }, ""},
		{"case", func(d string) error { return os.WriteFile(d+"/Extension.yaml", nil, 0o600) }, "differ in upper and lower case only"},
		{"backslash", func(d string) error { return os.WriteFile(d+`/a\b`, nil, 0o600) }, "backslashes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folderOf(t, content)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			l := limits
			if c.name == "depth" {
				l.Depth, c.want = 2, "deeper than 2"
			}
			if c.name != "entries" {
				l.Entries = 100
			}
			p, err := Open(dir, l)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What is put into a folder after it was checked does not lead out of it.
func TestFolderChangedLater(t *testing.T) {
	dir := folderOf(t, content)
	l := DefaultLimits()
	l.FileBytes = 100
	p, err := Open(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	secret := writeFile(t, "secret", []byte("secret"))
	for name, target := range map[string]string{"out": secret, "in": "extension.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if data, err := fs.ReadFile(p.FS, name); err == nil {
			t.Errorf("read %q through the link %s", data, name)
		}
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(dir, "way")); err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(p.FS, "way/secret"); err == nil {
		t.Errorf("read %q through a linked folder", data)
	}
	if err := os.WriteFile(filepath.Join(dir, "alerts/a.json"), make([]byte, 101), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(p.FS, "alerts/a.json"); err == nil || !strings.Contains(err.Error(), "alerts/a.json") {
		t.Errorf("read %d bytes, %v", len(data), err)
	}
}

func TestFolderIsClosed(t *testing.T) {
	p, err := Open(folderOf(t, content), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(p.FS, manifestName); err == nil {
		t.Error("read after Close")
	}
}

// Every public package in the corpus opens, as a folder and zipped.
func TestCorpus(t *testing.T) {
	root := os.Getenv("EDGEHOLD_CORPUS")
	if root == "" {
		root = "../../shared/data"
	}
	var found int
	err := filepath.WalkDir(filepath.Join(root, "extensions"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != manifestName {
			return err
		}
		found++
		dir := filepath.Dir(path)
		p := open(t, dir)
		data := rawZip(t, func(w *zip.Writer) error { return w.AddFS(p.FS) })
		z := open(t, writeFile(t, "extension.zip", data))
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if got, err := fs.ReadFile(z.FS, manifestName); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the manifest changed on the way (%v)", dir, err)
		}
		return nil
	})
	if os.IsNotExist(err) {
		t.Skipf("no corpus at %s; set EDGEHOLD_CORPUS to test with public packages", root)
	}
	if err != nil || found == 0 {
		t.Fatalf("%d packages, %v", found, err)
	}
}
