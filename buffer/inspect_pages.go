package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// What bbolt's pages look like. It writes numbers in the order of the machine.
const (
	pageHead     = 16 // id, flags, count of elements, pages that follow as a part of this one
	pageElement  = 16
	pageBranch   = 1
	pageLeaf     = 2
	pageFreelist = 16
	bucketHead   = 16 // root page, sequence
	bucketFlag   = 1

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64
	noFreelist  = 1<<64 - 1

	maxKey       = 32768
	maxTreeDepth = 32 // pages of one bucket above each other
	maxBuckets   = 4  // buckets in each other
)

// meta is what a meta page says.
type meta struct{ root, freelist, high, txid uint64 }

func parseMeta(b []byte) (m meta, ok bool) {
	b = b[pageHead:]
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	if binary.NativeEndian.Uint32(b) != metaMagic || binary.NativeEndian.Uint32(b[4:]) != metaVersion || binary.NativeEndian.Uint64(b[metaSize-8:]) != h.Sum64() {
		return m, false
	}
	return meta{root: binary.NativeEndian.Uint64(b[16:]), freelist: binary.NativeEndian.Uint64(b[32:]), high: binary.NativeEndian.Uint64(b[40:]), txid: binary.NativeEndian.Uint64(b[48:])}, true
}

// pages walks the tree of a file without bbolt, whose own walk ends the
// process where a page is damaged, and never ends where pages refer to each
// other in a circle.
type pages struct {
	f    io.ReaderAt
	size int64
	meta
	seen []byte // a bit for each page
}

// inspectTree checks all pages that hold the tree. Of pages that follow as a
// part of one it reads the keys only.
func inspectTree(f io.ReaderAt, size int64) error {
	p := &pages{f: f, size: size}
	if err := p.findMeta(); err != nil {
		return err
	}
	if p.high < 3 || p.high > uint64(p.size/pageSize) {
		return fmt.Errorf("%w: it was cut off at %d bytes, of %d pages", ErrPages, p.size, p.high)
	}
	p.seen = make([]byte, p.high/8+1)
	if err := p.bucket(p.root, 0); err != nil {
		return err
	}
	return p.checkFreelist()
}

func damagedPage(id uint64, text string) error {
	return fmt.Errorf("%w: page %d %s", ErrPages, id, text)
}

// findMeta reads the newest meta page that is whole.
func (p *pages) findMeta() error {
	found := false
	for _, at := range []int64{0, pageSize} {
		b, err := p.read(at, pageHead+metaSize)
		if err != nil {
			return err
		}
		if m, ok := parseMeta(b); ok && (!found || m.txid > p.txid) {
			p.meta, found = m, true
		}
	}
	if !found {
		return fmt.Errorf("%w: both of its first pages are", ErrPages)
	}
	return nil
}

// read reads a part of the file. A disk that cannot read it is damage too.
func (p *pages) read(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if got, err := p.f.ReadAt(b, at); int64(got) < n {
		return nil, fmt.Errorf("%w: read %d bytes at %d: %w", ErrPages, n, at, err)
	}
	return b, nil
}

// take notes that pages are in use: one and those that follow as a part of it.
func (p *pages) take(id, more uint64) error {
	if id < 2 || id >= p.high || more >= p.high-id {
		return damagedPage(id, "is not in the file")
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i/8]&(1<<(i%8)) != 0 {
			return damagedPage(i, "is used twice")
		}
		p.seen[i/8] |= 1 << (i % 8)
	}
	return nil
}

// tree is one bucket on the way through it.
type tree struct {
	depth int    // of the bucket
	last  []byte // key before
	any   bool   // there is one
}

func (p *pages) bucket(root uint64, depth int) error {
	if depth > maxBuckets {
		return damagedPage(root, "is of a bucket too deep in others")
	}
	return p.page(&tree{depth: depth}, root, limits{})
}

// limits are what the keys of a page may be: from is the first one, to is
// behind the last; nil is no limit.
type limits struct {
	from, to []byte
	depth    int // of the page in its tree
}

func (p *pages) page(t *tree, id uint64, in limits) error {
	if in.depth > maxTreeDepth {
		return damagedPage(id, "is too deep in its tree")
	}
	if err := p.take(id, 0); err != nil {
		return err
	}
	b, err := p.read(int64(id)*pageSize, pageSize)
	if err != nil {
		return err
	}
	x := part{p: p, id: id, first: b, at: int64(id) * pageSize}
	if binary.NativeEndian.Uint64(b) != id {
		return damagedPage(id, "says that it is another")
	}
	more := uint64(binary.NativeEndian.Uint32(b[12:]))
	if more > 0 {
		if id+1 >= p.high {
			return damagedPage(id, "goes on behind the end")
		}
		if err := p.take(id+1, more-1); err != nil {
			return err
		}
	}
	x.size = int64(1+more) * pageSize
	return x.check(t, in)
}

