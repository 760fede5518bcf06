package snmprec

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Report counts what was masked.
type Report struct {
	IPv4, IPv6, MAC int // addresses
	Names           int // names, contacts, places, descriptions of ports
	Serials         int
	LeftOut         int // rows of tables that hold secrets
}

// masker knows what one device tells of its owner.
type masker struct {
	addresses *addresses
	names     *names
	rows      []maskRow
}

type maskRow struct {
	Row
	kind kind
}

// Texts that look like secrets of their owner in whatever column.
var (
	mailAddress  = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
	namedSerial  = regexp.MustCompile(`(?i)(?:\bs/?n|\bserial(?:[ _-]?(?:number|no\.?|num))?)[:=# ]+([A-Z0-9-]{5,})`)
	serialLike   = regexp.MustCompile(`^[A-Z0-9]{10,16}$`)
	fiveDigits   = regexp.MustCompile(`[0-9]{5}`)
	modemNumber  = regexp.MustCompile(`^[0-9]{14,20}F?$`) // IMEI, IMSI, ICCID
	interfaces   = []string{"1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.31.1.1.1.1"}
	vendors      = []string{"1.3.6.1.4.1"}
	recorderRoot = []string{"1.3.6.1.2.1.1.2"} // sysObjectID
)

// Mask returns rows with the addresses, names and serial numbers replaced by
// others, each by the same one wherever it stands, in indices too, and without
// the tables that hold secrets. MAC addresses keep their vendor. secrets are
// texts that must not remain, such as the community in use. The rows given are
// not changed; the order is that of the new OIDs.
func Mask(rows []Row, secrets []string) ([]Row, Report) {
	m := &masker{addresses: newAddresses(), names: newNames()}
	var report Report
	for _, r := range rows {
		if under(r.OID, leftOut) {
			report.LeftOut++
			continue
		}
		m.rows = append(m.rows, maskRow{r, kindOf(r.OID)})
	}
	m.learn(secrets)
	m.addresses.assign()
	m.names.assign()
	out := make([]Row, len(m.rows))
	for i, r := range m.rows {
		out[i] = m.mask(r)
	}
	Sort(out)
	report.IPv4, report.IPv6, report.MAC = len(m.addresses.v4), len(m.addresses.v6), len(m.addresses.mac)
	for k, n := range m.names.count {
		if k == serial {
			report.Serials = n
		} else {
			report.Names += n
		}
	}
	return out, report
}

func (m *masker) learn(secrets []string) {
	for _, r := range m.rows {
		if under(r.OID, interfaces) {
			m.names.plain[strings.ToLower(r.Cell.Text)] = true
		}
	}
	for _, secret := range secrets {
		m.names.part(strings.ToLower(secret), "secret")
	}
	for _, r := range m.rows {
		m.learnIndex(r.OID)
		switch r.Cell.Kind {
		case plan.Octets:
			m.learnOctets(r)
		case plan.Text:
			if addr, err := netip.ParseAddr(r.Cell.Text); err == nil {
				m.addresses.learn(addr)
			} else {
				m.learnIndex(r.Cell.Text)
			}
		}
	}
}

func (m *masker) learnOctets(r maskRow) {
	s := r.Cell.Text
	switch r.kind {
	case name, contact, location, alias, vlan, serial:
		m.names.learn(r.kind, s)
	case address:
		m.learnAddress(s)
	case hardware:
		m.addresses.learnMAC([]byte(s))
	case station:
		m.learnStation(s)
	}
	if !readable(s) {
		m.learnBinary(s)
		return
	}
	m.addresses.learnText(s)
	for _, found := range mailAddress.FindAllString(s, -1) {
		m.names.learn(contact, found)
	}
	for _, found := range namedSerial.FindAllStringSubmatch(s, -1) {
		if strings.ContainsAny(found[1], "0123456789") {
			m.names.learn(serial, found[1])
		}
	}
	if under(r.OID, vendors) && (modemNumber.MatchString(s) || serialLike.MatchString(s) && fiveDigits.MatchString(s)) {
		m.names.learn(serial, s)
	}
}

