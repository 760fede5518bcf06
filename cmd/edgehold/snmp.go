package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
)

func newSNMP() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snmp",
		Short: "Ask devices by hand: get, walk, record, test, discover",
		Long: `Ask devices by hand, as the agent would: the same credentials, the same ways
around the faults of devices.

What a device is asked for before it answers comes from one of
  --config FILE [--credentials a,b]   credentials of an agent's configuration
  --community-file FILE               an SNMP community, alone in a file
  --v3-user NAME --auth ... --priv ...
Without any of them it is the community "public". Several are tried in order.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSNMPGet(), newSNMPWalk(), newSNMPRecord(), newSNMPTest(), newSNMPDiscover())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

// snmpFlags say how a device is asked.
type snmpFlags struct {
	credentialFlags
	config  string
	names   []string
	port    uint16
	timeout time.Duration
	retries int
}

// credentialFlags are a credential on the command line.
type credentialFlags struct {
	communityFile string
	version       string
	user, context string
	auth, priv    string
	authFile      string
	privFile      string
}

func (f *credentialFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.communityFile, "community-file", "", "file that holds the SNMP community, not readable by others (default: the community \"public\")")
	flags.StringVar(&f.version, "version", "", "SNMP version: v1, v2c or v3 (default v2c, with --v3-user v3)")
	flags.StringVar(&f.user, "v3-user", "", "SNMPv3 user")
	flags.StringVar(&f.auth, "auth", "", "how the user's messages are signed: MD5, SHA, SHA224, SHA256, SHA384 or SHA512")
	flags.StringVar(&f.authFile, "auth-file", "", "file that holds the pass phrase for --auth")
	flags.StringVar(&f.priv, "priv", "", "how they are encrypted: DES, AES, AES192, AES256, AES192C or AES256C")
	flags.StringVar(&f.privFile, "priv-file", "", "file that holds the pass phrase for --priv")
	flags.StringVar(&f.context, "context", "", "SNMPv3 context name")
	cmd.MarkFlagsRequiredTogether("auth", "auth-file")
	cmd.MarkFlagsRequiredTogether("priv", "priv-file")
}

func (f *snmpFlags) add(cmd *cobra.Command) {
	f.credentialFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration file that has the credentials (default with --credentials: "+defaultConfig+")")
	flags.StringSliceVar(&f.names, "credentials", nil, "names of credentials in the configuration, tried in this order (default with --config: all)")
	flags.Uint16Var(&f.port, "port", 161, "UDP port, where the address does not say one")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Second, "wait for the answer to one request this long")
	flags.IntVar(&f.retries, "retries", 1, "ask again this often")
	for _, own := range []string{"config", "credentials"} { // these say themselves how a device is asked
		for _, other := range []string{"community-file", "v3-user", "version"} {
			cmd.MarkFlagsMutuallyExclusive(own, other)
		}
	}
}

// credentials are those that the flags name, in order.
func (f *snmpFlags) credentials(cmd *cobra.Command) ([]probes.Credential, error) {
	if f.timeout < 10*time.Millisecond || f.timeout > time.Minute || f.retries < 0 || f.retries > 20 {
		return nil, usage(cmd, fmt.Errorf("--timeout %v --retries %d: expected 10ms to 1m, and 0 to 20", f.timeout, f.retries))
	}
	if f.config != "" || len(f.names) > 0 {
		return f.configured(cmd)
	}
	return f.given(cmd)
}

// given are those that stand on the command line itself, in order.
func (f *credentialFlags) given(cmd *cobra.Command) ([]probes.Credential, error) {
	var all []probes.Credential
	if f.user != "" || f.version == "v3" {
		c, err := f.v3(cmd)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	} else if f.auth != "" || f.priv != "" || f.context != "" {
		return nil, usage(cmd, errors.New("--auth, --priv and --context need --v3-user"))
	}
	if f.communityFile == "" && len(all) > 0 {
		return all, nil
	}
	c, err := f.community(cmd)
	return append(all, c), err
}

func (f *credentialFlags) community(cmd *cobra.Command) (probes.Credential, error) {
	c := probes.Credential{Name: "default-public", Version: probes.SNMPv2c, Community: probes.NewSecret("public")}
	switch f.version {
	case "", "v2c", "2c", "v3":
	case "v1", "1":
		c.Version = probes.SNMPv1
	default:
		return c, usage(cmd, fmt.Errorf("--version %q is none, expected v1, v2c or v3", f.version))
	}
	if f.communityFile == "" {
		return c, nil
	}
	c.Name = "community-file"
	var err error
	c.Community, err = config.ReadSecretFile(f.communityFile)
	return c, err
}

var (
	authProtocols = []probes.AuthProtocol{probes.AuthNone, probes.AuthMD5, probes.AuthSHA, probes.AuthSHA224, probes.AuthSHA256, probes.AuthSHA384, probes.AuthSHA512}
	privProtocols = []probes.PrivProtocol{probes.PrivNone, probes.PrivDES, probes.PrivAES, probes.PrivAES192, probes.PrivAES256, probes.PrivAES192C, probes.PrivAES256C}
)

func (f *credentialFlags) v3(cmd *cobra.Command) (probes.Credential, error) {
	c := probes.Credential{
		Name: "v3-user", Version: probes.SNMPv3, User: f.user, Context: f.context,
		Auth: probes.AuthProtocol(config.ProtocolName(f.auth)), Priv: probes.PrivProtocol(config.ProtocolName(f.priv)),
	}
	switch {
	case f.user == "":
		return c, usage(cmd, errors.New("--version v3 needs --v3-user"))
	case f.version != "" && f.version != "v3" && f.communityFile == "":
		return c, usage(cmd, fmt.Errorf("--v3-user is for SNMPv3, not for --version %s", f.version))
	case !slices.Contains(authProtocols, c.Auth):
		return c, usage(cmd, fmt.Errorf("--auth %q is none, expected MD5, SHA, SHA224, SHA256, SHA384 or SHA512", f.auth))
	case !slices.Contains(privProtocols, c.Priv):
		return c, usage(cmd, fmt.Errorf("--priv %q is none, expected DES, AES, AES192, AES256, AES192C or AES256C", f.priv))
	case c.Priv != "" && c.Auth == "":
		return c, usage(cmd, errors.New("--priv needs --auth too: what is encrypted is signed"))
	}
	var err error
	if f.authFile != "" {
		if c.AuthPass, err = config.ReadSecretFile(f.authFile); err != nil {
			return c, err
		}
	}
	if f.privFile != "" {
		c.PrivPass, err = config.ReadSecretFile(f.privFile)
	}
	return c, err
}

// configured are credentials of a configuration file.
func (f *snmpFlags) configured(cmd *cobra.Command) ([]probes.Credential, error) {
	cfg, _, err := config.Load(cmp.Or(f.config, defaultConfig), kinds())
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(cfg.Credentials, func(_ string, c probes.Credential) bool { return !c.Password.IsZero() }) // not for SNMP
	names := f.names
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(cfg.Credentials))
	}
	if len(names) == 0 {
		return nil, exitCode{exitConfig, fmt.Errorf("%s has no credentials: add some under `credentials`", cfg.Path)}
	}
	var all []probes.Credential
	for _, name := range names {
		c, ok := cfg.Credentials[name]
		if !ok {
			return nil, usage(cmd, fmt.Errorf("--credentials: %s has no credential %q, expected some of %s",
				cfg.Path, name, strings.Join(slices.Sorted(maps.Keys(cfg.Credentials)), ", ")))
		}
		all = append(all, c)
	}
	return all, nil
}

// device makes a device of an address on the command line.
func (f *snmpFlags) device(cmd *cobra.Command, address string) (plan.Device, error) {
	d, err := snmp.ParseDevice(address)
	if err != nil {
		return d, usage(cmd, err)
	}
	if d.Port == 161 && !strings.HasSuffix(address, ":161") {
		d.Port = f.port
	}
	if d.Credentials, err = f.credentials(cmd); err != nil {
		return d, err
	}
	d.Timeout, d.Retries = f.timeout, f.retries
	return d, nil
}

// open reaches the device at an address.
func (f *snmpFlags) open(cmd *cobra.Command, address string) (*snmp.Client, error) {
	d, err := f.device(cmd, address)
	if err != nil {
		return nil, err
	}
	c, err := snmp.Open(cmd.Context(), d, snmp.ClientOptions{})
	if errors.Is(err, context.Canceled) {
		return nil, errors.New("stopped")
	}
	return c, err
}

// parseOID reads a numeric OID, with a leading dot or without.
func parseOID(text string) (string, error) {
	oid := strings.TrimPrefix(text, ".")
	arcs := strings.Split(oid, ".")
	wrong := fmt.Errorf("%q is not an OID, expected numbers with dots such as 1.3.6.1.2.1.1.5.0 (names need MIB files)", text)
	if len(arcs) < 2 || len(arcs) > 128 {
		return "", wrong
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 32)
		if err != nil || i == 0 && n > 2 {
			return "", wrong
		}
		arcs[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(arcs, "."), nil
}
