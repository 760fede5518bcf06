package sign

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plainZip is a zip of two stored files without trailers, whose records are easy
// to find.
func plainZip(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	return rawZip(t, func(w *zip.Writer) error {
		for _, h := range append([]zip.FileHeader{{Name: manifestName}, {Name: "x"}}, headers...) {
			h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE([]byte("text")), 4, 4
			f, err := w.CreateRaw(&h)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(f, "text"); err != nil {
				return err
			}
		}
		return nil
	})
}

// record finds the n-th record of a kind.
func record(data []byte, mark uint32, n int) int {
	at := -1
	for range n + 1 {
		at += 1 + bytes.Index(data[at+1:], binary.LittleEndian.AppendUint32(nil, mark))
	}
	return at
}

// set16 and set32 overwrite a field of a record.
func set16(mark uint32, n, offset int, value uint16) func([]byte) []byte {
	return func(data []byte) []byte {
		binary.LittleEndian.PutUint16(data[record(data, mark, n)+offset:], value)
		return data
	}
}

func set32(mark uint32, n, offset int, value uint32) func([]byte) []byte {
	return func(data []byte) []byte {
		binary.LittleEndian.PutUint32(data[record(data, mark, n)+offset:], value)
		return data
	}
}

// insert puts bytes before a record and moves what the end record says of the
// directory, where that lies behind them.
func insert(mark uint32, n int, extra string) func([]byte) []byte {
	return func(data []byte) []byte {
		at := record(data, mark, n)
		out := bytes.Join([][]byte{data[:at], data[at:]}, []byte(extra))
		end := record(out, endMark, 0)
		offset := binary.LittleEndian.Uint32(out[end+16:])
		if int(offset) >= at {
			binary.LittleEndian.PutUint32(out[end+16:], offset+uint32(len(extra)))
		}
		return out
	}
}

