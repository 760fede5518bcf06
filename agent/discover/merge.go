package discover

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// Merge makes one device of those that are the same at several addresses: one
// engine id, serial number or chassis MAC address, and none of these in
// conflict, or, where they say nothing, one sysName and sysObjectID. The result
// is in the order of the addresses.
func Merge(found []Device) []Device {
	sort.Slice(found, func(i, j int) bool { return compareAddresses(found[i].Addresses[0], found[j].Addresses[0]) < 0 })
	var all []Device
	for _, d := range found {
		at := slices.IndexFunc(all, func(known Device) bool { return same(known, d) })
		if at < 0 {
			all = append(all, d)
			continue
		}
		k := &all[at]
		for _, addr := range d.Addresses {
			if !slices.Contains(k.Addresses, addr) {
				k.Addresses = append(k.Addresses, addr)
			}
		}
	}
	return all
}

func compareAddresses(a, b string) int {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	if err != nil || err2 != nil {
		return strings.Compare(a, b)
	}
	return x.Compare(y)
}

func same(a, b Device) bool {
	if a.ObjectID != b.ObjectID || a.Port != b.Port {
		return false
	}
	agree := 0
	for _, id := range [][2]string{{a.EngineID, b.EngineID}, {a.Serial, b.Serial}, {a.ChassisMAC, b.ChassisMAC}} {
		switch {
		case id[0] == "" || id[1] == "":
		case id[0] == id[1]:
			agree++
		default:
			return false
		}
	}
	return agree > 0 || a.Name != "" && a.Name == b.Name
}

// readable is a text on one line.
func readable(c plan.Cell) string {
	if c.Kind != plan.Octets {
		return ""
	}
	return strings.Join(strings.Fields(plan.Readable([]byte(c.Text))), " ")
}

// serialOf leaves out what stands for none.
func serialOf(c plan.Cell) string {
	text := readable(c)
	if len(text) < 4 || strings.Trim(text, text[:1]) == "" || strings.EqualFold(text, "none") || strings.EqualFold(text, "unknown") {
		return ""
	}
	return text
}

func hexOf(c plan.Cell) string {
	if c.Kind != plan.Octets || len(c.Text) < 5 { // no engine id is shorter
		return ""
	}
	return hex.EncodeToString([]byte(c.Text))
}

// macOf is "" where the octets are no address of one station.
func macOf(c plan.Cell) string {
	if c.Kind != plan.Octets || len(c.Text) != 6 || c.Text[0]&1 != 0 || c.Text == "\x00\x00\x00\x00\x00\x00" {
		return ""
	}
	h := hex.EncodeToString([]byte(c.Text))
	return strings.Join([]string{h[:2], h[2:4], h[4:6], h[6:8], h[8:10], h[10:]}, ":")
}
