package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/tenant"
)

// maxTold is how many reasons, or places of secrets, are told; --json has all.
const maxTold = 8

func (f *pullFlags) tellPulled(cmd *cobra.Command, all []pulled) error {
	if f.asJSON {
		return printIndented(cmd.OutOrStdout(), all)
	}
	var b strings.Builder
	for i := range all {
		all[i].tell(&b)
	}
	if _, err := fmt.Fprint(cmd.OutOrStdout(), b.String()); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func (p *pulled) tell(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s: %s\n  runs here: %s\n", p.Name, p.Version, p.File, p.Runs)
	tellSome(b, p.Why, "    ")
	if len(p.Configurations) == 0 {
		b.WriteString("  no monitoring configuration\n")
	}
	for _, c := range p.Configurations {
		c.tell(b, p.Version)
	}
	if p.Runs == tenant.RunsNo {
		return
	}
	b.WriteString("  for the agent's configuration:\n")
	if len(p.Credentials) > 0 {
		b.WriteString("    credentials: # each secret alone in a file of mode 0600\n")
	}
	for _, c := range p.Credentials {
		asked := "devices"
		if c.Web != "" {
			asked = "endpoints"
		}
		fmt.Fprintf(b, "      %s # %s: %d\n", credentialLine(c), asked, c.Devices)
	}
	b.WriteString("    extensions:\n")
	if len(p.Configurations) == 0 {
		fmt.Fprintf(b, "      - {package: %q, configuration: ...}\n", absolute(p.File))
	}
	for _, c := range p.Configurations {
		if c.Fault == "" {
			fmt.Fprintf(b, "      - {package: %q, configuration: %q}\n", absolute(p.File), absolute(c.File))
		}
	}
	fmt.Fprintf(b, "  its signature is not checked yet: edgehold ext verify %s; ext adopt signs it anew with a certificate of this site\n", p.File)
}

func (c *pulledConfiguration) tell(b *strings.Builder, version string) {
	fmt.Fprintf(b, "  configuration %s (%s)\n", c.File, oneLine(orDash(c.Scope)))
	switch {
	case c.Fault != "":
		fmt.Fprintf(b, "    cannot be used here: %s\n", oneLine(c.Fault))
	case !c.Enabled:
		b.WriteString("    it is switched off in the environment, and so here\n")
	case c.Version != "" && c.Version != version:
		fmt.Fprintf(b, "    it is for version %s of the package; name that version after @ to have it\n", oneLine(c.Version))
	}
	places := make([]string, len(c.Missing))
	for i, m := range c.Missing {
		places[i] = m.Path + ": write the secret itself there"
		if m.Write != "" {
			places[i] = m.Path + ": " + m.Write
		}
	}
	if len(places) > 0 {
		b.WriteString("    secrets that the environment does not give out:\n")
	}
	tellSome(b, places, "      ")
}

func tellSome(b *strings.Builder, lines []string, indent string) {
	for _, line := range lines[:min(len(lines), maxTold)] {
		b.WriteString(indent + oneLine(line) + "\n")
	}
	if more := len(lines) - maxTold; more > 0 {
		fmt.Fprintf(b, "%s%d more, see --json\n", indent, more)
	}
}

// credentialLine is the entry of `credentials` for what the environment hides.
func credentialLine(c tenant.Credential) string {
	file := "/etc/edgehold/" + c.Name
	if c.Web != "" {
		return fmt.Sprintf("%s: {%s_file: %s.%s}", c.Name, c.Web, file, c.Web)
	}
	if c.Version != "3" {
		return fmt.Sprintf("%s: {community_file: %s.community}", c.Name, file)
	}
	user := fmt.Sprintf("%q", c.User)
	if c.Vault || c.User == "" {
		user = "..., auth: ..., priv: ..."
	}
	line := c.Name + ": {user: " + user
	if c.Auth != "" || c.Vault {
		line += orKey(", auth: ", c.Auth) + ", auth_file: " + file + ".auth"
	}
	if c.Priv != "" || c.Vault {
		line += orKey(", priv: ", c.Priv) + ", priv_file: " + file + ".priv"
	}
	return line + "}"
}

// orKey is the key with its value, nothing where the value is not known.
func orKey(key, value string) string {
	if value == "" {
		return ""
	}
	return key + oneLine(value)
}

// absolute is the path as the agent, which runs elsewhere, has to be told it.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
