package custody

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/edgehold/edgehold/buffer"
)

// errValue is damage that is seen in a value, not in the pages.
var errValue = fmt.Errorf("%w: a value does not match its checksum", buffer.ErrPages)

func isDamage(err error) bool { return errors.Is(err, buffer.ErrPages) }

func checksum(key, content []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, content)
}

// seal puts the CRC-32C of key and content before the content, so that a value
// under another key is damage too.
func seal(key, content []byte) []byte {
	out := make([]byte, 4, 4+len(content))
	binary.LittleEndian.PutUint32(out, checksum(key, content))
	return append(out, content...)
}

// unseal gives the content of a value, which lies in the file.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.LittleEndian.Uint32(value) != checksum(key, value[4:]) {
		return nil, fmt.Errorf("%w (key %.80q)", errValue, key)
	}
	return value[4:], nil
}

// numberKey is a key that sorts as its number does.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// epochKey is (site, epoch), and what of them follows. No site has a zero byte.
func epochKey(site string, epoch uint64, more ...uint64) []byte {
	key := make([]byte, 0, len(site)+1+8*(1+len(more)))
	key = append(append(key, site...), 0)
	key = binary.BigEndian.AppendUint64(key, epoch)
	for _, n := range more {
		key = binary.BigEndian.AppendUint64(key, n)
	}
	return key
}

// decoder reads numbers; the first error stays.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return make([]byte, 8)
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = fmt.Errorf("%w: a value is cut off", buffer.ErrPages)
	}
}

// end gives the error, also where something is left over.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}
