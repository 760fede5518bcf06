package sign

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
)

// with makes a zip of the manifest and entries with these headers, each
// holding "x" unless it is a folder.
func with(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	return rawZip(t, func(w *zip.Writer) error {
		for _, h := range append([]zip.FileHeader{{Name: manifestName}}, headers...) {
			f, err := w.CreateHeader(&h)
			if err != nil {
				return err
			}
			if strings.HasSuffix(h.Name, "/") {
				continue
			}
			if _, err := io.WriteString(f, "x"); err != nil {
				return err
			}
		}
		return nil
	})
}

func named(names ...string) []zip.FileHeader {
	var headers []zip.FileHeader
	for _, name := range names {
		headers = append(headers, zip.FileHeader{Name: name})
	}
	return headers
}

func moded(name string, mode fs.FileMode) zip.FileHeader {
	h := zip.FileHeader{Name: name}
	h.SetMode(mode)
	return h
}

// rawEntry adds an entry whose header need not fit its data.
func rawEntry(t testing.TB, h zip.FileHeader, data []byte) []byte {
	t.Helper()
	return rawZip(t, func(w *zip.Writer) error {
		if _, err := w.Create(manifestName); err != nil {
			return err
		}
		h.CompressedSize64 = uint64(len(data))
		f, err := w.CreateRaw(&h)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return err
	})
}

func deflated(plain []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(plain) // a buffer takes everything
	w.Close()
	return b.Bytes()
}