// part is a page of a tree, or one that lies in the value of another.
type part struct {
	p     *pages
	id    uint64
	first []byte // bytes of it
	at    int64  // in the file
	size  int64
}

func (x *part) bytes(at, n int64) ([]byte, error) {
	switch {
	case at < 0 || n < 0 || at > x.size || n > x.size-at:
		return nil, damagedPage(x.id, "holds what is outside of it")
	case at+n <= int64(len(x.first)):
		return x.first[at : at+n], nil
	}
	return x.p.read(x.at+at, n)
}

func (x *part) check(t *tree, in limits) error {
	count := int64(binary.NativeEndian.Uint16(x.first[10:]))
	elements, err := x.bytes(pageHead, count*pageElement)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(x.first[8:]); {
	case count == 0 && in.from != nil:
		return damagedPage(x.id, "is empty")
	case flags == pageBranch && count > 0:
		return x.branch(t, in, elements)
	case flags == pageLeaf:
		return x.leaf(t, in, elements)
	}
	return damagedPage(x.id, "is neither branch nor leaf")
}

func (x *part) key(element int, at, n uint32) ([]byte, error) {
	if n == 0 || n > maxKey {
		return nil, damagedPage(x.id, "has a key of no length or too long")
	}
	return x.bytes(pageHead+int64(element)*pageElement+int64(at), int64(n))
}

func (x *part) branch(t *tree, in limits, elements []byte) error {
	count := len(elements) / pageElement
	keys := make([][]byte, count+1)
	keys[count] = in.to
	for i := range count {
		e := elements[i*pageElement:]
		var err error
		if keys[i], err = x.key(i, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])); err != nil {
			return err
		}
	}
	for i := range count {
		if err := x.order(t, in, keys[i], i == 0); err != nil {
			return err
		}
		child := binary.NativeEndian.Uint64(elements[i*pageElement+8:])
		if err := x.p.page(t, child, limits{keys[i], keys[i+1], in.depth + 1}); err != nil {
			return err
		}
	}
	return nil
}

// order checks a key against the one before and the limits. bbolt looks a page
// up in its branch by its first key when it writes it anew, so these must be
// the same.
func (x *part) order(t *tree, in limits, key []byte, first bool) error {
	if t.any && bytes.Compare(key, t.last) <= 0 || first && in.from != nil && !bytes.Equal(key, in.from) || in.to != nil && bytes.Compare(key, in.to) >= 0 {
		return damagedPage(x.id, "has keys out of order")
	}
	return nil
}

func (x *part) leaf(t *tree, in limits, elements []byte) error {
	for i := range len(elements) / pageElement {
		e := elements[i*pageElement:]
		flags, at, keySize, size := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		key, err := x.key(i, at, keySize)
		if err != nil {
			return err
		}
		if err := x.order(t, in, key, i == 0); err != nil {
			return err
		}
		t.last, t.any = key, true
		valueAt := pageHead + int64(i)*pageElement + int64(at) + int64(keySize)
		if valueAt+int64(size) > x.size {
			return damagedPage(x.id, "holds what is outside of it")
		}
		if flags&bucketFlag != 0 {
			if err := x.inner(t.depth+1, valueAt, int64(size)); err != nil {
				return err
			}
		}
	}
	return nil
}

// inner checks a bucket in a bucket. A small one lies in the value itself.
func (x *part) inner(depth int, at, size int64) error {
	if size > pageSize {
		return damagedPage(x.id, "has a bucket of impossible size")
	}
	b, err := x.bytes(at, size)
	if err != nil {
		return err
	}
	switch {
	case len(b) < bucketHead:
		return damagedPage(x.id, "has a bucket that is cut off")
	case binary.NativeEndian.Uint64(b) != 0:
		return x.p.bucket(binary.NativeEndian.Uint64(b), depth)
	case len(b) < bucketHead+pageHead || depth > maxBuckets:
		return damagedPage(x.id, "has a bucket that is cut off or too deep")
	}
	b = b[bucketHead:]
	own := part{p: x.p, id: x.id, first: b, at: x.at + at + bucketHead, size: int64(len(b))}
	if binary.NativeEndian.Uint16(b[8:]) != pageLeaf {
		return damagedPage(x.id, "has a bucket that is no leaf")
	}
	return own.check(&tree{depth: depth}, limits{})
}

// checkFreelist checks the list of free pages, which only a file has that was
// made a moment ago, or that another program wrote.
func (p *pages) checkFreelist() error {
	if p.freelist == noFreelist {
		return nil
	}
	if err := p.take(p.freelist, 0); err != nil {
		return err
	}
	b, err := p.read(int64(p.freelist)*pageSize, pageSize)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint64(b) != p.freelist || binary.NativeEndian.Uint16(b[8:]) != pageFreelist || binary.NativeEndian.Uint16(b[10:]) != 0 {
		return damagedPage(p.freelist, "is no empty list of free pages")
	}
	return nil
}
