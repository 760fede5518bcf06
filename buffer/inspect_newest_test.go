package buffer

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestNewestOfCircle makes every page of the tree a branch that leads to
// itself: the answer is no, and it comes.
func TestNewestOfCircle(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 1000)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	path := filepath.Join(t.TempDir(), "damaged")
	newest := func(b []byte) (sure bool) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for commit := range uint64(100) {
			sure = sure || isNewest(path, commit)
		}
		return sure
	}
	if !newest(whole) {
		t.Error("the ledger of a whole file is not found")
	}
	for at := 2 * pageSize; at < len(whole); at += pageSize {
		page := whole[at : at+pageSize]
		id := uint64(at / pageSize)
		binary.NativeEndian.PutUint64(page, id)
		binary.NativeEndian.PutUint16(page[8:], pageBranch)
		binary.NativeEndian.PutUint16(page[10:], 1)
		binary.NativeEndian.PutUint32(page[pageHead:], pageElement) // the key is behind the element
		binary.NativeEndian.PutUint32(page[pageHead+4:], 1)
		binary.NativeEndian.PutUint64(page[pageHead+8:], id)
	}
	if newest(whole) {
		t.Error("a ledger was found in circles")
	}
}