func TestZipForm(t *testing.T) {
	if _, err := readZip(plainZip(t), DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	comment := func(text string) func([]byte) []byte {
		return func(data []byte) []byte {
			binary.LittleEndian.PutUint16(data[len(data)-2:], uint16(len(text)))
			return append(data, text...)
		}
	}
	extra := func(id uint16, body string) []zip.FileHeader {
		field := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, id), uint16(len(body)))
		return []zip.FileHeader{{Name: "y", Extra: append(field, body...)}}
	}
	for _, c := range []struct {
		name  string
		add   []zip.FileHeader
		spoil func([]byte) []byte
		want  Rule
		words string
	}{
		{name: "comment", spoil: comment("Generator: dt-cli 1.0")},
		{name: "times", add: extra(0x5455, "\x01abcd")},
		{name: "behind the end", spoil: func(b []byte) []byte { return append(b, "x"...) }, want: RuleZipTrailing, words: "1 bytes follow"},
		{name: "another zip behind", spoil: func(b []byte) []byte { return append(b, plainZip(t)...) }, want: RuleZipHidden, words: "before the zip"},
		{name: "comment cut off", spoil: set16(endMark, 0, 20, 5), want: RulePackage},
		{name: "an end record in the comment", spoil: comment("PK\x05\x06" + strings.Repeat("\x00", 18)), want: RuleZipHidden, words: "before the zip"},
		{name: "an entry more before", spoil: func(b []byte) []byte { return append(bytes.Clone(b[:record(b, localMark, 1)]), b...) }, want: RuleZipHidden, words: "before the zip"},
		{name: "before, and the directory knows", spoil: func(b []byte) []byte {
			first := b[:record(b, localMark, 1)]
			out := insert(localMark, 0, string(first))(b)
			set32(centralMark, 0, 42, uint32(len(first)))(out)
			return set32(centralMark, 1, 42, uint32(2*len(first)))(out)
		}, want: RuleZipHidden, words: "belong to no entry"},
		{name: "between entries", spoil: func(b []byte) []byte {
			out := insert(localMark, 1, "hidden")(b)
			return set32(centralMark, 1, 42, uint32(record(out, localMark, 1)))(out)
		}, want: RuleZipHidden, words: "6 bytes behind its content"},
		{name: "before the directory", spoil: insert(centralMark, 0, "hidden"), want: RuleZipHidden, words: "6 bytes behind its content"},
		{name: "behind the directory", spoil: insert(endMark, 0, "hidden"), want: RuleZipHidden, words: "behind its directory"},
		{name: "more in the directory than counted", spoil: func(b []byte) []byte {
			set16(endMark, 0, 8, 1)(b)
			return set16(endMark, 0, 10, 1)(b)
		}, want: RulePackage},
		{name: "name in the header", spoil: func(b []byte) []byte { b[record(b, localMark, 1)+localFixed] = 'z'; return b }, want: RuleZipName, words: `"z" in its own header`},
		{name: "name in the directory", spoil: func(b []byte) []byte { b[record(b, centralMark, 1)+centralFixed] = 'z'; return b }, want: RuleZipName, words: `"x" in its own header`},
		{name: "method in the header", spoil: set16(localMark, 1, 8, 8), want: RuleZipForm, words: "marked otherwise"},
		{name: "flags in the header", spoil: set16(localMark, 1, 6, flagUTF8), want: RuleZipForm, words: "marked otherwise"},
		{name: "size in the header", spoil: set32(localMark, 1, 22, 3), want: RuleZipForm, words: "another size"},
		{name: "checksum in the header", spoil: set32(localMark, 1, 14, 3), want: RuleZipForm, words: "another size or checksum"},
		{name: "two sizes of a stored entry", spoil: set32(centralMark, 1, 24, 3), want: RuleZipForm, words: "two sizes"},
		{name: "both entries at one place", spoil: set32(centralMark, 1, 42, 0), want: RuleZipOverlap},
		{name: "an entry in another", spoil: set32(centralMark, 1, 42, 20), want: RuleZipOverlap},
		{name: "an entry outside", spoil: set32(centralMark, 1, 42, 1<<30), want: RuleZipHidden},
		{name: "an entry begins too late", spoil: set32(centralMark, 1, 42, 60), want: RuleZipHidden},
		{name: "several parts", spoil: set16(endMark, 0, 4, 1), want: RuleZipForm},
		{name: "entry of another part", spoil: set16(centralMark, 1, 34, 1), want: RuleZipForm, words: "several parts"},
		{name: "zip64 record", spoil: insert(endMark, 0, "PK\x06\x07"+strings.Repeat("\x00", 16)), want: RuleZip64},
		{name: "zip64 count", spoil: set16(endMark, 0, 10, 0xffff), want: RulePackage},
		{name: "zip64 extra field", add: extra(1, strings.Repeat("\x00", 24)), want: RuleZip64},
		{name: "another name in an extra field", add: extra(0x7075, "\x01abcdname"), want: RuleZipForm, words: "0x7075"},
		{name: "link in an extra field", add: extra(0x756e, strings.Repeat("x", 14)), want: RuleZipForm, words: "0x756e"},
		{name: "extra field cut off", add: []zip.FileHeader{{Name: "y", Extra: []byte("UT\x09\x00x")}}, want: RuleZipForm, words: "extra field is cut off"},
		{name: "name in an unknown alphabet", add: []zip.FileHeader{{Name: "ä"}}, want: RuleZipName, words: "not marked as UTF-8"},
		{name: "name in UTF-8", add: []zip.FileHeader{{Name: "ä", Flags: flagUTF8}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := plainZip(t, c.add...)
			if c.spoil != nil {
				data = c.spoil(data)
			}
			_, err := readZip(data, DefaultLimits())
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			if r := wantRule(t, about("b", err), c.want); !strings.Contains(r.Text, c.words) {
				t.Errorf("%q lacks %q", r.Error(), c.words)
			}
			if checkForm(data) == nil && c.want != RulePackage {
				t.Error("its form is taken")
			}
		})
	}
}

