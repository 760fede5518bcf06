package snmptest

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"time"
)

// fleetKind says where the value of a row of a Fleet comes from.
type fleetKind uint8

const (
	fleetFixed fleetKind = iota
	fleetCounter32
	fleetCounter64
	fleetUptime
	fleetSysName
	fleetMAC
)

// fleetRow is one OID of every device of a Fleet.
type fleetRow struct {
	body  []byte // of the OID's encoding
	name  []byte // the whole element
	kind  fleetKind
	value []byte // the whole element, of fleetFixed
	port  uint64
	rate  uint64 // of a counter, a second
}

// fleetTable is the MIB that the devices of a Fleet share, in order.
type fleetTable struct{ rows []fleetRow }

func newFleetTable(ports int) *fleetTable {
	t := &fleetTable{}
	t.system(ports)
	for index := 1; index <= ports; index++ {
		t.port(uint64(index))
	}
	slices.SortFunc(t.rows, func(a, b fleetRow) int { return compareBodies(a.body, b.body) })
	return t
}

func (t *fleetTable) add(oid string, r fleetRow) {
	r.body = appendOIDBody(nil, MustOID(oid))
	r.name = append(appendHead(nil, byte(TagObjectID), len(r.body)), r.body...)
	t.rows = append(t.rows, r)
}

func (t *fleetTable) fixed(oid string, v Value) {
	value := append(appendHead(nil, byte(v.Tag), len(v.Body)), v.Body...)
	t.add(oid, fleetRow{value: value})
}

func (t *fleetTable) system(ports int) {
	const group = "1.3.6.1.2.1.1."
	t.fixed(group+"1.0", OctetString(fmt.Sprintf("Simulated managed switch, %d ports, software 4.2.1", ports)))
	t.fixed(group+"2.0", ObjectID(OID{1, 3, 6, 1, 4, 1, 32473, 1, 24}))
	t.add(group+"3.0", fleetRow{kind: fleetUptime})
	t.fixed(group+"4.0", OctetString("Plant maintenance, ext. 4711"))
	t.add(group+"5.0", fleetRow{kind: fleetSysName})
	t.fixed(group+"6.0", OctetString("Hall 3, cabinet B2"))
	t.fixed(group+"7.0", Integer(2))
	t.fixed("1.3.6.1.2.1.2.1.0", Integer(int32(ports)))
}

