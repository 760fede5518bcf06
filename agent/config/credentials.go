package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// credential is one entry of `credentials`: a community, a user of SNMP v3, or a
// password or token of an endpoint.
type credential struct {
	Version             snmpVersion `yaml:"version"`
	CommunityFile       string      `yaml:"community_file"`
	CommunityCredential string      `yaml:"community_credential"`
	CommunityEnv        string      `yaml:"community_env"`
	User                string      `yaml:"user"`
	Auth                string      `yaml:"auth"`
	AuthFile            string      `yaml:"auth_file"`
	AuthCredential      string      `yaml:"auth_credential"`
	AuthEnv             string      `yaml:"auth_env"`
	Priv                string      `yaml:"priv"`
	PrivFile            string      `yaml:"priv_file"`
	PrivCredential      string      `yaml:"priv_credential"`
	PrivEnv             string      `yaml:"priv_env"`
	Context             string      `yaml:"context"`
	PasswordFile        string      `yaml:"password_file"`
	PasswordCredential  string      `yaml:"password_credential"`
	PasswordEnv         string      `yaml:"password_env"`
	TokenFile           string      `yaml:"token_file"`
	TokenCredential     string      `yaml:"token_credential"`
	TokenEnv            string      `yaml:"token_env"`
}

var (
	communityKeys = []string{"community_file", "community_credential", "community_env"}
	authKeys      = []string{"auth", "auth_file", "auth_credential", "auth_env"}
	privKeys      = []string{"priv", "priv_file", "priv_credential", "priv_env"}
	passwordKeys  = []string{"password_file", "password_credential", "password_env"}
	tokenKeys     = []string{"token_file", "token_credential", "token_env"}
	authWords     = []string{"SHA256", "SHA512", "SHA384", "SHA224", "SHA", "MD5"}
	privWords     = []string{"AES", "AES192", "AES256", "AES192C", "AES256C", "DES"}
)

// Bounds of RFC 3414.
const (
	minPhrase = 8
	maxUser   = 32
)

// snmpVersion is written 1, 2c or 3.
type snmpVersion probes.SNMPVersion

// UnmarshalText reads the version as people write it.
func (v *snmpVersion) UnmarshalText(b []byte) error {
	switch string(b) {
	case "1", "v1":
		*v = snmpVersion(probes.SNMPv1)
	case "2c", "v2c":
		*v = snmpVersion(probes.SNMPv2c)
	case "3", "v3":
		*v = snmpVersion(probes.SNMPv3)
	default:
		return harmless("found another version than 1, 2c and 3")
	}
	return nil
}

func (c *checker) credentials(entries map[string]credential) map[string]probes.Credential {
	out := make(map[string]probes.Credential, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		at := []string{"credentials", name}
		if !keyShape.MatchString(name) {
			c.fault(Error{Found: "not a name", Expected: "letters, digits and _ . -"}, at...)
		}
		out[name] = probes.Credential{Name: name} // it is named, whatever is wrong with it
		if c.inside[pathOf(at)] {
			continue
		}
		if key := c.anyOf(at, slices.Concat(passwordKeys, tokenKeys)); key != "" {
			out[name] = c.password(entries[name], key, at)
			continue
		}
		switch version := c.snmpVersion(entries[name], at); version {
		case 0:
		case probes.SNMPv3:
			out[name] = c.user(entries[name], at)
		default:
			out[name] = c.community(entries[name], version, at)
		}
	}
	return out
}

// password reads the password or token of an endpoint.
func (c *checker) password(e credential, key string, at []string) probes.Credential {
	s := secretSource{name: "password", file: e.PasswordFile, credential: e.PasswordCredential, env: e.PasswordEnv}
	others := slices.Concat([]string{"version", "user", "context"}, communityKeys, authKeys, privKeys)
	if slices.Contains(tokenKeys, key) {
		s = secretSource{name: "token", file: e.TokenFile, credential: e.TokenCredential, env: e.TokenEnv}
	} else {
		others = append(others, tokenKeys...)
	}
	if other := c.anyOf(at, others); other != "" {
		c.fault(Error{
			Found: key + " and " + other + " are given", Expected: "a password or a token alone, for endpoints of http and Prometheus",
			Mend: "make two credentials of it",
		}, under(at, other)...)
	}
	return probes.Credential{Name: at[len(at)-1], Password: c.secret(s, key+": /etc/edgehold/"+at[len(at)-1]+"."+s.name, at)}
}

