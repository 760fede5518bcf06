package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/sign/mtls"
)

// blocksFlags are those of an archive of blocks.
type blocksFlags struct {
	file, site, cert, key string
	unsigned              bool
}

func (f *blocksFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "blocks", "", "file to write an archive of blocks to, for relay import")
	flags.StringVar(&f.site, "site", "", "with --blocks: the site (default: of --config)")
	flags.StringVar(&f.cert, "cert-file", "", "with --blocks: certificate that vouches for it (default: uplink.mqtt.cert_file of --config)")
	flags.StringVar(&f.key, "key-file", "", "with --blocks: its key (default: uplink.mqtt.key_file of --config)")
	flags.BoolVar(&f.unsigned, "unsigned", false, "with --blocks: nobody vouches for it")
	for _, other := range []string{"format", "output", "resume"} {
		cmd.MarkFlagsMutuallyExclusive("blocks", other)
	}
}

// only refuses flags that mean nothing without --blocks.
func (f *blocksFlags) only() error {
	if f.file == "" && (f.site != "" || f.cert != "" || f.key != "" || f.unsigned) {
		return errors.New("--site, --cert-file, --key-file and --unsigned are for --blocks FILE")
	}
	return nil
}

// complete fills in what the configuration says.
func (f *blocksFlags) complete(path string) error {
	cfg, _, err := config.Examine(path, kinds())
	if cfg != nil {
		m := cfg.Uplink.MQTT
		if f.site == "" {
			f.site = cfg.Site
		}
		if f.cert == "" && f.key == "" {
			f.cert, f.key = m.CertFile, m.KeyFile
		}
	}
	switch {
	case f.site == "" && err != nil:
		return fmt.Errorf("the site is not known: %w; name it with --site", err)
	case f.site == "":
		return errors.New("the site is not known: name it with --site, or the configuration with --config")
	case f.unsigned:
		f.cert, f.key = "", ""
	case f.cert == "" || f.key == "":
		return errors.New("nobody vouches for the archive: name the site's certificate and key with --cert-file and --key-file (`edgehold relay cert site` makes them), or say --unsigned")
	}
	return nil
}

// runBlocks writes an archive. It appears under its name when it is whole.
func (f *exportFlags) runBlocks(cmd *cobra.Command) error {
	now := time.Now()
	filter, err := f.request.Filter(now)
	if err != nil {
		return usage(cmd, err)
	}
	if err := f.blocks.complete(f.config); err != nil {
		return err
	}
	return f.with(cmd.Context(), readOnly, func(s export.Source) error {
		bar := newProgress(cmd, f.quiet)
		b := export.Blocks{Source: s, Filter: filter, Site: f.blocks.site, Version: version, Now: now, Progress: bar.show}
		if f.blocks.cert != "" {
			b.Sign = func(text []byte) ([][]byte, []byte, error) {
				v, err := mtls.Vouch(f.blocks.cert, f.blocks.key, text)
				return v.Certificates, v.Signature, err
			}
		}
		res, err := writeArchive(cmd.Context(), b, f.blocks.file)
		bar.end()
		if err != nil {
			return err
		}
		if !f.quiet {
			f.tellBlocks(cmd, res)
		}
		return nil
	})
}

func writeArchive(ctx context.Context, b export.Blocks, path string) (res export.BlocksResult, err error) {
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return res, fmt.Errorf("create the archive: %w", err)
	}
	defer os.Remove(part.Name()) // gone already once it is whole
	if res, err = b.Write(ctx, part); err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return res, fmt.Errorf("write the archive %s: %w", path, err)
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return res, fmt.Errorf("name the archive: %w", err)
	}
	return res, nil
}

// uncommitted is longer than points are in the memory of an agent, where no
// export sees them: a purge must not delete younger ones.
const uncommitted = 15 * time.Minute

// tellBlocks says what was written, and how it goes on.
func (f *exportFlags) tellBlocks(cmd *cobra.Command, res export.BlocksResult) {
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "archive %d of site %s: %d points in %d blocks in %s\n", res.Number, f.blocks.site, res.Points, res.Blocks, f.blocks.file)
	if res.Points == 0 {
		fmt.Fprintln(w, "no point of the store fits the choice"+hintText(res.Hint)+"; those of the last moments are in the agent's memory until buffer.commit_interval has passed")
	}
	if res.Entries > 0 {
		fmt.Fprintf(w, "%d events and log records were left out: an archive holds points\n", res.Entries)
	}
	if res.Guessed > 0 {
		fmt.Fprintf(w, "%d points were left out: they were measured while the time was not known\n", res.Guessed)
	}
	if res.Skipped > 0 {
		fmt.Fprintf(w, "%d points fit into no block and were left out; the first: %s\n", res.Skipped, oneLine(res.Reason))
	}
	if res.Points > 0 {
		fmt.Fprintf(w, "At the relay:  edgehold relay import %s\nThe points stay in the store here. Once the relay has them:  edgehold buffer purge --before %s\n",
			filepath.Base(f.blocks.file), time.UnixMilli(res.Number).Add(-uncommitted).UTC().Format(time.RFC3339))
	}
}
