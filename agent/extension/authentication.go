package extension

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// authentication is how a device is asked, as the configuration writes it.
type authentication struct {
	at           value // of the whole object
	typ          value
	vault        bool
	user         value
	level        value
	authProtocol value
	privProtocol value
	community    secretText
	authPass     secretText
	privPass     secretText
}

// secretText is a pointer because fmt sees through unexported fields and would
// show the text; nil where there is none.
type secretText = *probes.Secret

// The words of the data source, in the order in which they are offered.
var (
	levelWords = []string{"NO_AUTH_NO_PRIV", "AUTH_NO_PRIV", "AUTH_PRIV"}
	authWords  = []string{"SHA256", "SHA512", "SHA384", "SHA224", "SHA", "MD5"}
	privWords  = []string{"AES", "AES192", "AES256", "AES192C", "AES256C", "DES"}
)

const minPhrase = 8 // RFC 3414

// authentication takes the secrets out of the tree at once. What it means is
// checked when the devices are asked for.
func (r *reader) authentication(v value, c *Configuration) authentication {
	o := r.object(v, authenticationKeys)
	a := authentication{at: v, vault: o.flag("useCredentialVault", false)}
	for _, f := range []struct {
		key string
		to  *value
	}{{"type", &a.typ}, {"userName", &a.user}, {"securityLevel", &a.level}, {"authProtocol", &a.authProtocol}, {"privProtocol", &a.privProtocol}} {
		o.text(f.key)
		*f.to, _ = o.get(f.key)
	}
	for _, f := range []struct {
		key string
		to  *secretText
	}{{"community", &a.community}, {"authPassword", &a.authPass}, {"privPassword", &a.privPass}} {
		text := o.text(f.key)
		if text != "" {
			secret := probes.NewSecret(text)
			*f.to = &secret
			c.secrets = c.secrets || !placeholder.MatchString(text) && !masked.MatchString(text)
		}
		if n := o.seen[f.key]; n != nil {
			n.text = ""
		}
	}
	return a
}

const (
	nameIt  = `"{{name}}" and a credential of that name in the agent's configuration`
	writeIt = "write the community itself, or " + nameIt
)

// credential makes sense of an authentication.
func (r *reader) credential(a *authentication, known map[string]probes.Credential) probes.Credential {
	l := lookup{r: r, a: a, known: known}
	made := probes.Credential{Name: "configuration", Version: l.version()}
	switch {
	case a.vault:
		l.fail("useCredentialVault", "the credential vault is in the environment and cannot be read from here; write the secrets themselves, or "+nameIt)
	case made.Version == 0: // said already
	case made.Version == probes.SNMPv3:
		return l.user(made)
	case a.community == nil:
		l.fail("community", "missing; "+writeIt)
	default:
		made.Community = l.secret("community", a.community, &made.Name)
	}
	return made
}

// lookup reads one authentication with the credentials that it may name.
type lookup struct {
	r     *reader
	a     *authentication
	known map[string]probes.Credential
}

func (l *lookup) fail(key, text string) { l.r.fail(l.a.at.node, join(l.a.at.path, key), text) }

// version reads the type of the authentication, 0 where it is not known.
func (l *lookup) version() probes.SNMPVersion {
	const expected = "expected SNMPv2c, SNMPv3 or SNMPv1"
	if l.a.typ.node == nil {
		l.fail("type", "missing, "+expected)
		return 0
	}
	switch strings.ToLower(l.a.typ.node.text) {
	case "snmpv1":
		return probes.SNMPv1
	case "snmpv2c":
		return probes.SNMPv2c
	case "snmpv3":
		return probes.SNMPv3
	}
	l.r.fail(l.a.typ.node, l.a.typ.path, "found another text, "+expected)
	return 0
}