// forSNMP lists the credentials that are no password of an endpoint.
func forSNMP(all map[string]probes.Credential) []string {
	var names []string
	for _, name := range namesOf(all) {
		if all[name].Password.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// snmpVersion is the version that is given, or that follows from the keys, 0
// where they contradict each other.
func (c *checker) snmpVersion(e credential, at []string) probes.SNMPVersion {
	secure := c.anyOf(at, slices.Concat([]string{"user", "context"}, authKeys, privKeys))
	community := c.anyOf(at, communityKeys)
	version := probes.SNMPVersion(e.Version)
	switch {
	case secure != "" && community != "":
		c.fault(Error{
			Found: secure + " and " + community + " are given", Expected: "a user for SNMP v3, or a community for v1 and v2c",
			Mend: "make two credentials of it",
		}, under(at, secure)...)
	case secure != "" && version != 0 && version != probes.SNMPv3:
		c.fault(Error{Found: secure + " is of SNMP v3", Mend: "remove `version` or " + secure}, under(at, secure)...)
	case community != "" && version == probes.SNMPv3:
		c.fault(Error{Found: community + " is of SNMP v1 and v2c", Mend: "for v3 write `user`"}, under(at, community)...)
	case version != 0:
		return version
	case secure != "":
		return probes.SNMPv3
	default:
		return probes.SNMPv2c
	}
	return 0
}

// anyOf is the first of the keys that is given, or "".
func (c *checker) anyOf(at, keys []string) string {
	i := slices.IndexFunc(keys, func(key string) bool { return c.given(under(at, key)...) })
	if i < 0 {
		return ""
	}
	return keys[i]
}

func (c *checker) community(e credential, version probes.SNMPVersion, at []string) probes.Credential {
	name := at[len(at)-1]
	s := secretSource{name: "community", file: e.CommunityFile, credential: e.CommunityCredential, env: e.CommunityEnv}
	return probes.Credential{Name: name, Version: version, Community: c.secret(s, "community_file: /etc/edgehold/"+name+".community, or for SNMP v3 user: edgehold", at)}
}

// secret reads a secret from where it is.
func (c *checker) secret(s secretSource, example string, at []string) probes.Secret {
	before := len(c.errs)
	c.source(s, example, at)
	if len(c.errs) > before {
		return probes.Secret{}
	}
	if s.file != "" {
		s.file = c.file(s.file, under(at, s.key())...)
	}
	secret, err := s.read()
	if err != nil {
		c.fault(Error{Found: err.Error()}, under(at, s.key())...)
	}
	return secret
}

// user reads a user of SNMP v3, whose security level follows from what is given.
func (c *checker) user(e credential, at []string) probes.Credential {
	made := probes.Credential{Name: at[len(at)-1], Version: probes.SNMPv3, User: e.User, Context: e.Context}
	switch {
	case e.User == "":
		c.need("user: edgehold", under(at, "user")...)
	case len(e.User) > maxUser:
		c.fault(Error{Found: "is longer than 32 bytes, which no SNMP v3 user is"}, under(at, "user")...)
	}
	auth, priv := c.anyOf(at, authKeys), c.anyOf(at, privKeys)
	if auth != "" {
		s := secretSource{name: "auth", what: "pass phrase", file: e.AuthFile, credential: e.AuthCredential, env: e.AuthEnv}
		made.Auth = probes.AuthProtocol(c.protocol(e.Auth, authWords, under(at, "auth")))
		made.AuthPass = c.phrase(s, at)
	}
	switch {
	case priv != "" && auth == "":
		c.fault(Error{
			Found: "SNMP v3 does not encrypt without authentication",
			Mend:  "write auth: SHA256 and auth_file: FILE too, or remove " + priv,
		}, under(at, priv)...)
	case priv != "":
		s := secretSource{name: "priv", what: "pass phrase", file: e.PrivFile, credential: e.PrivCredential, env: e.PrivEnv}
		made.Priv = probes.PrivProtocol(c.protocol(e.Priv, privWords, under(at, "priv")))
		made.PrivPass = c.phrase(s, at)
	case auth == "" && e.User != "":
		c.warn("neither signed nor encrypted: anybody on the way can read and forge what the device says; give auth and auth_file", under(at, "user")...)
	}
	return made
}

// ProtocolName is the name of a protocol of SNMP v3, also of one as other
// programs write it: sha-256, AES128.
func ProtocolName(text string) string {
	name := strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(text))
	switch name {
	case "SHA1":
		return "SHA"
	case "AES128":
		return "AES"
	}
	return name
}

// protocol reads the name of one of the words.
func (c *checker) protocol(text string, words, keys []string) string {
	name := ProtocolName(text)
	switch {
	case text == "":
		c.need(keys[len(keys)-1]+": "+words[0], keys...)
	case !slices.Contains(words, name):
		c.fault(Error{Found: "not a protocol that is known", Expected: "one of " + strings.Join(words, ", "), Nearest: nearest(name, words)}, keys...)
	}
	return name
}

// phrase reads a pass phrase that is long enough for SNMP v3.
func (c *checker) phrase(s secretSource, at []string) probes.Secret {
	secret := c.secret(s, s.name+"_file: /etc/edgehold/"+at[len(at)-1]+"."+s.name, at)
	if !secret.IsZero() && len(secret.Reveal()) < minPhrase {
		c.fault(Error{
			Found: "the pass phrase there has fewer than 8 characters, which SNMP v3 does not allow",
			Mend:  "give the user of the device a longer one and write it there",
		}, under(at, s.key())...)
	}
	return secret
}
