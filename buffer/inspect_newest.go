package buffer

import (
	"bytes"
	"encoding/binary"
	"os"
)

// isNewest reports whether a damaged file is known to have no newer ledger than
// that of the commit: both of its meta pages can be read, and the newer one
// leads to that ledger.
func isNewest(path string, commit uint64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	p := &pages{f: f, size: info.Size()}
	for _, at := range []int64{0, pageSize} {
		b, err := p.read(at, pageHead+metaSize)
		if err != nil {
			return false
		}
		if _, ok := parseMeta(b); !ok {
			return false
		}
	}
	if p.findMeta() != nil {
		return false
	}
	l, err := p.ledger()
	return err == nil && l.Commit == commit
}

// ledger reads the ledger without bbolt, which follows pages that refer to each
// other in a circle until the process ends.
func (p *pages) ledger() (ledger, error) {
	bucket, err := p.value(p.root, bucketLedger)
	if err != nil {
		return ledger{}, err
	}
	if len(bucket) < bucketHead {
		return ledger{}, damagedPage(p.root, "has a bucket that is cut off")
	}
	var value []byte
	if root := binary.NativeEndian.Uint64(bucket); root != 0 {
		value, err = p.value(root, keyLedger)
	} else if b := bucket[bucketHead:]; len(b) >= pageHead {
		value, err = (&part{p: p, id: p.root, first: b, size: int64(len(b))}).find(keyLedger)
	}
	if err != nil {
		return ledger{}, err
	}
	content, err := openKeyed(frameLedger, keyLedger, value)
	if err != nil {
		return ledger{}, err
	}
	return parseLedger(content)
}

// value finds the value of a key in the tree below a page.
func (p *pages) value(root uint64, key []byte) ([]byte, error) {
	x, err := p.part(root)
	if err != nil {
		return nil, err
	}
	for range maxTreeDepth {
		if binary.NativeEndian.Uint16(x.first[8:]) == pageLeaf {
			return x.find(key)
		}
		if x, err = x.child(key); err != nil {
			return nil, err
		}
	}
	return nil, damagedPage(root, "is of a tree that is too deep")
}

// part reads a page that may have others as a part of it.
func (p *pages) part(id uint64) (*part, error) {
	b, err := p.read(int64(min(id, uint64(p.size)))*pageSize, pageSize) // what is outside cannot be read
	if err != nil {
		return nil, err
	}
	if binary.NativeEndian.Uint64(b) != id {
		return nil, damagedPage(id, "says that it is another")
	}
	x := &part{p: p, id: id, first: b, at: int64(id) * pageSize, size: (1 + int64(binary.NativeEndian.Uint32(b[12:]))) * pageSize}
	if x.size > p.size-x.at {
		return nil, damagedPage(id, "goes on behind the end")
	}
	return x, nil
}

func (x *part) elements() ([]byte, error) {
	return x.bytes(pageHead, int64(binary.NativeEndian.Uint16(x.first[10:]))*pageElement)
}

// child reads the page below a branch that a key belongs to.
func (x *part) child(key []byte) (*part, error) {
	elements, err := x.elements()
	if err != nil {
		return nil, err
	}
	if binary.NativeEndian.Uint16(x.first[8:]) != pageBranch || len(elements) == 0 {
		return nil, damagedPage(x.id, "is neither branch nor leaf")
	}
	below := binary.NativeEndian.Uint64(elements[8:])
	for i := range len(elements) / pageElement {
		e := elements[i*pageElement:]
		first, err := x.key(i, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if err != nil {
			return nil, err
		}
		if bytes.Compare(first, key) > 0 {
			break
		}
		below = binary.NativeEndian.Uint64(e[8:])
	}
	return x.p.part(below)
}

// find finds the value of a key on a leaf; nil where it has none.
func (x *part) find(key []byte) ([]byte, error) {
	elements, err := x.elements()
	if err != nil {
		return nil, err
	}
	for i := range len(elements) / pageElement {
		e := elements[i*pageElement:]
		at, keySize, size := binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		k, err := x.key(i, at, keySize)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(k, key) {
			return x.bytes(pageHead+int64(i)*pageElement+int64(at)+int64(keySize), int64(size))
		}
	}
	return nil, nil
}