// user reads a user of SNMP v3. One written {{name}} is the whole credential of
// that name.
func (l *lookup) user(made probes.Credential) probes.Credential {
	text := textOf(l.a.user)
	switch {
	case text == "":
		l.fail("userName", "missing, expected the name of a user, or "+nameIt)
		return made
	case strings.Contains(text, "{{"):
		return l.whole(text)
	case len(text) > 32:
		l.r.fail(l.a.user.node, l.a.user.path, "longer than 32 bytes, which no SNMP v3 user is")
	}
	made.User = text
	level := l.word(l.a.level, "securityLevel", levelWords)
	if level == "" {
		return made
	}
	auth, priv := level != "NO_AUTH_NO_PRIV", level == "AUTH_PRIV"
	if l.allowed(auth, level, "authProtocol", "authPassword") {
		made.Auth = probes.AuthProtocol(l.word(l.a.authProtocol, "authProtocol", authWords))
		made.AuthPass = l.phrase("authPassword", l.a.authPass)
	}
	if l.allowed(priv, level, "privProtocol", "privPassword") {
		made.Priv = probes.PrivProtocol(l.word(l.a.privProtocol, "privProtocol", privWords))
		made.PrivPass = l.phrase("privPassword", l.a.privPass)
	}
	return made
}

func textOf(v value) string {
	if v.node == nil {
		return ""
	}
	return strings.TrimSpace(v.node.text)
}

// allowed reports what the security level has no use for.
func (l *lookup) allowed(is bool, level, protocol, password string) bool {
	for _, key := range []string{protocol, password} {
		if n := l.a.at.field(key); !is && n != nil && n.kind != kindNull {
			l.r.fail(n, join(l.a.at.path, key), "not allowed at "+level+"; remove it, or choose a higher securityLevel")
		}
	}
	return is
}

// word reads one of some words, "" where it is none.
func (l *lookup) word(v value, key string, words []string) string {
	expected := "expected " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	text := strings.ToUpper(textOf(v))
	switch {
	case text == "":
		l.fail(key, "missing, "+expected)
		return ""
	case !slices.Contains(words, text):
		l.r.fail(v.node, v.path, "found another text, "+expected+suggest(text, words))
		return ""
	}
	return text
}

// phrase reads a pass phrase that is long enough for SNMP v3.
func (l *lookup) phrase(key string, given secretText) probes.Secret {
	if given == nil {
		l.fail(key, "missing; write the pass phrase itself, or "+nameIt)
		return probes.Secret{}
	}
	var name string
	secret := l.secret(key, given, &name)
	if !secret.IsZero() && len(secret.Reveal()) < minPhrase {
		l.fail(key, "fewer than 8 characters, which SNMP v3 does not allow; give the user of the device a longer pass phrase")
	}
	return secret
}

// secret is the secret itself, or the one of the credential that it names.
func (l *lookup) secret(key string, given secretText, name *string) probes.Secret {
	switch text := given.Reveal(); {
	case masked.MatchString(text):
		l.fail(key, "found a masked secret, the environment does not give secrets out; write the "+secretWord(key)+" itself, or "+nameIt)
		return probes.Secret{}
	case !strings.Contains(text, "{{"):
		return *given
	}
	match := placeholder.FindStringSubmatch(given.Reveal())
	if match == nil {
		l.fail(key, "found {{ in another text, expected {{name}} alone or a "+secretWord(key))
		return probes.Secret{}
	}
	credential, ok := l.named(key, match[1])
	secret := map[string]probes.Secret{
		"community": credential.Community, "authPassword": credential.AuthPass, "privPassword": credential.PrivPass,
	}[key]
	if ok && secret.IsZero() {
		l.fail(key, "the credential "+strconv.Quote(match[1])+" has no "+secretWord(key))
	}
	*name = match[1]
	return secret
}

func secretWord(key string) string {
	if key == "community" {
		return key
	}
	return "pass phrase for this"
}

// whole is a credential of SNMP v3 by its name.
func (l *lookup) whole(text string) probes.Credential {
	match := placeholder.FindStringSubmatch(text)
	if match == nil {
		l.fail("userName", "found {{ in another text, expected {{name}} alone or the name of a user")
		return probes.Credential{}
	}
	credential, ok := l.named("userName", match[1])
	if ok && credential.Version != probes.SNMPv3 {
		l.fail("userName", "the credential "+strconv.Quote(match[1])+" has no SNMP v3 user")
	}
	return credential
}

// named looks up a credential.
func (l *lookup) named(key, name string) (probes.Credential, bool) {
	credential, ok := l.known[name]
	switch {
	case !ok && len(l.known) == 0:
		l.fail(key, "no credential is named "+strconv.Quote(name)+"; add it under credentials in the agent's configuration")
	case !ok:
		names := slices.Sorted(maps.Keys(l.known))
		l.fail(key, "no credential is named "+strconv.Quote(name)+", expected one of "+strings.Join(names, ", "))
	}
	return credential, ok
}
