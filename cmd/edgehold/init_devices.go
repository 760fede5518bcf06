package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/probes"
)

// search is one look for devices.
type search struct {
	networks    []netip.Prefix
	credentials []probes.Credential
	found       []discover.Device
}

// askDevices looks for devices, in as many networks and with as many
// credentials as are wanted.
func (s *initSession) askDevices(again bool) error {
	a := &s.answers
	a.Networks, a.Credentials, a.Devices = nil, nil, nil
	if s.noDevices {
		if again {
			return errBack // there is nothing to ask
		}
		return nil
	}
	for asked := again; ; asked = true {
		x, err := s.searched(asked)
		if err != nil {
			return err
		}
		s.keep(x)
		if s.console == nil || len(x.networks) == 0 {
			return nil
		}
		more, err := s.console.agree("Look in another network, or with another credential, too?", false)
		if err != nil || !more {
			return err
		}
	}
}

// searched asks where to look and with what, and looks, until devices are
// found or the user goes on without.
func (s *initSession) searched(asked bool) (x search, err error) {
	for {
		if x.networks, err = s.networks(asked); err != nil || len(x.networks) == 0 {
			return x, err
		}
		if x.credentials, err = s.credentials(asked); err != nil {
			return x, err
		}
		c, err := s.look(&x)
		if err != nil || c == goOn {
			return x, err
		}
		asked = true
	}
}

func (s *initSession) networks(asked bool) (networks []netip.Prefix, err error) {
	read := func(text string) error {
		networks, err = parseNetworks(text)
		return err
	}
	if len(s.subnets) > 0 && (!asked || s.console == nil) {
		if err := read(strings.Join(s.subnets, ",")); err != nil {
			return nil, usage(s.cmd, fmt.Errorf("--subnet: %w", err))
		}
		return networks, nil
	}
	_, err = s.console.ask(question{
		text: "Network with devices (none for none)", fallback: cmp.Or(strings.Join(s.subnets, ","), networkHere(), "none"), check: read,
		help: "Such as 192.0.2.0/24, one address, or several with commas. Each address is asked once for\n  its name by SNMP; nothing is changed on a device.",
	})
	return networks, err
}

// parseNetworks reads networks with commas between; none for none.
func parseNetworks(text string) (networks []netip.Prefix, err error) {
	if noneIsEmpty(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		p, err := discover.ParseNetwork(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		networks = append(networks, p)
	}
	if discover.Size(networks) > discover.MaxAddresses {
		return nil, fmt.Errorf("these networks have more than %d addresses: name smaller ones", discover.MaxAddresses)
	}
	return networks, nil
}

// networkHere proposes the network of this machine, a part of a large one.
func networkHere() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() || !p.Addr().IsPrivate() || p.Bits() > 30 {
			continue
		}
		return netip.PrefixFrom(p.Addr(), max(p.Bits(), 22)).Masked().String()
	}
	return ""
}

// credentials are those of the flags, or one that is asked for.
func (s *initSession) credentials(asked bool) (all []probes.Credential, err error) {
	if s.console == nil || !asked && s.communityFile+s.user != "" {
		all, err = s.given(s.cmd)
	} else {
		var c probes.Credential
		c, err = s.credential()
		all = []probes.Credential{c}
	}
	known := s.answers.Credentials
	for i := range all {
		all[i].Name = credentialName(all[i], known)
		known = append(slices.Clone(known), all[i])
	}
	return all, err
}

// credentialName is the name of a known one that says the same, or a new one.
func credentialName(c probes.Credential, known []probes.Credential) string {
	base := "snmp-v2c"
	switch c.Version {
	case probes.SNMPv1:
		base = "snmp-v1"
	case probes.SNMPv3:
		base = "snmp-v3"
	}
	name := base
	for n := 2; ; n++ {
		i := slices.IndexFunc(known, func(k probes.Credential) bool { return k.Name == name })
		if i < 0 || sameCredential(known[i], c) {
			return name
		}
		name = base + "-" + strconv.Itoa(n)
	}
}

func sameCredential(a, b probes.Credential) bool {
	secrets := func(c probes.Credential) [3]string {
		return [...]string{c.Community.Reveal(), c.AuthPass.Reveal(), c.PrivPass.Reveal()}
	}
	return a.Version == b.Version && a.User == b.User && a.Auth == b.Auth && a.Priv == b.Priv && a.Context == b.Context && secrets(a) == secrets(b)
}

// credential asks for a community or a user of SNMP v3.
func (s *initSession) credential() (c probes.Credential, err error) {
	kind, err := s.console.choose("SNMP version of the devices", []string{"2c", "3", "1"}, "2c")
	if err != nil {
		return c, err
	}
	if kind == "3" {
		return s.credentialV3()
	}
	c.Version = probes.SNMPv2c
	if kind == "1" {
		c.Version = probes.SNMPv1
	}
	text, err := s.console.ask(question{text: "Community (it is not shown)", hidden: true, help: "The word that the devices answer to; one that may only read is enough."})
	c.Community = secretOf(text)
	return c, err
}

