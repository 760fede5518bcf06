package discover

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Proposal is what a configuration is written from.
type Proposal struct {
	Devices  []Device
	Networks []netip.Prefix
	When     string // for the comment, e.g. 2026-03-01 03:00
	// Credentials are written as they stand before the probes; "" where the
	// configuration has them already.
	Credentials string
}

// YAML is a file for config.d: one entry under `probes` for each credential.
func (p Proposal) YAML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Found by edgehold in %s on %s. The profile of each device is chosen when it\n# is first polled; the comments tell which one fits now.\n",
		texts(p.Networks), p.When)
	b.WriteString(p.Credentials)
	b.WriteString("probes:\n")
	for _, name := range credentialsOf(p.Devices) {
		fmt.Fprintf(&b, "  - kind: snmp\n    credentials: [%s]\n    profile: auto\n    devices:\n", quote(name))
		for _, d := range p.Devices {
			if d.Credential == name {
				fmt.Fprintf(&b, "      - %s # %s\n", quote(d.Target()), d.comment())
			}
		}
	}
	return []byte(b.String())
}

// credentialsOf lists the credentials in the order of their first device.
func credentialsOf(devices []Device) (names []string) {
	seen := map[string]bool{}
	for _, d := range devices {
		if !seen[d.Credential] {
			seen[d.Credential] = true
			names = append(names, d.Credential)
		}
	}
	return names
}

// Target is the device as a configuration names it.
func (d Device) Target() string {
	if d.Port == 0 || d.Port == 161 {
		return d.Addresses[0]
	}
	return net.JoinHostPort(d.Addresses[0], strconv.Itoa(int(d.Port)))
}

func (d Device) comment() string {
	parts := []string{d.Name, short(d.Description, 60), d.Profile}
	if len(d.Addresses) > 1 {
		parts = append(parts, "also "+strings.Join(d.Addresses[1:], " "))
	}
	kept := parts[:0]
	for _, part := range parts {
		if part = oneLine(part); part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "; ")
}

// oneLine leaves out what could end a comment.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return -1
		}
		return r
	}, s))
}

func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most-3])) + "..."
	}
	return s
}

// quote writes a text as YAML that is read as the same text.
func quote(s string) string { return strconv.Quote(s) }

// Listed tells whether a file that YAML wrote has the device.
func (Proposal) Listed(file []byte, d Device) bool {
	return strings.Contains(string(file), "\n      - "+quote(d.Target())+" #")
}
