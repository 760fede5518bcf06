package setup

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/probes"
)

// Where the files lie, from the folder of the configuration.
const (
	secretsFolder = "secrets"
	tokenFile     = secretsFolder + "/token"
	passwordFile  = secretsFolder + "/mqtt-password"
	keyFile       = secretsFolder + "/site.key"
	certFile      = "site.pem"
	caFile        = "ca.pem"
)

// document is the configuration as it is written. name gives the place of a
// file as the configuration is to name it.
type document struct {
	Answers
	folder string
	when   time.Time
	name   func(place string) string
}

// place is where a file that was given is to lie: where it is, if that is in
// the folder of the configuration, else the place that is meant for it.
func place(folder, given, meant string) string {
	absolute, err := filepath.Abs(given)
	if err != nil {
		return meant
	}
	inside, err := filepath.Rel(folder, absolute)
	if err != nil || !filepath.IsLocal(inside) {
		return meant
	}
	return inside
}

// secretPlace is where a secret of a credential lies.
func secretPlace(credential, what string) string {
	return secretsFolder + "/" + credential + "." + what
}

func (d document) yaml() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by edgehold init on %s.
#
# Every key, with its meaning and default: edgehold.yaml(5), or reference.yaml
# of the manual. After a change: edgehold check && edgehold reload
# Relative paths start at the folder of this file. Secrets lie in files of their own.

# The name of this place. It is a dimension of every line.
site: %s
`, d.when.Format("2006-01-02 15:04"), quote(d.Site))
	for _, line := range [][2]string{{"state_dir", d.StateDir}, {"socket", d.Socket}} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", line[0], quote(line[1]))
		}
	}
	d.uplink(&b)
	b.WriteString(d.nightly())
	credentials := d.credentials()
	if len(d.Devices) == 0 {
		b.WriteString(credentials + noDevices)
		return []byte(b.String())
	}
	b.WriteString("\n")
	b.Write(discover.Proposal{
		Devices: d.Devices, Networks: d.Networks, When: d.when.Format("2006-01-02 15:04"), Credentials: credentials + "\n",
	}.YAML())
	return []byte(b.String())
}

const noDevices = `
# No device yet. edgehold snmp discover finds some; see reference.yaml for other kinds.
#probes:
#  - {kind: snmp, devices: [192.0.2.10], credentials: [snmp-v2c], interval: 1m}
`

func (d document) uplink(b *strings.Builder) {
	u := d.Uplink
	fmt.Fprintf(b, "\n# Where the points go.\nuplink:\n  %s:\n", u.Kind)
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(b, "    %s: %s\n", key, quote(value))
		}
	}
	file := func(key, given, meant string) {
		if given != "" {
			line(key, d.name(place(d.folder, given, meant)))
		}
	}
	if u.Kind == MQTT {
		fmt.Fprintf(b, "    brokers: [%s]\n", quote(u.URL))
		file("cert_file", u.CertFile, certFile)
		file("key_file", u.KeyFile, keyFile)
		line("user", u.User)
		if !u.Password.IsZero() {
			line("password_file", d.name(passwordFile))
		}
	} else {
		line("url", u.URL)
		if !u.Token.IsZero() {
			b.WriteString("    # Scopes: metrics.ingest, events.ingest and logs.ingest. It is read for each post.\n")
			line("token_file", d.name(tokenFile))
		}
		if u.Kind == OTLP && !u.Token.IsZero() {
			line("token_scheme", u.tokenScheme())
		}
		line("proxy", u.Proxy)
	}
	file("ca_file", u.CAFile, caFile)
	b.WriteString("  #profile: lte   # half of the link's rate, 50 MB a day and 1 GB a month\n")
}

// nightly is the search for new devices, ready to be switched on.
func (d document) nightly() string {
	if len(d.Networks) == 0 || len(d.Credentials) == 0 {
		return ""
	}
	var networks, names []string
	for _, n := range d.Networks {
		networks = append(networks, n.String())
	}
	for _, c := range d.Credentials {
		names = append(names, c.Name)
	}
	return fmt.Sprintf("\n# Without the sign before it: new devices are looked for each night and told as events.\n#discovery: {networks: [%s], credentials: [%s]}\n",
		strings.Join(networks, ", "), strings.Join(names, ", "))
}

func (d document) credentials() string {
	if len(d.Credentials) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n# What devices are asked with before they answer.\ncredentials:\n")
	for _, c := range d.Credentials {
		fmt.Fprintf(&b, "  %s:\n", c.Name)
		for _, line := range d.credential(c) {
			if line[1] != "" {
				fmt.Fprintf(&b, "    %s: %s\n", line[0], quote(line[1]))
			}
		}
	}
	return b.String()
}

func (d document) credential(c probes.Credential) [][2]string {
	if c.Version != probes.SNMPv3 {
		lines := [][2]string{{"community_file", d.name(secretPlace(c.Name, "community"))}}
		if c.Version == probes.SNMPv1 {
			lines = append(lines, [2]string{"version", "1"})
		}
		return lines
	}
	lines := [][2]string{{"user", c.User}}
	if c.Auth != "" {
		lines = append(lines, [2]string{"auth", string(c.Auth)}, [2]string{"auth_file", d.name(secretPlace(c.Name, "auth"))})
	}
	if c.Priv != "" {
		lines = append(lines, [2]string{"priv", string(c.Priv)}, [2]string{"priv_file", d.name(secretPlace(c.Name, "priv"))})
	}
	return append(lines, [2]string{"context", c.Context})
}

// quote writes a text as YAML that is read as the same text.
func quote(text string) string { return strconv.Quote(text) }