// port adds a row of ifTable and ifXTable: an Ethernet port of 1 Gbit/s that is
// up. Both tables count the same traffic.
func (t *fleetTable) port(n uint64) {
	low := func(column int) string { return fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d.%d", column, n) }
	high := func(column int) string { return fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d.%d", column, n) }
	t.fixed(low(1), Integer(int32(n)))
	t.fixed(low(2), OctetString(fmt.Sprintf("GigabitEthernet1/0/%d", n)))
	t.fixed(low(3), Integer(6))
	t.fixed(low(4), Integer(1500))
	t.fixed(low(5), Gauge32(1_000_000_000))
	t.add(low(6), fleetRow{kind: fleetMAC, port: n})
	t.fixed(low(7), Integer(1))
	t.fixed(low(8), Integer(1))
	t.fixed(low(9), TimeTicks(3000))
	octets, packets := 100_000+n*10_007, 200+n*11
	rates := [...]uint64{octets, packets, 3, n % 2, n % 3, 0, octets / 2, packets / 2, 2, 0, 0}
	for i, rate := range rates {
		t.add(low(10+i), fleetRow{kind: fleetCounter32, port: n, rate: rate})
	}
	t.fixed(low(21), Gauge32(0))
	t.fixed(high(1), OctetString(fmt.Sprintf("Gi1/0/%d", n)))
	for column := 2; column <= 5; column++ {
		t.add(high(column), fleetRow{kind: fleetCounter32, port: n, rate: uint64(column)})
	}
	wide := [...]uint64{octets, packets, 3, 2, octets / 2, packets / 2, 2, 1}
	for i, rate := range wide {
		t.add(high(6+i), fleetRow{kind: fleetCounter64, port: n, rate: rate})
	}
	t.fixed(high(14), Integer(1))
	t.fixed(high(15), Gauge32(1000))
	t.fixed(high(16), Integer(2))
	t.fixed(high(17), Integer(1))
	t.fixed(high(18), OctetString(fmt.Sprintf("Line PLC %d", n)))
	t.fixed(high(19), TimeTicks(0))
}

// compareBodies orders encoded OIDs arc by arc: of two arcs without padding the
// longer one is the greater.
func compareBodies(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	if x, y := arcLeft(a[i:]), arcLeft(b[i:]); x != y {
		return x - y
	}
	return bytes.Compare(a[i:i+1], b[i:i+1])
}

// arcLeft is how many octets the arc goes on for.
func arcLeft(b []byte) int {
	for i, octet := range b {
		if octet < 0x80 {
			return i + 1
		}
	}
	return len(b)
}

// find returns where body is or belongs.
func (t *fleetTable) find(body []byte) (at int, exact bool) {
	return sort.Find(len(t.rows), func(i int) int { return compareBodies(body, t.rows[i].body) })
}

// fleetScratch is memory that one answer after the other uses.
type fleetScratch struct {
	list, datagram []byte
	names          [][]byte
	cursors        []int
}

// answer makes the reply to a datagram; nil: it gets none.
func (f *Fleet) answer(datagram []byte, device int, s *fleetScratch) (reply []byte, varbinds int) {
	h, ok := s.parse(datagram, f.options.Community)
	if !ok {
		return nil, 0
	}
	w := fleetWriter{
		table: f.table, scratch: s, device: uint64(device),
		ticks: uint64(f.options.Now().Sub(f.start)/(10*time.Millisecond)) + uint64(device%1000+1)*360_000,
		room:  2*defaultMaxReply - messageSize(h, defaultMaxReply),
	}
	s.list = s.list[:0]
	switch h.Type {
	case GetRequest:
		w.get()
	case GetNextRequest:
		w.rounds(1)
	case GetBulkRequest:
		w.rounds(int(max(h.Index, 0)))
	}
	h.Type, h.Status, h.Index = Response, StatusNoError, 0
	s.datagram = appendMessage(s.datagram[:0], h, s.list)
	return s.datagram, w.count
}

// parse reads a request of v2c; names point into the datagram.
func (s *fleetScratch) parse(datagram []byte, community string) (h Header, ok bool) {
	outer := reader{datagram}
	body, err := outer.expect(tagSequence)
	if err != nil {
		return h, false
	}
	in := reader{body}
	version, err := in.int32()
	name, err2 := in.expect(byte(TagOctetString))
	tag, pdu, err3 := in.element()
	if err != nil || err2 != nil || err3 != nil || Version(version) != V2c || string(name) != community {
		return h, false
	}
	h = Header{Version: V2c, Community: community, Type: PDUType(tag)}
	fields := reader{pdu}
	for _, field := range []*int32{&h.RequestID, &h.Status, &h.Index} {
		if *field, err = fields.int32(); err != nil {
			return h, false
		}
	}
	list, err := fields.expect(tagSequence)
	if err != nil {
		return h, false
	}
	s.names = s.names[:0]
	for rest := (reader{list}); len(rest.rest) > 0; {
		varbind, err := rest.expect(tagSequence)
		if err != nil {
			return h, false
		}
		in := reader{varbind}
		body, err := in.expect(byte(TagObjectID))
		if err != nil {
			return h, false
		}
		s.names = append(s.names, body)
	}
	return h, h.Type == GetRequest || h.Type == GetNextRequest || h.Type == GetBulkRequest && h.Status == 0
}

// fleetWriter puts one answer together.
type fleetWriter struct {
	table   *fleetTable
	scratch *fleetScratch
	device  uint64
	ticks   uint64 // sysUpTime
	room    int    // bytes that the list may take
	count   int
}

func (w *fleetWriter) get() {
	for _, name := range w.scratch.names {
		at, exact := w.table.find(name)
		if exact {
			w.row(&w.table.rows[at])
			continue
		}
		w.exception(name, TagNoSuchInstance)
	}
}

// rounds is GETNEXT, and GETBULK with more than one round.
func (w *fleetWriter) rounds(n int) {
	s := w.scratch
	s.cursors = s.cursors[:0]
	for _, name := range s.names {
		at, exact := w.table.find(name)
		if exact {
			at++
		}
		s.cursors = append(s.cursors, at)
	}
	for range n {
		for i := range s.cursors {
			if !w.step(i) {
				return
			}
		}
	}
}

// step adds the next row of one column; false: the reply is full.
func (w *fleetWriter) step(i int) bool {
	s := w.scratch
	at := s.cursors[i]
	if at >= len(w.table.rows) {
		name := s.names[i]
		if at = len(w.table.rows) - 1; at >= 0 {
			name = w.table.rows[at].body
		}
		return w.exception(name, TagEndOfMibView)
	}
	s.cursors[i] = at + 1
	return w.row(&w.table.rows[at])
}

func (w *fleetWriter) exception(body []byte, tag Tag) bool {
	var scratch [160]byte
	name := append(appendHead(scratch[:0], byte(TagObjectID), len(body)), body...)
	return w.varbind(name, []byte{byte(tag), 0})
}

func (w *fleetWriter) row(r *fleetRow) bool {
	var scratch [40]byte
	return w.varbind(r.name, w.value(scratch[:0], r))
}

func (w *fleetWriter) varbind(name, value []byte) bool {
	s := w.scratch
	if len(s.list)+elementSize(len(name)+len(value)) > w.room {
		return false
	}
	s.list = appendHead(s.list, tagSequence, len(name)+len(value))
	s.list = append(s.list, name...)
	s.list = append(s.list, value...)
	w.count++
	return true
}

// value is the whole element. Counters start anywhere and grow evenly; both
// widths of one counter agree.
func (w *fleetWriter) value(dst []byte, r *fleetRow) []byte {
	switch r.kind {
	case fleetCounter32:
		return appendNumber(dst, TagCounter32, uint64(uint32(w.counter(r))))
	case fleetCounter64:
		return appendNumber(dst, TagCounter64, w.counter(r))
	case fleetUptime:
		return appendNumber(dst, TagTimeTicks, uint64(uint32(w.ticks)))
	case fleetSysName:
		name := FleetName(int(w.device))
		return append(appendHead(dst, byte(TagOctetString), len(name)), name...)
	case fleetMAC:
		return append(dst, byte(TagOctetString), 6, 2, 0x77, byte(w.device>>8), byte(w.device), byte(r.port>>8), byte(r.port))
	}
	return r.value
}

func (w *fleetWriter) counter(r *fleetRow) uint64 {
	return w.device*7_919_000_003%(1<<33) + r.rate*w.ticks/100
}

func appendNumber(dst []byte, tag Tag, n uint64) []byte {
	at := len(dst)
	dst = appendUint(append(dst, byte(tag), 0), n)
	dst[at+1] = byte(len(dst) - at - 2)
	return dst
}
