package arc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"
)

// golden is the hash of the payloads of goldenGroups. A change of it is a
// change of the format, and so of pointsVersion.
const golden = "1f1c1af2973b445367cd123573fd55acdef189f7dcf7142ab8f3dd0b71e783af"

// dice are integers that are the same everywhere.
type dice uint64

func (d *dice) roll(n uint64) uint64 {
	x := uint64(*d)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*d = dice(x)
	return x >> 11 % n
}

func (d *dice) value(id uint32, before uint64) Value {
	r := *d
	wide := uint64(r)
	switch id % 12 {
	case 0:
		return unsigned(before + d.roll(1000000))
	case 1:
		return integer(int64(d.roll(100)) - 50)
	case 2:
		return unsigned(before + 5997 + d.roll(7))
	case 3:
		return float(float64(int64(d.roll(400))-100) / 10)
	case 4:
		return unsigned(wide >> d.roll(64))
	case 5:
		return Value{Form: Float, Bits: wide << d.roll(64)}
	case 6:
		return float(float64(int64(d.roll(1e9))) / powers[d.roll(10)])
	case 7:
		return float(float64(float32(d.roll(1000)) / 7))
	case 8:
		low := float64(int64(d.roll(1000))) / 4
		return summary3(low, low+float64(int64(d.roll(9))), low*3, d.roll(5))
	case 9:
		if d.roll(20) == 0 {
			return integer(-1 << 63)
		}
		return integer(1<<63 - 1)
	}
	return unsigned(d.roll(50) / 49)
}

func goldenGroups() (all [][]Group) {
	d := dice(88172645463325252)
	before := make([]uint64, 600)
	for p := range int64(100) {
		var groups []Group
		for first := uint32(0); first < 600; first += 60 {
			if d.roll(30) == 0 {
				continue
			}
			up := p*60000 + int64(first)*5 + int64(d.roll(8))
			g := Group{Stamp: Stamp{Boot: [16]byte{byte(first / 500), byte(p / 70)}, Uptime: up, Wall: up + 1700000000000 + int64(d.roll(100)/99)}}
			for id := first; id < first+60; id++ {
				if d.roll(200) == 0 {
					continue
				}
				v := d.value(id, before[id])
				before[id] = v.Bits
				g.IDs, g.Values = append(g.IDs, id), append(g.Values, v)
			}
			groups = append(groups, g)
		}
		all = append(all, groups)
	}
	return all
}

// TestGolden shows that every machine writes the same bytes and reads them.
func TestGolden(t *testing.T) {
	hash := sha256.New()
	all := goldenGroups()
	e := NewEncoder()
	for i, groups := range all {
		if i == 60 {
			e.Reset()
		}
		payload, err := e.Encode(nil, groups)
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(payload)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != golden {
		t.Errorf("hash is %s, want %s", got, golden)
	}
	roundTrip(t, all)
}

// goldenPacked is a payload of goldenNames as one writer packed it. Others may
// pack to other bytes, but all must read it.
const goldenPacked = "138c934b0ec2300c44a58a961e850dd07c9b9ca714c8061054707da4386bcfec9f9c9917fbd0f5e57a2a8f6eb8acdfb2ace3e757b6e57e34bbd7f3bdf5b7329d278c188c788c641519ea4311333660c611733c9127eab52a93743bfbda6bd22d0b6499495e8f2450d4bb0994754915b2c0b640819994884cce12ed5c243c79c6b8f7cca444640a96681766c253648c4766d2cc649a997689f19419e319fcdd28d702d6a05160a38432603985427bde2870324239707d63bb63a663b0e61f0000ffff"

func goldenNames() (names []Name) {
	for i := range 40 {
		names = append(names, Name{Key: "if.in", Type: 2, Dims: []Dim{{"device", "switch-1"}, {"port", fmt.Sprint("gi0/", i*i)}}})
	}
	return names
}

// TestGoldenNames shows that every machine reads what another has packed, and
// what it packs itself.
func TestGoldenNames(t *testing.T) {
	var c Codec
	packed, err := hex.DecodeString(goldenPacked)
	if err != nil {
		t.Fatal(err)
	}
	own, err := c.EncodeNames(nil, goldenNames())
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{"golden": packed, "own": own} {
		got, err := c.DecodeNames(payload)
		if err != nil || !reflect.DeepEqual(got, goldenNames()) || payload[0] != bodyPacked {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}
