package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need finds a tool; without it a test is skipped aloud, but in CI it fails.
func need(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is MISSING", name)
	}
	t.Skipf("%s is MISSING: nothing was tested", name)
}

func said(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s", cmd, err, out, complaints.String())
	}
	return out
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// content is worth compressing, and long enough that two presets differ.
func content() string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 300000 {
		fmt.Fprintf(&b, "call %08x\n", r.IntN(5000)*16)
	}
	return b.String()
}

// repacked repacks a copy of a file, which makes it smaller, and once more, which
// changes nothing.
func repacked(t *testing.T, file string) string {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	put(t, path, string(before))
	var results [2][]byte
	for i := range results {
		if err := repack("amd64", path); err != nil {
			t.Fatal(err)
		}
		if results[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if len(results[0]) >= len(before) {
		t.Errorf("%d bytes became %d", len(before), len(results[0]))
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Error("another time gives other bytes")
	}
	return path
}

// TestDeb lets dpkg read what was repacked: the same files, the same control.
func TestDeb(t *testing.T) {
	need(t, "dpkg-deb")
	need(t, "xz")
	dir := t.TempDir()
	tree, file := filepath.Join(dir, "tree"), filepath.Join(dir, "a.deb")
	put(t, filepath.Join(tree, "usr/bin/a"), content())
	put(t, filepath.Join(tree, "DEBIAN/control"), "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.invalid>\nDescription: a\n")
	said(t, "dpkg-deb", "--root-owner-group", "-Zxz", "-z0", "--build", tree, file)
	path := repacked(t, file)
	for _, question := range []string{"--fsys-tarfile", "--ctrl-tarfile", "--field"} {
		if !bytes.Equal(said(t, "dpkg-deb", question, file), said(t, "dpkg-deb", question, path)) {
			t.Errorf("dpkg-deb %s finds something else", question)
		}
	}
}

const spec = `Name: a
Version: 1
Release: 1
Summary: a
License: none
BuildArch: noarch
%define _binary_payload w0.xzdio
%define _build_id_links none
%description
a
%install
mkdir -p %{buildroot}/usr/share
cp @CONTENT@ %{buildroot}/usr/share/a
%files
/usr/share/a
`

// TestRpm lets rpm check all sums of what was repacked and unpack it.
func TestRpm(t *testing.T) {
	need(t, "rpmbuild")
	need(t, "rpm2cpio")
	need(t, "xz")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "content"), content())
	put(t, filepath.Join(dir, "a.spec"), strings.ReplaceAll(spec, "@CONTENT@", filepath.Join(dir, "content")))
	said(t, "rpmbuild", "--quiet", "--define", "_topdir "+dir, "--define", "_tmppath "+dir, "-bb", filepath.Join(dir, "a.spec"))
	file := filepath.Join(dir, "RPMS/noarch/a-1-1.noarch.rpm")
	path := repacked(t, file)
	base := filepath.Join(dir, "db")
	if out := said(t, "rpm", "--dbpath", base, "-Kv", path); bytes.Contains(out, []byte("BAD")) || bytes.Count(out, []byte(": OK")) < 4 {
		t.Errorf("rpm -Kv: %s", out)
	}
	if !bytes.Equal(said(t, "rpm2cpio", file), said(t, "rpm2cpio", path)) {
		t.Error("the files are others")
	}
	question := []string{"--dbpath", base, "-qp", "--qf", "[%{FILENAMES} %{FILEDIGESTS} %{FILESIZES}\n]%{NAME} %{VERSION} %{PAYLOADDIGESTALT}"}
	if a, b := said(t, "rpm", append(question, file)...), said(t, "rpm", append(question, path)...); !bytes.Equal(a, b) {
		t.Errorf("rpm finds %s, not %s", b, a)
	}

	// One bit of the files, and rpm finds the sums wrong: the check above can fail.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)-100] ^= 1
	put(t, path, string(whole))
	if out, err := exec.Command("rpm", "--dbpath", base, "-K", path).CombinedOutput(); err == nil {
		t.Errorf("rpm takes a broken file: %s", out)
	}
}

func member(name string, size string, body string) string {
	return fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10s`\n%s", name, "0", "0", "0", "100644", size, body)
}

func TestRefuses(t *testing.T) {
	head := func(entries, size int) string {
		b := append([]byte{}, rpmHeaderMagic...)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(entries))
		return string(binary.BigEndian.AppendUint32(b, uint32(size)))
	}
	lead := strings.Repeat("x", leadSize)
	signed := head(1, 0) + "\x00\x00\x03\xea" + strings.Repeat("\x00", 12) // tag 1002
	for name, c := range map[string]struct{ file, text, want string }{
		"neither":         {"a.zip", "", "neither .deb nor .rpm"},
		"no ar":           {"a.deb", "PK", "not an ar file"},
		"half a header":   {"a.deb", arMagic + "debian-binary", "ends within a header"},
		"long member":     {"a.deb", arMagic + member("a", "9", "b"), "member of"},
		"negative member": {"a.deb", arMagic + member("a", "-1", "b"), "member of"},
		"no files":        {"a.deb", arMagic + member("debian-binary", "4", "2.0\n"), "no data.tar.xz"},
		"no xz":           {"a.deb", arMagic + member("data.tar.xz", "4", "gzip"), "run xz"},
		"no lead":         {"a.rpm", "x", "within the lead"},
		"no sums":         {"a.rpm", lead + "x", "read checksums: no header"},
		"long sums":       {"a.rpm", lead + head(1, 1<<20), "longer than the file"},
		"many entries":    {"a.rpm", lead + head(1<<20, 0), "longer than the file"},
		"only sums":       {"a.rpm", lead + head(0, 1) + "x", "ends behind the checksums"},
		"no head":         {"a.rpm", lead + head(0, 0) + "files", "read header: no header"},
		"signed":          {"a.rpm", lead + signed + head(0, 0), "signed already"},
		"not xz":          {"a.rpm", lead + head(0, 0) + head(0, 0), "not compressed by xz"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "run xz" {
				need(t, "xz")
			}
			path := filepath.Join(t.TempDir(), c.file)
			put(t, path, c.text)
			if err := repack("amd64", path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(after) != c.text {
				t.Error("the file was touched")
			}
		})
	}
}

// FuzzHeader cuts a header: its bytes and the rest are what was given, in this
// order, and what is set is found there and nowhere else.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x8e\xad\xe8\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01abcdrest"), uint32(7), []byte("wxyz"))
	f.Add([]byte("\x8e\xad\xe8\x01"), uint32(1), []byte{})
	f.Fuzz(func(t *testing.T, in []byte, tag uint32, value []byte) {
		given := bytes.Clone(in)
		h, rest, err := cutHeader(in)
		if err != nil {
			return
		}
		if !bytes.Equal(append(bytes.Clone(h.raw), rest...), given) {
			t.Fatal("bytes are lost")
		}
		if err := h.set(tag, value); err != nil {
			if !bytes.Equal(h.raw, given[:len(h.raw)]) {
				t.Fatal("refused and written all the same")
			}
			return
		}
		place, err := h.find(tag)
		if err != nil || !bytes.HasPrefix(place, value) {
			t.Fatalf("set %q, found %q (%v)", value, place, err)
		}
		begin := len(h.raw) - len(place)
		if !bytes.Equal(h.raw[:begin], given[:begin]) || !bytes.Equal(place[len(value):], given[begin+len(value):len(h.raw)]) {
			t.Fatal("more than the value was written")
		}
		if !bytes.Equal(in, given) {
			t.Fatal("what was given was written to")
		}
	})
}
