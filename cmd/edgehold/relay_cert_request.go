package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/sign/mtls"
)

func newRelayCertRequest() *cobra.Command {
	var o mtls.KeyRequest
	cmd := &cobra.Command{
		Use:   "request NAME",
		Short: "At a site or relay: make a key that stays there, and a request for its certificate",
		Long: `Make a key and a request (CSR), on the machine that will use the key. Only the
request goes to who has the authority, and only the certificate comes back.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := wire.CheckID("name", args[0]); err != nil {
				return usage(cmd, err)
			}
			if o.Name = args[0]; o.Dir == "" {
				o.Dir = o.Name
			}
			key, csr, err := mtls.MakeRequest(o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key      %s (stays here)\nrequest  %s\nnext: take the request to the machine with the authority, and there:\n  edgehold relay cert sign %s\nthen bring back the certificate and ca.pem\n",
				key, csr, shellWord(o.Name+".csr"))
			return written(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "out", "", "folder for the files (default: one with the name)")
	flags.BoolVar(&o.Renew, "renew", false, "make a request for the key that is there")
	flags.BoolVar(&o.Force, "force", false, "replace files")
	return cmd
}

func newRelayCertSign() *cobra.Command {
	var f fleetFlags
	var role string
	var r mtls.Request
	cmd := &cobra.Command{
		Use:   "sign REQUEST",
		Short: "Make the certificate that a request asks for",
		Long: `Make the certificate that a request (CSR) asks for. A request proves that its
sender has the key, not who it is: the name is yours to check. What the
certificate is for is said here, by --role, and never by the request.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Role = mtls.Role(role); r.Role != mtls.Site && r.Role != mtls.Relay {
				return usage(cmd, fmt.Errorf("--role %q: want site or relay", role))
			}
			if r.CSR, err = mtls.ReadCSR(args[0]); err != nil {
				return err
			}
			if r.Name == "" {
				r.Name = r.CSR.Name
			}
			if err := wire.CheckID("name in the request", r.Name); err != nil {
				return fmt.Errorf("%w, or give the right one with --name", err)
			}
			a, err := f.open(cmd)
			if err != nil {
				return err
			}
			return issueFor(cmd, a, r, []string{r.Name})
		},
	}
	f.add(cmd)
	addIssueFlags(cmd, &r)
	cmd.Flags().StringVar(&role, "role", string(mtls.Site), "what the certificate is for: site or relay")
	cmd.Flags().StringVar(&r.Name, "name", "", "name of the site or relay (default: the one in the request)")
	return cmd
}
