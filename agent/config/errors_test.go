package config

import (
	"os"
	"strings"
	"testing"
)

const (
	site   = "site: plant-7\n"
	target = "uplink: {dynatrace: {url: https://h.example, token_file: token}}\n"
)

// Each case is a file and all its errors, word by word.
var badFiles = []struct{ name, text, want string }{
	{"empty file", "", `
edgehold.yaml:1:1: nothing is configured yet; run ` + "`sudo edgehold init`, or write at least `site:` and `uplink:`"},
	{"only comments", "# site: x\n---\n", `
edgehold.yaml:1:1: nothing is configured yet; run ` + "`sudo edgehold init`, or write at least `site:` and `uplink:`"},
	{"nothing of what is needed", "\n\nlog: {level: info}\n", `
edgehold.yaml:3:1: site: missing; write e.g. site: plant-7
edgehold.yaml:3:1: uplink: missing; write e.g. uplink: {dynatrace: {url: https://abc12345.live.dynatrace.com, token_file: /etc/edgehold/token}}`},
	{"misspelt keys", "sitte: x\nuplink:\n  dynatrace:\n    urll: https://h\n    token-file: t\nbufer: {}\nzzz: 1\n", `
edgehold.yaml:1:1: sitte: unknown key; did you mean "site"?
edgehold.yaml:4:5: uplink.dynatrace.urll: unknown key; did you mean "url"?
edgehold.yaml:5:5: uplink.dynatrace.token-file: unknown key; did you mean "token_file"?
edgehold.yaml:6:1: bufer: unknown key; did you mean "buffer"?
edgehold.yaml:7:1: zzz: unknown key, expected one of site, site_dimension, dimensions, state_dir, socket, uplink, relay, clock, buffer, trust, credentials, extensions, probes, profiles, mibs, discovery, privacy_file, outputs, polling, log`},
	{"wrong types", site + target + `buffer: {max_size: 1 Gb, commit_interval: 10}
trust: {allow_unsigned: yes}
polling: {max_in_flight: "64"}
dimensions: [a]
credentials: x
extensions: {package: p}
log: info
`, `
edgehold.yaml:3:20: buffer.max_size: "1 Gb" is not a size, expected a number and a unit such as 256MiB or 1GiB
edgehold.yaml:3:43: buffer.commit_interval: "10" is not a duration, expected a number and a unit such as 10s, 1m or 7d
edgehold.yaml:4:25: trust.allow_unsigned: found the text "yes", expected true or false
edgehold.yaml:5:26: polling.max_in_flight: found the text "64", expected a whole number
edgehold.yaml:6:13: dimensions: found a list, expected a map (key: value)
edgehold.yaml:7:14: credentials: found a text, expected a map (key: value)
edgehold.yaml:8:13: extensions: found a map, expected a list ([one, two])
edgehold.yaml:9:6: log: found the text "info", expected a map (key: value)`},
	{"unquoted texts", target + "site: 0123\ndimensions: {a: 7, b: 1.10, c: true, d: 2026-01-01, e: no, f: on, g: , h: [x], i: !x y}\n", `
edgehold.yaml:2:7: site: found the number 0123, expected a text; write "0123", in quotes
edgehold.yaml:3:17: dimensions.a: found the number 7, expected a text; write "7", in quotes
edgehold.yaml:3:23: dimensions.b: found the number 1.10, expected a text; write "1.10", in quotes
edgehold.yaml:3:32: dimensions.c: found the truth value true, expected a text; write "true", in quotes
edgehold.yaml:3:41: dimensions.d: found the date 2026-01-01, expected a text; write "2026-01-01", in quotes
edgehold.yaml:3:70: dimensions.g: found nothing, expected a text
edgehold.yaml:3:75: dimensions.h: found a list, expected a text
edgehold.yaml:3:83: dimensions.i: found the text y, expected a text`},
	{"numbers", site + target + "probes:\n  - {kind: snmp, devices: [a], port: 70000, factor: .nan, labels: {a: 010, b: 1.5, c: -3}}\n  - {kind: snmp, devices: [a], port: -1, factor: x}\n", `
edgehold.yaml:4:38: probes[0].port: found the number "70000", expected a whole number, not negative
edgehold.yaml:4:53: probes[0].factor: found the number ".nan", expected a number
edgehold.yaml:4:71: probes[0].labels.a: found the number "010", expected a whole number
edgehold.yaml:4:79: probes[0].labels.b: found the number "1.5", expected a whole number
edgehold.yaml:5:38: probes[1].port: found the number "-1", expected a whole number, not negative
edgehold.yaml:5:50: probes[1].factor: found the text "x", expected a number`},
	{"duplicate keys", site + "site: x\n" + target + "log: {level: info, level: debug}\n", `
edgehold.yaml:2:1: site: given twice, first in line 1; remove one of them
edgehold.yaml:4:20: log.level: given twice, first in line 4; remove one of them`},
	{"alias without its anchor", site + "credentials: {a: {community_file: *hunter2}}\n", `
edgehold.yaml:2: an alias without its anchor; quote a value that begins with *`},
	{"keys that are no texts", site + target + "? [a]\n: 1\n~: 2\n<<: 3\n", `
edgehold.yaml:3:3: a key that is no plain text
edgehold.yaml:5:1: a key that is no plain text
edgehold.yaml:6:1: a merge key that does not name maps, expected <<: *anchor`},
	{"anchor in itself", site + target + "extensions: &a [*a]\n", `
edgehold.yaml:3:13: extensions[0]: an anchor whose value contains itself`},
	{"not a map", "- site: x\n", `
edgehold.yaml:1:1: found a list, expected a map (key: value); begin with ` + "`site: NAME`"},
	{"one text", "site:plant-7\n", `
edgehold.yaml:1:1: found a single value, expected a map (key: value); begin with ` + "`site: NAME`"},
	{"colon without a blank", site + "uplink:\n  dynatrace:\n    url:https://h\n", `
edgehold.yaml:4:5: uplink.dynatrace: found the text "url:https://h", expected a map (key: value); where this is a key and its value, put a space after the colon`},
	{"two documents", good + "---\nsite: y\n", `
edgehold.yaml:4: a second document, expected one document; remove the line ` + "`---`" + `, or put the rest into a file in config.d`},
	{"tab", "site: x\nuplink:\n\tdynatrace: {}\n", `
edgehold.yaml:3: a tab; indent with spaces only`},
	{"tab below", "site: x\n\tfoo: 1\n", `
edgehold.yaml:2: a tab; indent with spaces only`},
	{"colons", "a: 1\nb: c: d\n", `
edgehold.yaml:2: a colon where none can be; write one "key: value" a line, indent keys of one map alike, and quote a value that holds ": "`},
	{"no colon", "a: 1\nb\nc: 2\n", `
edgehold.yaml:2: a line that is no key with a value; write "key: value", with a space after the colon`},
	{"open quote", "a: 1\nb: 'x\nc: 2\n", `
edgehold.yaml:2: a quote that is never closed; close it`},
	{"open brace", "a: 1\n\nb: {x: 1\nc: 2\n", `
edgehold.yaml:3: a map in braces that is never closed, or lacks a comma; write {key: value, key: value}`},
	{"open bracket in the first line", "a: [1\nb: 1\n", `
edgehold.yaml:2: a list in brackets that is never closed, or lacks a comma; write [one, two]`},
	{"backquote", "a: 1\nb: `x`\n", `
edgehold.yaml:2: a value that begins with a sign of YAML; quote a value that begins with @, % or a backquote`},
	{"not UTF-8", "a: 1\nb: \xfcx\n", `
edgehold.yaml:2: bytes that are not UTF-8; save the file as UTF-8`},
	{"control character", "a: 1\n\nb: \x01\n", `
edgehold.yaml:3: a control character; remove it`},
	{"list that begins behind its key", "a: - 1\n", `
edgehold.yaml:1: a list that begins behind its key; begin the list on the next line, each item with "- "`},
	{"yaml version", "%YAML 3.0\n---\na: 1\n", `
edgehold.yaml:1: not valid YAML (found incompatible YAML document)`},
	{"too deep", "site: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n" + target, `
edgehold.yaml:1:7: site: found a list, expected a text
edgehold.yaml:1:39: site[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested deeper than 32 levels`},
	{"secrets", site + `uplink:
  dynatrace: {url: https://h.example, token: dt0c01.AAAA.BBBB}
credentials:
  a: {community: public}
  b: {communty: public}
  c: {hunter2: }
  d: {community:public}
  e: {auth_password: hunter2}
  f: [hunter2]
  g: {hunter2: x, hunter2: y}
probes:
  - {kind: snmp, devices: [h], community: public}
  - {kind: http_check, password: hunter2}
`, `
edgehold.yaml:3:39: uplink.dynatrace.token: a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `token_file: FILE`" + `
edgehold.yaml:5:7: credentials.a.community: a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `community_file: FILE`" + `
edgehold.yaml:6:7: credentials.b.(key): a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `community_file: FILE`" + `
edgehold.yaml:7:7: credentials.c.(key): unknown key, expected one of version, community_file, community_credential, community_env, user, auth, auth_file, auth_credential, auth_env, priv, priv_file, priv_credential, priv_env, context, password_file, password_credential, password_env, token_file, token_credential, token_env
edgehold.yaml:8:7: credentials.d.community: a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `community_file: FILE`" + `
edgehold.yaml:9:7: credentials.e.auth_password: a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `auth_file: FILE`" + `
edgehold.yaml:10:6: credentials.f: found a list, expected a map (key: value)
edgehold.yaml:11:7: credentials.g.(key): unknown key, expected one of version, community_file, community_credential, community_env, user, auth, auth_file, auth_credential, auth_env, priv, priv_file, priv_credential, priv_env, context, password_file, password_credential, password_env, token_file, token_credential, token_env
edgehold.yaml:11:19: credentials.g.(key): given twice, first in line 11; remove one of them
edgehold.yaml:13:32: probes[0].community: a secret must not stand in the configuration; put it into a file that only the agent can read, name the file under ` + "`credentials:` at the top, and list that credential here in `credentials: [NAME]`" + `
edgehold.yaml:14:24: probes[1].password: a secret must not stand in the configuration; put it into a file that only the agent can read (chmod 600 FILE)`},
	{"secrets where their place should be", site + `uplink:
  dynatrace: {url: https://h.example, token_file: dt0c01.AAAA.BBBB}
credentials:
  a: {community_file: hunter2}
  b: {community_env: hunter-2}
  c: {community_env: hunter2}
  d: {community_credential: hunter2}
  e: {community_file: /hunter2}
  f: {community_file: no/such/hunter2}
  g: {version: hunter2}
  h: {community_file: 2000}
`, `
edgehold.yaml:3:51: uplink.dynatrace.token_file: not the name of a file; name where the token is to be read, not the token itself
edgehold.yaml:5:23: credentials.a.community_file: no such file in DIR; write the secret into a file, run ` + "`chmod 600` on it and name it here" + `
edgehold.yaml:6:22: credentials.b.community_env: not the name of an environment variable; name where the community is to be read, not the community itself
edgehold.yaml:7:22: credentials.c.community_env: the environment variable it names is empty; write the secret there, on one line
edgehold.yaml:8:29: credentials.d.community_credential: the agent was started without credentials; add LoadCredential=NAME:FILE to its systemd unit
edgehold.yaml:9:23: credentials.e.community_file: no such file; write the secret into a file, run ` + "`chmod 600` on it and name it here" + `
edgehold.yaml:10:23: credentials.f.community_file: no such file; write the secret into a file, run ` + "`chmod 600` on it and name it here" + `
edgehold.yaml:11:16: credentials.g.version: found another version than 1, 2c and 3
edgehold.yaml:12:23: credentials.h.community_file: found a number, expected a text; put it in quotes`},
	{"mqtt without what it needs", site + "uplink: {mqtt: {url: x}}\n", `
edgehold.yaml:2:16: uplink.mqtt.brokers: missing; write e.g. brokers: [mqtts://broker.example.com:8883]
edgehold.yaml:2:17: uplink.mqtt.url: unknown key, expected one of brokers, prefix, ca_file, cert_file, key_file, user, password_file, password_credential, password_env, block_size, codec`},
	{"no uplink in uplink", site + "uplink: {}\n", `
edgehold.yaml:2:9: uplink.dynatrace: missing; write e.g. uplink: {dynatrace: {url: https://abc12345.live.dynatrace.com, token_file: /etc/edgehold/token}}`},
	{"empty uplink", site + "uplink: {dynatrace: {ca_file: ''}}\n", `
edgehold.yaml:2:21: uplink.dynatrace.url: missing; write e.g. url: https://abc12345.live.dynatrace.com
edgehold.yaml:2:21: uplink.dynatrace.token_file: missing; write e.g. token_file: /etc/edgehold/token
edgehold.yaml:2:31: uplink.dynatrace.ca_file: is empty, expected a path; remove the key or write a path`},
	{"two token sources", site + "uplink: {dynatrace: {url: https://h.example, token_file: x, token_env: X}}\n", `
edgehold.yaml:2:72: uplink.dynatrace.token_env: token_file and token_env are given, expected one of them`},
	{"SNMPv3", site + target + `credentials:
  a: {user: u, auth: SHA3, auth_file: short, priv: AES-512, priv_file: none}
  b: {user: u, priv: AES, priv_file: short}
  c: {version: 3, auth_env: NOT-A-NAME}
  d: {version: 3, community_file: short}
  e: {version: 2c, user: u}
  f: {user: u, community_env: X}
  g: {user: u, auth: BLOWFISH}
  h: {user: uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu, auth: sha_256, auth_file: short, auth_passphrase: hunter2}
  i: {version: 4}
  j:
`, `
edgehold.yaml:4:22: credentials.a.auth: not a protocol that is known, expected one of SHA256, SHA512, SHA384, SHA224, SHA, MD5; did you mean "SHA"?
edgehold.yaml:4:39: credentials.a.auth_file: no such file in DIR; write the secret into a file, run ` + "`chmod 600`" + ` on it and name it here
edgehold.yaml:4:52: credentials.a.priv: not a protocol that is known, expected one of AES, AES192, AES256, AES192C, AES256C, DES; did you mean "AES192"?
edgehold.yaml:4:72: credentials.a.priv_file: no such file in DIR; write the secret into a file, run ` + "`chmod 600`" + ` on it and name it here
edgehold.yaml:5:22: credentials.b.priv: SNMP v3 does not encrypt without authentication; write auth: SHA256 and auth_file: FILE too, or remove priv
edgehold.yaml:6:6: credentials.c.user: missing; write e.g. user: edgehold
edgehold.yaml:6:6: credentials.c.auth: missing; write e.g. auth: SHA256
edgehold.yaml:6:29: credentials.c.auth_env: not the name of an environment variable; name where the pass phrase is to be read, not the pass phrase itself
edgehold.yaml:7:35: credentials.d.community_file: community_file is of SNMP v1 and v2c; for v3 write ` + "`user`" + `
edgehold.yaml:8:26: credentials.e.user: user is of SNMP v3; remove ` + "`version`" + ` or user
edgehold.yaml:9:13: credentials.f.user: user and community_env are given, expected a user for SNMP v3, or a community for v1 and v2c; make two credentials of it
edgehold.yaml:10:6: credentials.g.auth_file: missing; write e.g. auth_file: /etc/edgehold/g.auth
edgehold.yaml:10:22: credentials.g.auth: not a protocol that is known, expected one of SHA256, SHA512, SHA384, SHA224, SHA, MD5
edgehold.yaml:11:81: credentials.h.auth_passphrase: a secret must not stand in the configuration; put it into a file, run ` + "`chmod 600 FILE` and write `auth_file: FILE`" + `
edgehold.yaml:12:16: credentials.i.version: found another version than 1, 2c and 3
edgehold.yaml:13:3: credentials.j.community_file: missing; write e.g. community_file: /etc/edgehold/j.community, or for SNMP v3 user: edgehold`},
	{"ranges", site + target + `buffer: {max_size: 10kB, commit_interval: -1s, late: dropped, late_resolution: 2m}
polling: {max_in_flight: 0}
log: {level: inf, format: xml}
dimensions: {Rack: a, site: b, ok: " x", empty: "", long: ` + strings.Repeat("ü", 251) + `}
socket: /` + strings.Repeat("s", 107) + `
state_dir: "a\0b"
extensions:
  - {package: generic, configuration: c.json, interval: 500ms, identity: sites}
  - {package: "com.acme.x@1", configuration: c.json}
  - {}
`, `
edgehold.yaml:3:20: buffer.max_size: found 10000B, expected 1MiB or more
edgehold.yaml:3:43: buffer.commit_interval: found -1s, expected 0 (commit every batch) to 10m
edgehold.yaml:3:54: buffer.late: found the text "dropped", expected one of archive, logs, drop
edgehold.yaml:3:80: buffer.late_resolution: found 2m0s, expected one of 1m, 5m, 1h
edgehold.yaml:4:26: polling.max_in_flight: found 0, expected 1 to 4096
edgehold.yaml:5:14: log.level: found the text "inf", expected one of debug, info, warn, error; did you mean "info"?
edgehold.yaml:5:27: log.format: found the text "xml", expected one of text, json
edgehold.yaml:6:20: dimensions.Rack: not a dimension key, expected at most 100 of a-z, 0-9 and _ . : -, beginning with a letter; write it in lower case without blanks
edgehold.yaml:6:29: dimensions.site: given twice: the key site at the top makes this dimension; remove it here, or write site_dimension: false
edgehold.yaml:6:36: dimensions.ok: holds control characters, or blanks at its ends; remove them
edgehold.yaml:6:49: dimensions.empty: is empty, expected a text; remove the key or write a text
edgehold.yaml:6:59: dimensions.long: is longer than 250 characters; shorten it
edgehold.yaml:7:9: socket: the path of the socket is 108 bytes long, expected at most 107; choose a shorter one such as /run/edgehold/control.sock
edgehold.yaml:8:12: state_dir: holds control characters, expected a path
edgehold.yaml:10:57: extensions[0].interval: found 500ms, expected 1s to 7d
edgehold.yaml:10:74: extensions[0].identity: found the text "sites", expected one of address, site; did you mean "site"?
edgehold.yaml:12:5: extensions[2].package: missing; write e.g. package: /etc/edgehold/extensions/generic.zip
edgehold.yaml:12:5: extensions[2].configuration: missing; write e.g. configuration: /etc/edgehold/extensions/generic.json`},
	{"trust", site + target + `trust:
  roots: ""
  vendor: x
  require_category: true
  categories: {}
`, `
edgehold.yaml:4:10: trust.roots: is empty, expected a path; remove the key or write a path
edgehold.yaml:5:3: trust.vendor: unknown key, expected one of roots, vendor_roots, timestamp_roots, allow_unsigned, require_category, categories
edgehold.yaml:6:21: trust.require_category: there are no categories, so no signed package would run; write trust.categories, or remove this key`},
	{"categories", site + target + `trust:
  categories:
    a b: {units: [x]}
    network:
      certificates: [ab:cd, "0x12"]
      units: [" x", ""]
      data_sources: [snmp, ""]
      addresses: [192.0.2.0/33, 10.0.0.0/8]
      oids: [iso.3, "1.3.6", 1.3..1]
      hosts: ["*", a..b, "*.example.com", "a b"]
      local_devices: no
      limit: 1
    empty:
      addresses: []
`, `
edgehold.yaml:5:10: trust.categories.(key): not the name of a category, expected at most 64 letters, digits and _ . -
edgehold.yaml:7:22: trust.categories.network.certificates[0]: not the SHA-256 fingerprint of a certificate, expected 64 hex digits; print it with ` + "`openssl x509 -in CERTIFICATE -noout -fingerprint -sha256`" + `
edgehold.yaml:7:29: trust.categories.network.certificates[1]: not the SHA-256 fingerprint of a certificate, expected 64 hex digits; print it with ` + "`openssl x509 -in CERTIFICATE -noout -fingerprint -sha256`" + `
edgehold.yaml:8:15: trust.categories.network.units[0]: is empty, or has blanks at its ends, expected an organizational unit (OU) of a certificate
edgehold.yaml:8:21: trust.categories.network.units[1]: is empty, or has blanks at its ends, expected an organizational unit (OU) of a certificate
edgehold.yaml:9:28: trust.categories.network.data_sources[1]: not the name of a data source, expected one such as snmp
edgehold.yaml:10:19: trust.categories.network.addresses[0]: "192.0.2.0/33" is not a network, expected one such as 192.0.2.0/24
edgehold.yaml:11:14: trust.categories.network.oids[0]: not an object identifier, expected one such as 1.3.6.1.2.1
edgehold.yaml:11:30: trust.categories.network.oids[2]: not an object identifier, expected one such as 1.3.6.1.2.1
edgehold.yaml:12:15: trust.categories.network.hosts[0]: not the name of a host, expected one such as app.example.com or *.example.com
edgehold.yaml:12:20: trust.categories.network.hosts[1]: not the name of a host, expected one such as app.example.com or *.example.com
edgehold.yaml:12:43: trust.categories.network.hosts[3]: not the name of a host, expected one such as app.example.com or *.example.com
edgehold.yaml:13:22: trust.categories.network.local_devices: found the text "no", expected true or false
edgehold.yaml:14:7: trust.categories.network.limit: unknown key, expected one of certificates, units, data_sources, addresses, oids, hosts, local_devices
edgehold.yaml:16:18: trust.categories.empty.addresses: the list is empty, which would limit nothing; remove the key, or name what is allowed`},
	{"probes", site + target + `probes:
  - snmp
  - {devices: [a]}
  - {kind: smnp}
  - {kind: toaster}
  - {kind: 7}
  - {kind: snmp, device: [a]}
  - {kind: snmp, devices: a, interval: soon}
  - {kind: snmp, devices: [a, 7, "b c"], nested: {depp: true}}
  - {kind: snmp, devices: ["x y", b], interval: 1ms}
  - {kind: snmp}
`, `
edgehold.yaml:4:5: probes[0]: found the text "snmp", expected a map such as {kind: snmp, ...}
edgehold.yaml:5:5: probes[1].kind: missing; write e.g. kind: snmp, kind: http_check
edgehold.yaml:6:12: probes[2].kind: unknown kind "smnp"; did you mean "snmp"?
edgehold.yaml:7:12: probes[3].kind: unknown kind "toaster", expected one of snmp, http_check
edgehold.yaml:8:12: probes[4].kind: found the number 7, expected a text; write "7", in quotes
edgehold.yaml:9:18: probes[5].device: unknown key; did you mean "devices"?
edgehold.yaml:10:27: probes[6].devices: found the text "a", expected a list ([one, two])
edgehold.yaml:10:40: probes[6].interval: "soon" is not a duration, expected a number and a unit such as 10s, 1m or 7d
edgehold.yaml:11:31: probes[7].devices[1]: found the number 7, expected a text; write "7", in quotes
edgehold.yaml:11:51: probes[7].nested.depp: unknown key; did you mean "deep"?
edgehold.yaml:12:5: probes[8]: too often: wait a second
edgehold.yaml:12:28: probes[8].devices[0]: not an address
edgehold.yaml:13:5: probes[9].devices: empty, expected at least one`},
}

func TestBadFiles(t *testing.T) {
	for _, tt := range badFiles {
		t.Run(tt.name, func(t *testing.T) {
			folder(t, map[string]string{"edgehold.yaml": tt.text, "x": "c"})
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(errorsOf(t, "edgehold.yaml").Error(), here, "DIR")
			if want := strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestBadFilesTogether(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml":   site + "log: {level: info}\nbuffer: 1\n",
		"config.d/a.yaml": "log: {level: debug}\nprobes: 7\nsitee: 1\n",
		"config.d/b.yaml": "uplink: {dynatrace: {url: https://h.example\n",
		"config.d/c.yaml": "probes: [{kind: snmp}]\n",
	})
	if err := os.Symlink("nowhere", "config.d/d.yaml"); err != nil {
		t.Fatal(err)
	}
	want := `config.d/d.yaml: no such file; write one that holds at least ` + "`site:` and `uplink:`" + `, or name another with --config FILE
edgehold.yaml:3:9: buffer: found the number "1", expected a map (key: value)
config.d/a.yaml:1:14: log.level: given twice, first at edgehold.yaml:2:14; remove one of them
config.d/a.yaml:2:9: probes: found the number "7", expected a list ([one, two])
config.d/a.yaml:3:1: sitee: unknown key; did you mean "site"?
config.d/b.yaml:1: a map in braces that is never closed, or lacks a comma; write {key: value, key: value}
config.d/c.yaml:1:9: probes: given twice, first at config.d/a.yaml:2:9; remove one of them`
	if got := errorsOf(t, "edgehold.yaml").Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	folder(t, map[string]string{"dir/edgehold.yaml/x": "", "d/edgehold.yaml": good, "d/config.d": "a file"})
	for path, want := range map[string]string{
		"none.yaml":         "none.yaml: no such file; write one that holds at least `site:` and `uplink:`, or name another with --config FILE",
		"dir/edgehold.yaml": "dir/edgehold.yaml: cannot be read (is not a regular file)",
		"d/edgehold.yaml":   "d/config.d: cannot be read (not a directory); let the agent's user read the folder",
	} {
		if got := errorsOf(t, path).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(site + target + "probes:\n  - {kind: snmp, devices: &d [" + strings.Repeat("h,", 1000) + "h]}\n")
	for range 1000 {
		b.WriteString("  - {kind: snmp, devices: *d}\n")
	}
	folder(t, map[string]string{"edgehold.yaml": b.String()})
	if got := errorsOf(t, "edgehold.yaml").Error(); !strings.HasPrefix(got, "edgehold.yaml:4:423: probes[") || !strings.HasSuffix(got, "more than 200000 values, counting aliases") {
		t.Errorf("got %.300s", got)
	}
}
