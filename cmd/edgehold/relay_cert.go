package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/sign/mtls"
)

const defaultFleetCA = "mqtt-ca"

// newRelayCert are the commands of the authority of a fleet's MQTT.
func newRelayCert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make and take back the certificates of brokers, sites and relays",
		Long: `Make the certificates with which brokers, sites and relays know each other:

  edgehold relay cert ca                                   once, on a machine that is no gateway
  edgehold relay cert broker hub.example.com --dns hub.example.com
  edgehold relay cert relay hub-1
  edgehold relay cert site plant-7 plant-8

The name of a site or relay is the common name of its certificate; a broker
grants rights by it. A site's key need not leave the site: make it and a request
there (relay cert request), sign the request here (relay cert sign).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRelayCertCA(), newRelayCertBroker(), newRelayCertClient(mtls.Site), newRelayCertClient(mtls.Relay),
		newRelayCertRequest(), newRelayCertSign(), newRelayCertList(), newRelayCertShow(), newRelayCertRevoke())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return cmd
}

func newRelayCertCA() *cobra.Command {
	o := mtls.RootOptions{Now: time.Now}
	var passFile string
	var plain bool
	cmd := &cobra.Command{
		Use:   "ca [NAME]",
		Short: "Make the authority of the fleet",
		Long: `Make an authority in a folder of its own: ca.pem, its certificate, which every
broker, site and relay gets; ca.key, its key; ca.crl, the list of what was taken
back; and a record of what it issues. A backup of the folder holds all there is.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = "Edgehold MQTT"
			if len(args) > 0 {
				o.Name = args[0]
			}
			if !plain {
				if o.Phrase, err = newPhrase(cmd.Context(), passFile, "the key of the authority", "pass-file"); err != nil {
					return err
				}
			}
			a, err := mtls.Create(o)
			if err != nil {
				return err
			}
			if plain {
				cmd.PrintErrf("edgehold: warning: the key in %s has no pass phrase; who can read it can pose as every site and relay\n", a.Dir)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "made %s, valid until %s\nnext, the broker's certificate:\n  edgehold relay cert broker HOST --dns HOST%s\n",
				filepath.Join(a.Dir, mtls.RootName), a.Certificate.NotAfter.Format(time.DateOnly), fleetFlag(a.Dir))
			return written(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "ca", defaultFleetCA, "folder of the authority, new or empty")
	flags.IntVar(&o.Days, "days", mtls.RootDays, "days until the authority ends")
	flags.StringVar(&passFile, "pass-file", "", "file with the pass phrase of the key")
	flags.BoolVar(&plain, "plain", false, "leave the key without a pass phrase")
	cmd.MarkFlagsMutuallyExclusive("pass-file", "plain")
	return cmd
}

// fleetFlag is what a proposed command needs to find the authority.
func fleetFlag(dir string) string {
	if dir == defaultFleetCA {
		return ""
	}
	return " --ca " + shellWord(dir)
}

// fleetFlags are those of commands that use the key of the authority.
type fleetFlags struct{ dir, passFile string }

func (f *fleetFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "ca", defaultFleetCA, "folder of the authority")
	cmd.Flags().StringVar(&f.passFile, "pass-file", "", "file with the pass phrase of its key")
}

func (f *fleetFlags) open(cmd *cobra.Command) (*mtls.Authority, error) {
	a, err := mtls.Open(f.dir, time.Now)
	if err != nil {
		return nil, err
	}
	return a, a.Unlock(keyPhrase(cmd.Context(), f.passFile, "the key of the authority"))
}

func addIssueFlags(cmd *cobra.Command, r *mtls.Request) {
	flags := cmd.Flags()
	flags.IntVar(&r.Days, "days", 0, fmt.Sprintf("days until the certificate ends (default %d, at most until the authority ends)", mtls.LeafDays))
	flags.StringVar(&r.Dir, "out", "", "folder for the files (default: one with the name)")
	flags.BoolVar(&r.Renew, "renew", false, "make one in place of the newest of this name, for the same key")
	flags.BoolVar(&r.Force, "force", false, "replace files, and issue a name again")
}

