package arc

import "testing"

// recorded is polls of a mix, as groups.
type recorded struct {
	polls  [][]Group
	points int
	floor  float64
}

type recording struct {
	mixOptions
	polls     int
	perDevice bool // a group for each device, else one for all
}

func record(o recording) recorded {
	m := newMix(o.mixOptions)
	n := len(m.series)
	var out recorded
	for p := range o.polls {
		values := make([]Value, n)
		m.poll(values)
		size := n
		if o.perDevice {
			size = n / o.devices
		}
		var groups []Group
		for from := 0; from < n; from += size {
			up := int64(p)*60000 + int64(from)*3
			if o.perDevice {
				up += m.r.Int64N(8)
			}
			g := Group{Stamp: Stamp{Boot: [16]byte{9}, Uptime: up, Wall: 1760000000000 + up}, Values: values[from : from+size]}
			for i := range size {
				g.IDs = append(g.IDs, uint32(from+i))
			}
			groups = append(groups, g)
		}
		out.polls = append(out.polls, groups)
		out.points += n
	}
	out.floor = m.floor()
	return out
}

// pack gives bytes a point where a segment has that many polls.
func (r recorded) pack(t testing.TB, reset int) float64 {
	e, d := NewEncoder(), NewDecoder()
	bytes := 0
	var buf []byte
	for i, groups := range r.polls {
		if i%reset == 0 {
			e.Reset()
			d.Reset(1 << 16)
		}
		var err error
		if buf, err = e.Encode(buf[:0], groups); err != nil {
			t.Fatal(err)
		}
		bytes += len(buf)
		got, err := d.Decode(buf)
		if err != nil {
			t.Fatal(err)
		}
		if diff := differ(got, groups); diff != "" {
			t.Fatalf("poll %d: %s", i, diff)
		}
	}
	return float64(bytes) / float64(r.points)
}

// TestRatio holds the codec to the bars that the store was planned with, and
// close to the floor of the mix.
func TestRatio(t *testing.T) {
	for _, c := range []struct {
		name          string
		mix           mixOptions
		most, overall float64 // bytes a point; times the floor
	}{
		{"normal", normalMix, 0.53, 1.10},
		{"busy", busyMix, 1.02, 1.08},
	} {
		r := record(recording{mixOptions: c.mix, polls: 60})
		got := r.pack(t, 60)
		t.Logf("%s: %.4f bytes a point, floor %.4f", c.name, got, r.floor)
		if got > c.most || got > r.floor*c.overall {
			t.Errorf("%s: %.4f bytes a point, floor %.4f", c.name, got, r.floor)
		}
	}
}