// patch overwrites two bytes of the last central directory header.
func patch(data []byte, offset int, value uint16) []byte {
	data = bytes.Clone(data)
	at := bytes.LastIndex(data, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint16(data[at+offset:], value)
	return data
}

func TestReadPackageRefuses(t *testing.T) {
	zeros := make([]byte, 1<<20)
	inner := string(zipOf(t, content))
	deep := strings.Repeat("d/", DefaultLimits().Depth) + "x"
	dosFolder := zip.FileHeader{Name: "x", ExternalAttrs: 0x10}
	foreignLink := zip.FileHeader{Name: "x", ExternalAttrs: 0o120777 << 16} // a link, though made on FAT
	noise := make([]byte, 2000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // never fails
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"no manifest", zipOf(t, map[string]string{"src/extension.yaml": "x"}), "holds neither extension.yaml nor extension.zip"},
		{"manifest is a folder", zipOf(t, map[string]string{"extension.yaml/x": "x"}), "holds neither"},
		{"package and bundle", zipOf(t, map[string]string{manifestName: "x", innerName: inner}), "side by side"},

		{"parent", with(t, named("../x")...), `entry "../x": the path leaves the package`},
		{"parent inside", with(t, named("a/../../x")...), "the path leaves the package"},
		{"parent at the end", with(t, named("a/..")...), "the path leaves the package"},
		{"absolute", with(t, named("/etc/passwd")...), `entry "/etc/passwd": absolute paths`},
		{"drive", with(t, named("C:/x")...), "absolute paths"},
		{"backslash", with(t, named(`a\..\x`)...), "backslashes"},
		{"dot part", with(t, named("a/./x")...), "empty or . part"},
		{"empty part", with(t, named("a//x")...), "empty or . part"},
		{"only a slash", with(t, named("/")...), "the name is empty"},
		{"zero byte", with(t, named("a\x00b")...), "control characters"},
		{"newline", with(t, named("a\nb")...), "control characters"},
		{"not UTF-8", with(t, named("a\xffb")...), "not UTF-8"},
		{"deep", with(t, named(deep)...), "lies deeper than 12 folders"},

		{"duplicate", with(t, named("x", "x")...), `entry "x": the name comes twice`},
		{"duplicate folder", with(t, named("x/", "x/")...), "the name comes twice"},
		{"duplicate manifest", with(t, named(manifestName)...), "the name comes twice"},
		{"case", with(t, named("Extension.YAML")...), "differ in upper and lower case only"},
		{"case of folders", with(t, named("a/x", "A/y")...), `"a" and "A" differ in upper and lower case only`},
		{"folded letter", with(t, named("s", "ſ")...), "differ in upper and lower case only"},
		{"file and folder", with(t, named("a", "a/b")...), `"a" is file and folder at once`},
		{"folder and file", with(t, named("a/b", "a")...), `"a" is file and folder at once`},

		{"link", with(t, moded("x", fs.ModeSymlink|0o777)), `entry "x": links and special files`},
		{"device", with(t, moded("x", fs.ModeDevice)), "links and special files"},
		{"fifo", with(t, moded("x", fs.ModeNamedPipe)), "links and special files"},
		{"socket", with(t, moded("x", fs.ModeSocket)), "links and special files"},
		{"link of another system", with(t, foreignLink), "links and special files"},
		{"folder without slash", with(t, moded("x", fs.ModeDir|0o755)), "file and folder at once"},
		{"folder of another system", with(t, dosFolder), "file and folder at once"},
		{"encrypted", patch(with(t, named("x")...), 8, 1), `entry "x": encrypted entries`},
		{"strongly encrypted", patch(with(t, named("x")...), 8, 1<<6), "encrypted entries"},
		{"masked", patch(with(t, named("x")...), 8, 1<<13), "encrypted entries"},
		{"bzip2", patch(with(t, named("x")...), 10, 12), "compression method 12"},

		{"ratio", zipOf(t, map[string]string{manifestName: "x", "x": string(zeros)}), `entry "x": unpacks to more than 200 times`},
		{"one too large", rawEntry(t, zip.FileHeader{Name: "x", UncompressedSize64: 25_000_001}, nil), `entry "x": unpacks to 25000001 bytes`},
		{"more than a byte can say", rawEntry(t, zip.FileHeader{Name: "x", UncompressedSize64: 1 << 63}, nil), "unpacks to"},
		{"overlap", patch(patch(rawEntry(t, zip.FileHeader{Name: "x"}, noise), 20, 60000), 24, 60000), "entries overlap"},

		{"bundle with more", bundleOf(t, map[string]string{innerName: inner, "README.md": "x"}), `entry "README.md": a bundle holds`},
		{"bundle in a bundle", bundleOf(t, map[string]string{innerName: string(bundleOf(t, map[string]string{innerName: inner}))}), "a bundle in a bundle"},
		{"bundle of text", bundleOf(t, map[string]string{innerName: "x"}), "extension.zip: not a zip file"},
		{"bundle without manifest", bundleOf(t, map[string]string{innerName: string(zipOf(t, map[string]string{"x": "x"}))}), "extension.zip has no extension.yaml"},
		{"bad entry in a bundle", bundleOf(t, map[string]string{innerName: string(with(t, named("../x")...))}), `extension.zip: entry "../x": the path leaves`},
		{"signature is a folder", bundleOf(t, map[string]string{innerName: inner, signatureName + "/": ""}), "a bundle holds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readPackage(c.data, DefaultLimits())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestZipCountsAndTotals(t *testing.T) {
	limits := DefaultLimits()
	limits.Entries, limits.TotalBytes = 3, 10
	ok := zipOf(t, map[string]string{manifestName: "12345", "a/b": "12345"})
	if _, err := readPackage(ok, limits); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	for want, data := range map[string][]byte{
		"more than 10 bytes together":       zipOf(t, map[string]string{manifestName: "12345", "a": "123456"}),
		"more than 3 files and folders":     zipOf(t, map[string]string{manifestName: "", "a/b": "", "a/c": ""}),
		"its list of entries is too long; ": manyEntries(t, 5_000),
	} {
		if _, err := readPackage(data, limits); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	limits.PackageBytes = int64(len(ok)) - 1
	limits.TotalBytes = 10_000
	bundle := zipOf(t, map[string]string{innerName: string(ok)})
	if _, err := readPackage(bundle, limits); err == nil || !strings.Contains(err.Error(), "extension.zip") {
		t.Errorf("a bundle smuggled in a package of %d bytes where %d are allowed: %v", len(ok), limits.PackageBytes, err)
	}
}

func manyEntries(t testing.TB, n int) []byte {
	return rawZip(t, func(w *zip.Writer) error {
		for i := range n {
			if _, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// An entry that gives more than its header says ends in an error, not in memory.
func TestZipEntryThatLies(t *testing.T) {
	bomb := make([]byte, 1<<20)
	for _, h := range []zip.FileHeader{
		{Name: "x", Method: zip.Deflate, UncompressedSize64: 10, CRC32: crc32.ChecksumIEEE(bomb)},
		{Name: "x", Method: zip.Deflate, UncompressedSize64: 10, CRC32: crc32.ChecksumIEEE(bomb[:10])},
	} {
		p, err := readPackage(rawEntry(t, h, deflated(bomb)), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if data, err := fs.ReadFile(p.FS, "x"); err == nil {
			t.Errorf("read %d bytes of an entry that says 10", len(data))
		}
	}
	damaged := rawEntry(t, zip.FileHeader{Name: "x", UncompressedSize64: 4, CRC32: 1}, []byte("text"))
	p, err := readPackage(damaged, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(p.FS, "x"); !errors.Is(err, zip.ErrChecksum) {
		t.Errorf("a damaged entry gave %v", err)
	}
}

// Small entries may shrink as far as they like, and folders may be listed.
func TestZipTakes(t *testing.T) {
	spaces := strings.Repeat(" ", ratioFloor)
	for name, data := range map[string][]byte{
		"small and empty": zipOf(t, map[string]string{manifestName: spaces, "x": ""}),
		"folders listed":  with(t, named("a/", "a/b/", "a/b/c")...),
		"folder later":    with(t, named("a/b", "a/")...),
		"dots in names":   with(t, named("..a", "a..b/c..", ".hidden")...),
		"modes":           with(t, moded("a/", fs.ModeDir|0o755), moded("a/b", 0o644)),
	} {
		if _, err := readPackage(data, DefaultLimits()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever opens obeys its limits, and each file listed gives at most the
// limit or an error.
func FuzzReadPackage(f *testing.F) {
	inner := string(zipOf(f, content))
	f.Add([]byte(inner))
	f.Add(bundleOf(f, map[string]string{innerName: inner, signatureName: "x"}))
	f.Add(with(f, named("a/", "a/b", "A/c")...))
	f.Add(with(f, moded("x", fs.ModeSymlink)))
	f.Add(rawEntry(f, zip.FileHeader{Name: "x", Method: zip.Deflate, UncompressedSize64: 10}, deflated(make([]byte, 5000))))
	f.Add(patch(with(f, named("x")...), 42, 0))
	limits := Limits{PackageBytes: 4000, Entries: 6, TotalBytes: 600, FileBytes: 400, Ratio: 10, Depth: 3}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := readPackage(data, limits)
		if err != nil {
			return
		}
		checkTree(t, p.FS, limits)
		if info, err := fs.Stat(p.FS, manifestName); err != nil || !info.Mode().IsRegular() {
			t.Fatalf("opened without a manifest: %v", err)
		}
	})
}

func checkTree(t *testing.T, files fs.FS, limits Limits) {
	t.Helper()
	var entries int
	var total int64
	seen := map[string]bool{}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		entries++
		lower := strings.ToLower(path)
		if seen[lower] || !fs.ValidPath(path) || strings.Contains(path, `\`) || strings.Count(path, "/") >= limits.Depth {
			t.Fatalf("listed %q", path)
		}
		seen[lower] = true
		if d.IsDir() {
			return nil
		}
		total += readCounted(t, files, path, limits)
		return nil
	})
	if err != nil {
		t.Fatalf("walk: %v", err)
	}
	if entries > limits.Entries || total > limits.TotalBytes {
		t.Fatalf("%d entries with %d bytes", entries, total)
	}
}

// readCounted reads a file that may be damaged and says how much came.
func readCounted(t *testing.T, files fs.FS, path string, limits Limits) int64 {
	t.Helper()
	file, err := files.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	n, _ := io.Copy(io.Discard, file)
	if n > limits.FileBytes {
		t.Fatalf("%q gave %d bytes", path, n)
	}
	return n
}