// The older refusals have names too.
func TestZipRules(t *testing.T) {
	bomb := rawEntry(t, zip.FileHeader{Name: "x", Method: zip.Deflate, UncompressedSize64: 1 << 20}, deflated(make([]byte, 1<<20)))
	for name, c := range map[string]struct {
		data []byte
		want Rule
	}{
		"slip":       {with(t, named("../x")...), RuleZipName},
		"absolute":   {with(t, named("/x")...), RuleZipName},
		"duplicate":  {with(t, named("x", "x")...), RuleZipTwice},
		"case":       {with(t, named("x", "X")...), RuleZipTwice},
		"link":       {with(t, moded("x", os.ModeSymlink)), RuleZipLink},
		"device":     {with(t, moded("x", os.ModeDevice)), RuleZipLink},
		"bomb":       {bomb, RuleZipBomb},
		"encryption": {patch(with(t, named("x")...), 8, 1), RuleZipForm},
	} {
		_, err := readPackage(c.data, DefaultLimits())
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		t.Run(name, func(t *testing.T) { wantRule(t, about("b", err), c.want) })
	}
}

// What common tools write is taken.
func TestZipsOfOtherTools(t *testing.T) {
	dir := folderOf(t, content)
	for name, command := range map[string][]string{
		"python": {"python3", "-c", "import zipfile,os\nz=zipfile.ZipFile('../p.zip','w',zipfile.ZIP_DEFLATED,compresslevel=9)\n" +
			"[z.write(os.path.join(d,f)) for d,_,fs in os.walk('.') for f in fs]\nz.comment=b'Generator: dt-cli 1.0'\nz.close()"},
		"zip": {"zip", "-qr", "../p.zip", "."},
		"jar": {"jar", "cMf", "../p.zip", "."},
		"7z":  {"7z", "a", "-bd", "../p.zip", "."},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skipf("%s is missing: install it to test with its zips", command[0])
			}
			path := filepath.Join(filepath.Dir(dir), "p.zip")
			os.Remove(path)
			run := exec.Command(command[0], command[1:]...)
			run.Dir = dir
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			open(t, path)
		})
	}
}

// forward reads a zip as a stream does: from the first header on, without the
// directory. It stands for a parser of another kind.
func forward(data []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	le := binary.LittleEndian
	for len(data) >= localFixed && le.Uint32(data) == localMark {
		name, extra, size := int(le.Uint16(data[26:])), int(le.Uint16(data[28:])), int(le.Uint32(data[18:]))
		if le.Uint16(data[6:])&flagTrailer != 0 {
			return nil, errors.New("sizes follow the content")
		}
		body := localFixed + name + extra
		if len(data) < body+size {
			return nil, io.ErrUnexpectedEOF
		}
		out[string(data[localFixed:localFixed+name])] = data[body : body+size]
		data = data[body+size:]
	}
	return out, nil
}

// What the directory leads to and what a stream meets are the same entries.
func FuzzZipForm(f *testing.F) {
	f.Add(plainZip(f))
	f.Add(plainZip(f, zip.FileHeader{Name: "d/y", Modified: time.Unix(1, 0)}))
	f.Add(zipOf(f, content))
	f.Add(append(plainZip(f), plainZip(f)...))
	f.Add(bundleOf(f, map[string]string{innerName: string(plainZip(f)), signatureName: "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := readZip(data, DefaultLimits())
		if err != nil {
			return
		}
		streamed, err := forward(data)
		if err != nil {
			return
		}
		if len(streamed) != len(z.zip.File) {
			t.Fatalf("a stream has %d entries, the directory %d", len(streamed), len(z.zip.File))
		}
		for _, e := range z.zip.File {
			raw, err := e.OpenRaw()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got, there := streamed[e.Name]; !there || !bytes.Equal(got, body) {
				t.Fatalf("entry %q differs from what a stream has", e.Name)
			}
		}
	})
}
