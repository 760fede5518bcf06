package ping

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// replyOf is what a host makes of a request: the same with another type.
func replyOf(f family, request []byte) []byte {
	b := bytes.Clone(request)
	b[0] = f.reply()
	return b
}

func quote(f family, typ, code byte, request []byte) []byte {
	header := make([]byte, ipv6Header)
	header[0], header[6] = 6<<4, protoICMP6
	if f == 4 {
		header = make([]byte, ipv4Header+4) // with an option
		header[0], header[9] = 4<<4|6, protoICMP
	}
	b := append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, header...)
	return append(b, request...)
}

func TestChecksum(t *testing.T) {
	// RFC 1071, 3: the sum of these words is ddf2.
	if got := sum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != 0xddf2 {
		t.Errorf("%x", got)
	}
	for size := tokenSize; size < 80; size++ {
		if b := appendEcho(nil, 4, echo{id: 7, seq: 9, token: 1 << 60}, size); sum(b) != 0xffff || len(b) != headerSize+size {
			t.Errorf("size %d: sum %x of %d bytes", size, sum(b), len(b))
		}
	}
}

func TestFaultWords(t *testing.T) {
	for want, f := range map[string]fault{
		"the network is unreachable":                                                {4, 3, 0},
		"this is administratively prohibited":                                       {4, 3, 13},
		"the packet is too big and must not be fragmented":                          {4, 3, 4},
		"an ICMP error of type 3, code 99":                                          {4, 3, 99},
		"an ICMP error of type 77, code 1":                                          {6, 77, 1},
		"there is no route":                                                         {6, 1, 0},
		"the packet is too big":                                                     {6, 2, 0},
		"a fragment of the packet was missing":                                      {6, 3, 1},
		"the header of the packet is wrong":                                         {4, 12, 0},
		"the host is unreachable":                                                   {6, 1, 3},
		"the packet went over too many hops (TTL exceeded), which is mostly a loop": {4, 11, 0},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}

// rig is a line with one shot under way, and no socket.
func rig(f family, raw bool) (*line, *shot) {
	to := netip.MustParseAddr("192.0.2.1")
	if f == 6 {
		to = netip.MustParseAddr("2001:db8::1")
	}
	l := &line{socket: &socket{family: f, raw: raw, id: 0x1234}, random: new(steady).next, shots: map[uint16]*shot{}, next: 0xffff}
	s := &shot{to: to, token: l.random(), round: &round{done: make(chan struct{}, 1)}, sent: time.Now()}
	if err := l.put(s); err != nil {
		panic(err)
	}
	return l, s
}

// feed gives the line what a socket has read.
func (l *line) feed(b []byte, from netip.Addr) {
	m := message{from: from}
	if l.read(b, &m) {
		l.take(m)
	}
}

func TestMatching(t *testing.T) {
	stranger := netip.MustParseAddr("192.0.2.9")
	for _, f := range []family{4, 6} {
		l, s := rig(f, f == 6)
		request := appendEcho(nil, f, echo{id: l.id, seq: s.seq, token: s.token}, 56)
		reply := replyOf(f, request)
		for name, wrong := range map[string]func(b []byte) []byte{
			"request":    func([]byte) []byte { return request },
			"other code": func(b []byte) []byte { b[1] = 1; return b },
			"other seq":  func(b []byte) []byte { b[7]++; return b },
			"other id": func(b []byte) []byte {
				if l.raw {
					b[5]++
					return b
				}
				return nil
			},
			"other token":   func(b []byte) []byte { b[headerSize+3]++; return b },
			"cut":           func(b []byte) []byte { return b[:headerSize+tokenSize-1] },
			"nothing":       func([]byte) []byte { return nil },
			"other family":  func(b []byte) []byte { b[0] = (10 - f).reply(); return b },
			"error, short":  func(b []byte) []byte { return quote(f, 3, 1, request)[:20] },
			"error, others": func(b []byte) []byte { return quote(f, 3, 1, replyOf(f, request)) },
		} {
			if l.feed(wrong(bytes.Clone(reply)), s.to); s.settled() {
				t.Fatalf("IPv%d: %s is taken as an answer", f, name)
			}
		}
		if l.feed(reply, stranger); s.settled() || s.foreign != stranger {
			t.Errorf("IPv%d: an answer of a stranger counts: %+v", f, s)
		}
		if l.feed(reply, s.to); s.got.IsZero() || s.again != 0 || s.round.open != 0 {
			t.Errorf("IPv%d: the answer does not count: %+v", f, s)
		}
		<-s.round.done
		l.feed(reply, s.to)
		if l.feed(reply, s.to); s.again != 2 || s.round.open != 0 {
			t.Errorf("IPv%d: %d duplicates, want 2", f, s.again)
		}
		v := &volley{to: s.to, shots: []*shot{s}}
		if got := v.tally(time.Minute); got.received != 1 || got.sent != 1 || got.duplicates != 2 {
			t.Errorf("IPv%d: %+v", f, got)
		}
		l.shots = map[uint16]*shot{}
		if l.feed(reply, s.to); s.again != 2 {
			t.Errorf("IPv%d: what is over still counts", f)
		}
	}
}

// A raw socket sees everybody's errors.
func TestRawErrors(t *testing.T) {
	for _, f := range []family{4, 6} {
		l, s := rig(f, true)
		wrap := func(b []byte) []byte {
			if f == 6 {
				return b
			}
			return append(append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protoICMP}, make([]byte, 10)...), b...)
		}
		router := netip.MustParseAddr("192.0.2.254")
		typ, code := byte(unreachable4), byte(13)
		if f == 6 {
			typ, code = unreachable6, 1
		}
		others := appendEcho(nil, f, echo{id: l.id + 1, seq: s.seq, token: s.token}, 56)
		if l.feed(wrap(quote(f, typ, code, others)), router); s.settled() {
			t.Errorf("IPv%d: an error for another process counts", f)
		}
		mine := appendEcho(nil, f, echo{id: l.id, seq: s.seq, token: s.token}, 56)
		for _, typ := range []byte{5, 4 + 8, 200} { // a redirect is no error
			if f == 4 && typ == parameter4 {
				continue
			}
			if l.feed(wrap(quote(f, typ, 0, mine)), router); s.settled() {
				t.Errorf("IPv%d: type %d counts", f, typ)
			}
		}
		// Quoted as short as RFC 792 allows, it has no token.
		l.feed(wrap(quote(f, typ, code, mine[:headerSize])), router)
		if s.fault == nil || s.by != router || s.fault.String() != "this is administratively prohibited" || s.round.open != 0 {
			t.Errorf("IPv%d: %+v", f, s)
		}
		// The answer may come all the same.
		if l.feed(wrap(replyOf(f, mine)), s.to); s.got.IsZero() {
			t.Errorf("IPv%d: an answer after an error does not count", f)
		}
	}
}