// learnBinary takes what is certainly an address by its length alone.
func (m *masker) learnBinary(s string) {
	b := []byte(s)
	switch {
	case len(b) == 6:
		m.addresses.learnMAC(b)
	case len(b) == 4:
		if addr := netip.AddrFrom4([4]byte(b)); addr.IsPrivate() {
			m.addresses.learn(addr)
		}
	}
}

func (m *masker) learnAddress(s string) {
	if addr, ok := netip.AddrFromSlice([]byte(s)); ok {
		m.addresses.learn(addr)
	}
}

// learnStation takes an LLDP chassis or port id, whose subtype stands in
// another column.
func (m *masker) learnStation(s string) {
	switch {
	case len(s) == 5 && s[0] == 1 || len(s) == 17 && s[0] == 2: // behind its address family
		m.learnAddress(s[1:])
	case len(s) == 4 && !readable(s):
		m.learnAddress(s)
	}
}

// learnIndex takes the addresses of a known table's index, and such of others
// as can be nothing else.
func (m *masker) learnIndex(oid string) {
	layout, from := indexOf(oid)
	arcs := arcsOf(oid)
	if layout != "" {
		eachAddress(layout, arcs[min(from, len(arcs)):], func(part []uint32) {
			if len(part) == 6 {
				m.addresses.learnMAC(octetsOf(part))
			} else {
				m.learnAddress(string(octetsOf(part)))
			}
		})
		return
	}
	for i := firstIndexArc; i+4 <= len(arcs); i++ {
		if b := octetsOf(arcs[i : i+4]); b != nil && (b[0] == 192 && b[1] == 168 || b[0] == 172 && b[1]&0xf0 == 16) {
			m.learnAddress(string(b))
		}
	}
}

// mask makes the row that is written.
func (m *masker) mask(r maskRow) Row {
	out := r.Row
	out.OID = m.maskOID(r.OID)
	switch {
	case r.Cell.Kind == plan.Octets && r.Tag == tagOctets:
		out.Cell.Text = m.maskOctets(r.Cell.Text, r.kind)
	case r.Tag == tagIPAddress:
		if addr, err := netip.ParseAddr(r.Cell.Text); err == nil {
			out.Cell.Text = m.addresses.of(addr).String()
		}
	case r.Tag == tagOID && !under(r.OID, recorderRoot):
		out.Cell.Text = m.maskOID(r.Cell.Text)
	}
	return out
}

func (m *masker) maskOctets(s string, k kind) string {
	if k == engine {
		return maskEngine(s)
	}
	if words[k] != "" {
		if made, ok := m.names.whole(s); ok {
			return made
		}
	}
	if readable(s) {
		if len(s) == 6 || len(s) == 4 { // a MAC address whose bytes happen to be letters
			s = m.addresses.inOctets(s)
		}
		return m.names.inText(m.addresses.inText(s))
	}
	if (len(s) == 5 || len(s) == 17) && k == station {
		return s[:1] + m.addresses.inOctets(s[1:])
	}
	return m.names.inText(m.addresses.inText(m.addresses.inOctets(s)))
}

// maskEngine keeps the vendor and the form of an engine id.
func maskEngine(s string) string {
	if len(s) <= 5 {
		return s
	}
	return s[:5] + strings.Repeat("\x01", len(s)-5)
}

// readable tells text from other octets.
func readable(s string) bool {
	s = strings.TrimRight(s, "\x00")
	for i := range len(s) {
		if c := s[i]; c < ' ' && (c < '\t' || c > '\r') || c == 0x7f {
			return false
		}
	}
	return len(s) == 0 || ascii(s)*4 >= len(s)*3
}

func ascii(s string) (n int) {
	for i := range len(s) {
		if s[i] < 0x80 {
			n++
		}
	}
	return n
}
