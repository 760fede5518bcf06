package config

import (
	"maps"
	"slices"

	"github.com/edgehold/edgehold/probes"
)

// credential is one entry of `credentials`.
type credential struct {
	Version             snmpVersion `yaml:"version"`
	CommunityFile       string      `yaml:"community_file"`
	CommunityCredential string      `yaml:"community_credential"`
	CommunityEnv        string      `yaml:"community_env"`
	User                refused     `yaml:"user" refuse:"SNMPv3 is not supported by this version yet; write community_file: FILE for SNMPv2c"`
	Auth                refused     `yaml:"auth" refuse:"SNMPv3 is not supported by this version yet; write community_file: FILE for SNMPv2c"`
	AuthFile            refused     `yaml:"auth_file" refuse:"SNMPv3 is not supported by this version yet; write community_file: FILE for SNMPv2c"`
	Priv                refused     `yaml:"priv" refuse:"SNMPv3 is not supported by this version yet; write community_file: FILE for SNMPv2c"`
	PrivFile            refused     `yaml:"priv_file" refuse:"SNMPv3 is not supported by this version yet; write community_file: FILE for SNMPv2c"`
}

// snmpVersion is written 1 or 2c.
type snmpVersion probes.SNMPVersion

// UnmarshalText reads the version as people write it.
func (v *snmpVersion) UnmarshalText(b []byte) error {
	switch string(b) {
	case "1", "v1":
		*v = snmpVersion(probes.SNMPv1)
	case "2c", "v2c":
		*v = snmpVersion(probes.SNMPv2c)
	case "3", "v3":
		return harmless("SNMPv3 is not supported by this version yet; write 1 or 2c")
	default:
		return harmless("found another version than 1 and 2c")
	}
	return nil
}

func (c *checker) credentials(entries map[string]credential) map[string]probes.Credential {
	out := make(map[string]probes.Credential, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		out[name] = probes.Credential{Name: name} // it is named, whatever is wrong with it
		at := []string{"credentials", name}
		before := len(c.errs)
		if !keyShape.MatchString(name) {
			c.fault(Error{Found: "not a name", Expected: "letters, digits and _ . -"}, at...)
		}
		if c.inside[pathOf(at)] {
			continue
		}
		s := secretSource{name: "community", file: e.CommunityFile, credential: e.CommunityCredential, env: e.CommunityEnv}
		c.source(s, "community_file: /etc/edgehold/"+name+".community", at)
		if len(c.errs) > before {
			continue
		}
		out[name] = c.credential(s, e, at)
	}
	return out
}

func (c *checker) credential(s secretSource, e credential, at []string) probes.Credential {
	version := probes.SNMPv2c
	if e.Version != 0 {
		version = probes.SNMPVersion(e.Version)
	}
	if s.file != "" {
		s.file = c.file(s.file, under(at, "community_file")...)
	}
	secret, err := s.read()
	if err != nil {
		c.fault(Error{Found: err.Error()}, under(at, s.key())...)
	}
	return probes.Credential{Name: at[len(at)-1], Version: version, Community: secret}
}