func addNewKeyFlag(cmd *cobra.Command, r *mtls.Request) {
	cmd.Flags().BoolVar(&r.NewKey, "new-key", false, "with --renew: for a new key (with --force in place of the old one)")
}

func newRelayCertBroker() *cobra.Command {
	var f fleetFlags
	var dns, ip []string
	r := mtls.Request{Role: mtls.Broker}
	cmd := &cobra.Command{
		Use:   "broker NAME",
		Short: "Make the certificate of a broker",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Hosts = append(dns, ip...); len(r.Hosts) == 0 && !r.Renew {
				return usage(cmd, fmt.Errorf("name what sites dial: --dns mqtt.example.com or --ip 192.0.2.1"))
			}
			a, err := f.open(cmd)
			if err != nil {
				return err
			}
			return issueFor(cmd, a, r, args)
		},
	}
	f.add(cmd)
	addIssueFlags(cmd, &r)
	addNewKeyFlag(cmd, &r)
	cmd.Flags().StringSliceVar(&dns, "dns", nil, "host name that clients dial")
	cmd.Flags().StringSliceVar(&ip, "ip", nil, "address that clients dial")
	return cmd
}

func newRelayCertClient(role mtls.Role) *cobra.Command {
	var f fleetFlags
	r := mtls.Request{Role: role}
	cmd := &cobra.Command{
		Use:   string(role) + " NAME...",
		Short: "Make the certificate of a " + string(role) + ", or of several",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Dir != "" && len(args) > 1 {
				return usage(cmd, fmt.Errorf("--out is for one name; each of several goes into a folder of its name"))
			}
			for _, name := range args {
				if err := wire.CheckID(string(role), name); err != nil {
					return usage(cmd, err)
				}
			}
			a, err := f.open(cmd)
			if err != nil {
				return err
			}
			return issueFor(cmd, a, r, args)
		},
	}
	f.add(cmd)
	addIssueFlags(cmd, &r)
	addNewKeyFlag(cmd, &r)
	return cmd
}

// issueFor makes a certificate for each of the names.
func issueFor(cmd *cobra.Command, a *mtls.Authority, r mtls.Request, names []string) error {
	out := r.Dir
	for _, name := range names {
		r.Name = name
		if r.Dir = out; out == "" {
			r.Dir = name
		}
		made, err := a.Issue(r)
		if err != nil {
			return err
		}
		if err := printFleetCert(cmd, made); err != nil {
			return err
		}
	}
	return nil
}

func printFleetCert(cmd *cobra.Command, m *mtls.Made) error {
	rows := [][]string{{"certificate", m.CertFile}}
	if m.KeyFile != "" {
		rows = append(rows, []string{"key", m.KeyFile + " (no pass phrase: keep it where only its program reads it)"})
	}
	rows = append(rows, []string{"authority", m.RootFile},
		[]string{"valid until", fmt.Sprintf("%s (%d days)", m.NotAfter.Format(time.DateOnly), m.DaysLeft)}, []string{"serial", m.Serial})
	if err := printColumns(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), nextStep(m))
	return written(err)
}

// nextStep says what to do with a certificate.
func nextStep(m *mtls.Made) string {
	lines := fmt.Sprintf("ca_file: %s\n      cert_file: %s\n      key_file: %s", m.RootFile, m.CertFile, trimEnding(m.CertFile)+".key")
	switch m.Role {
	case mtls.Broker:
		return "next: name the three and the authority's ca.crl in mosquitto.conf (packaging/examples/mosquitto), then start the broker\n"
	case mtls.Relay:
		return fmt.Sprintf("next: give it its lines in the broker's access rules (user %s), and in its configuration:\n  relay:\n    id: %s\n    mqtt:\n      %s\n", m.Name, m.Name, lines)
	}
	return fmt.Sprintf("next: bring the files to the site, and in its configuration:\n  site: %s\n  uplink:\n    mqtt:\n      %s\n", m.Name, lines)
}

func trimEnding(path string) string { return path[:len(path)-len(filepath.Ext(path))] }