// The kernel's time counts where it lies between sending and reading; a clock
// that was set in between is not believed.
func TestTrip(t *testing.T) {
	sent := time.Now()
	for _, c := range []struct {
		name   string
		kernel time.Duration // 0: none
		want   time.Duration
	}{
		{"kernel", 40 * time.Millisecond, 40 * time.Millisecond},
		{"no kernel", 0, 100 * time.Millisecond},
		{"set back", -time.Hour, 100 * time.Millisecond},
		{"set forward", time.Hour, 100 * time.Millisecond},
	} {
		s := &shot{sent: sent, got: sent.Add(100 * time.Millisecond)}
		if c.kernel != 0 {
			s.at = sent.Round(0).Add(c.kernel)
		}
		if got := s.trip(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTally(t *testing.T) {
	begin := time.Now()
	shots := func(trips ...int) (v volley) {
		for _, n := range trips {
			s := &shot{sent: begin}
			if n > 0 {
				s.got = begin.Add(time.Duration(n) * time.Millisecond)
			}
			v.shots = append(v.shots, s)
		}
		return v
	}
	v := shots(10, 0, 30, 2001, 20)
	got := v.tally(2 * time.Second)
	if got.sent != 5 || got.received != 3 || got.late != 1 {
		t.Errorf("%+v", got)
	}
	if s := got.summary(); s.Min != 10 || s.Max != 30 || s.Sum != 60 || s.Count != 3 {
		t.Errorf("%+v", s)
	}
	if j := got.jitter(); j != 15 { // |30-10| and |20-30|
		t.Errorf("jitter %v, want 15", j)
	}
}

// Sequence numbers come round, and one that is under way is not given again.
func TestSequence(t *testing.T) {
	l, first := rig(4, false)
	if first.seq != 0xffff || l.next != 0 {
		t.Fatalf("%d, %d", first.seq, l.next)
	}
	r := &round{done: make(chan struct{}, 1)}
	for i := range 0xffff {
		s := &shot{round: r}
		if err := l.put(s); err != nil || int(s.seq) != i {
			t.Fatalf("%d: %v", s.seq, err)
		}
	}
	if err := l.put(&shot{round: r}); err == nil {
		t.Error("a number is given twice")
	}
	delete(l.shots, 77)
	s := &shot{round: r}
	if err := l.put(s); err != nil || s.seq != 77 {
		t.Errorf("%d: %v", s.seq, err)
	}
}

// Only the answer to the very packet settles it: the right type, code, sequence
// number and token, from a raw socket also the id, and for a raw socket of IPv4
// behind an IP header.
func FuzzReply(f *testing.F) {
	l, s := rig(4, false)
	f.Add([]byte{}, uint8(4), false)
	f.Add(replyOf(4, appendEcho(nil, 4, echo{id: l.id, seq: s.seq, token: s.token}, 56)), uint8(4), false)
	f.Add(replyOf(6, appendEcho(nil, 6, echo{id: l.id, seq: s.seq, token: s.token}, 8)), uint8(6), true)
	f.Add(append(append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1}, make([]byte, 10)...), replyOf(4, appendEcho(nil, 4, echo{id: l.id, seq: s.seq, token: s.token}, 9))...), uint8(4), true)
	f.Add(append(append([]byte{0x45, 0, 0, 0, 0, 0, 0, 1, 64, 1}, make([]byte, 10)...), replyOf(4, appendEcho(nil, 4, echo{id: l.id, seq: s.seq, token: s.token}, 9))...), uint8(4), true)
	f.Fuzz(func(t *testing.T, b []byte, version uint8, raw bool) {
		fam := family(4)
		if version == 6 {
			fam = 6
		}
		l, s := rig(fam, raw)
		l.feed(b, s.to)
		if got, want := !s.got.IsZero(), isAnswer(b, l, s); got != want {
			t.Errorf("taken: %v, want %v: %x", got, want, b)
		}
	})
}

// isAnswer compares with what the encoder would make of the right fields.
func isAnswer(b []byte, l *line, s *shot) bool {
	if l.raw && l.family == 4 {
		if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 || len(b) < int(b[0]&15)*4 || b[9] != 1 || b[6]&0x1f != 0 || b[7] != 0 {
			return false
		}
		b = b[int(b[0]&15)*4:]
	}
	want := replyOf(l.family, appendEcho(nil, l.family, echo{id: l.id, seq: s.seq, token: s.token}, tokenSize))
	if len(b) < len(want) {
		return false
	}
	got := bytes.Clone(b[:len(want)])
	copy(got[2:4], want[2:4]) // the checksum
	if !l.raw {
		copy(got[4:6], want[4:6])
	}
	return bytes.Equal(got, want)
}

// An error settles only the packet that it quotes.
func FuzzFault(f *testing.F) {
	l, s := rig(4, true)
	mine := appendEcho(nil, 4, echo{id: l.id, seq: s.seq, token: s.token}, 56)
	f.Add(quote(4, 3, 1, mine), uint8(4))
	f.Add(quote(4, 3, 1, mine[:8]), uint8(4))
	mine = appendEcho(nil, 6, echo{id: l.id, seq: s.seq, token: s.token}, 56)
	f.Add(quote(6, 1, 4, mine), uint8(6))
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		fam := family(4)
		if version == 6 {
			fam = 6
		}
		said, e, ok := parseFault(fam, b)
		if !ok {
			return
		}
		if said.typ != b[0] || said.code != b[1] || said.String() == "" {
			t.Errorf("%+v of %x", said, b)
		}
		// Quoting what was read gives the same again.
		request := appendEcho(nil, fam, e, tokenSize)
		if e.short {
			request = request[:headerSize]
		}
		again, f, ok := parseFault(fam, quote(fam, said.typ, said.code, request))
		if !ok || again != said || f != e {
			t.Errorf("%+v %+v, then %+v %+v", said, e, again, f)
		}
		if !bytes.Contains(b, binary.BigEndian.AppendUint16(nil, e.seq)) {
			t.Errorf("sequence number %d is nowhere in %x", e.seq, b)
		}
	})
}
