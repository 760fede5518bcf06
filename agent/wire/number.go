package wire

import "encoding/binary"

// cursor reads a body. After the first malformed field it yields zeros, and bad
// is true.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

// count reads a number that is at most most.
func (c *cursor) count(most int) int {
	n := c.uvarint()
	if n > uint64(max(most, 0)) {
		c.bad, c.b = true, nil
		return 0
	}
	return int(n)
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	head := c.b[:n:n]
	c.b = c.b[n:]
	return head
}

func appendUvarint(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

// appendRuns appends numbers as runs: how far each is from the end of the one
// before, and its length less one.
func appendRuns(dst []byte, ids []uint32) []byte {
	next := int64(0)
	for i := 0; i < len(ids); {
		n := 1
		for i+n < len(ids) && int64(ids[i+n]) == int64(ids[i])+int64(n) {
			n++
		}
		dst = binary.AppendVarint(dst, int64(ids[i])-next)
		dst = appendUvarint(dst, n-1)
		next = int64(ids[i]) + int64(n)
		i += n
	}
	return dst
}

// runs is the inverse of appendRuns, of n numbers.
func (c *cursor) runs(n int) []uint32 {
	ids := make([]uint32, 0, n)
	next := int64(0)
	for len(ids) < n {
		skip := c.varint()
		length := c.count(n-len(ids)-1) + 1
		first := next + skip
		if c.bad || skip < -next || skip >= 1<<32 || first+int64(length) > 1<<32 {
			c.bad = true
			return nil
		}
		for i := range length {
			ids = append(ids, uint32(first)+uint32(i))
		}
		next = first + int64(length)
	}
	return ids
}
