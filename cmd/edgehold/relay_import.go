package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/relay"
)

type importFlags struct {
	config           string
	unsigned, asJSON bool
}

func newRelayImport() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in an archive of blocks of a site that has no link",
		Long: `Take in an archive of blocks that "edgehold buffer export --blocks" has written
at a site: into the store of the running relay, or of a stopped one. Nothing is
taken of an archive that is cut off or altered, or whose signature is not of its
site by an authority of relay.mqtt.ca_file. A second import of the same archive
changes nothing.

  edgehold relay import plant-7.blocks --config /etc/edgehold/relay.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			res, err := f.run(cmd, args[0])
			if err != nil {
				return err
			}
			if f.asJSON {
				return printDocument(cmd.OutOrStdout(), res)
			}
			return tellImport(cmd, res)
		},
	}
	addConfigFlag(cmd, &f.config)
	cmd.Flags().BoolVar(&f.unsigned, "unsigned", false, "take an archive for which nobody vouches")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, path string) (res relay.Imported, err error) {
	archive, err := os.Open(path)
	if err != nil {
		return res, fmt.Errorf("read the archive: %w", err)
	}
	defer archive.Close() // it is only read
	if info, err := archive.Stat(); err == nil && !info.Mode().IsRegular() {
		return res, fmt.Errorf("read the archive: %s is no file", path)
	}
	cfg, _, err := config.Load(f.config, kinds())
	if err != nil {
		return res, err
	}
	if cfg.Relay.ID == "" {
		return res, fmt.Errorf("%s is no configuration of a relay: name the relay's with --config", f.config)
	}
	client := (&socketFlags{config: f.config}).client()
	var st control.Status
	switch err := client.Status(cmd.Context(), &st); {
	case err == nil && st.Hub == nil:
		return res, fmt.Errorf("on %s answers the agent of a site, not the relay of %s: give the relay a socket of its own", client.Path, f.config)
	case err == nil:
		res, err = agent.AskImport(cmd.Context(), client, archive, agent.ImportOptions{Store: st.Buffer.Path, Unsigned: f.unsigned})
		return res, inFile(path, err)
	case !errors.Is(err, control.ErrNoAgent):
		return res, err
	}
	res, err = agent.ImportStopped(cmd.Context(), cfg, archive, f.unsigned)
	return res, inFile(path, err)
}

// inFile names the archive that an error is about.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("import %s: %w", path, err)
}

func tellImport(cmd *cobra.Command, res relay.Imported) error {
	w := newScreen(cmd.OutOrStdout())
	signer := "nobody vouches for it"
	if res.Signer != "" {
		signer = "signed by " + oneLine(res.Signer)
	}
	fmt.Fprintf(w, "archive %d of site %s, %s: %d points in %d blocks\n", res.Number, res.Site, signer, res.Points, res.Blocks)
	fmt.Fprintf(w, "taken   %d points, %d were known\n", res.New, res.Known)
	return w.done()
}