func (s *initSession) credentialV3() (c probes.Credential, err error) {
	c.Version = probes.SNMPv3
	if c.User, err = s.console.ask(question{text: "SNMP user", help: "The name of the user on the devices.", check: func(text string) error {
		if len(text) > 32 {
			return errors.New("no user of SNMP v3 is longer than 32 bytes")
		}
		return nil
	}}); err != nil {
		return c, err
	}
	auth, pass, err := s.protected("Signed by (none for none)", "SHA256", authNames())
	c.Auth, c.AuthPass = probes.AuthProtocol(auth), pass
	if err != nil || auth == "" {
		return c, err
	}
	priv, pass, err := s.protected("Encrypted by (none for none)", "AES", privNames())
	c.Priv, c.PrivPass = probes.PrivProtocol(priv), pass
	return c, err
}

func authNames() (names []string) {
	for _, p := range authProtocols[1:] {
		names = append(names, string(p))
	}
	return names
}

func privNames() (names []string) {
	for _, p := range privProtocols[1:] {
		names = append(names, string(p))
	}
	return names
}

// protected asks for a protocol and its pass phrase.
func (s *initSession) protected(text, fallback string, names []string) (protocol string, pass probes.Secret, err error) {
	protocol, err = s.console.ask(question{
		text: text, fallback: fallback, help: "One of " + strings.Join(names, ", ") + ", as the devices have it.",
		check: func(answer string) error {
			if noneIsEmpty(answer) == "" || slices.Contains(names, config.ProtocolName(answer)) {
				return nil
			}
			return errors.New("that is none of " + strings.Join(names, ", "))
		},
	})
	if err != nil || noneIsEmpty(protocol) == "" {
		return "", pass, err
	}
	phrase, err := s.console.ask(question{
		text: "Pass phrase for it (it is not shown)", hidden: true, help: "The one of this user on the devices, 8 characters or more.",
		check: func(text string) error {
			if len(text) < 8 {
				return errors.New("pass phrases of SNMP v3 have 8 characters or more")
			}
			return nil
		},
	})
	return config.ProtocolName(protocol), secretOf(phrase), err
}

// look searches and shows what is there.
func (s *initSession) look(x *search) (choice, error) {
	profile, err := profileChooser("")
	if err != nil {
		return 0, err
	}
	for {
		bar := newProgress(s.cmd, s.console == nil)
		x.found, err = discover.Scan(s.ctx, discover.Options{
			Networks: x.networks, Credentials: x.credentials, PerSecond: s.rate, Port: s.port, Retries: 1, Profile: profile,
			Progress: func(done, of uint64, devices int) { bar.scan(done, of, devices) },
		})
		bar.end()
		if err != nil {
			return 0, err
		}
		if len(x.found) > 0 {
			return goOn, s.show(x.found)
		}
		fmt.Fprintf(s.out, "  %-7s no device answers in %s\n", "FAILED", networksText(x.networks))
		fmt.Fprintf(s.out, "          check network and credential, that the devices let this machine ask, and that UDP port %d is open\n", s.port)
		if c, err := s.failed(); err != nil || c != tryAgain {
			if errors.Is(err, errBack) {
				return change, nil
			}
			return c, err
		}
	}
}

func networksText(networks []netip.Prefix) string {
	var texts []string
	for _, n := range networks {
		texts = append(texts, n.String())
	}
	return strings.Join(texts, ", ")
}

func (s *initSession) show(found []discover.Device) error {
	fmt.Fprintf(s.out, "  %-7s %s found\n", "ok", counted(len(found), "device"))
	var rows [][]string
	for _, d := range found {
		rows = append(rows, []string{"         ", d.Target(), oneLine(orDash(d.Name)), oneLine(d.Profile), firstRunes(oneLine(d.Description), 40)})
	}
	return printColumns(s.out, rows)
}

// keep adds what a search has found, with what was needed for it.
func (s *initSession) keep(x search) {
	a := &s.answers
	for _, n := range x.networks {
		if !slices.Contains(a.Networks, n) {
			a.Networks = append(a.Networks, n)
		}
	}
	for _, d := range x.found {
		if !slices.ContainsFunc(a.Devices, func(k discover.Device) bool { return k.Target() == d.Target() }) {
			a.Devices = append(a.Devices, d)
		}
	}
	a.Devices = discover.Merge(a.Devices)
	for _, c := range x.credentials {
		known := slices.ContainsFunc(a.Credentials, func(k probes.Credential) bool { return k.Name == c.Name })
		used := slices.ContainsFunc(a.Devices, func(d discover.Device) bool { return d.Credential == c.Name })
		if !known && (used || len(x.found) == 0) {
			a.Credentials = append(a.Credentials, c)
		}
	}
}
