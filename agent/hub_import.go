package agent

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/relay"
	"github.com/edgehold/edgehold/buffer/custody"
)

const (
	pathImport = "/v1/relay/import"
	// importFolder is within the state directory: the relay's user may not read
	// every place from which somebody imports.
	importFolder = "import"
)

// importTool takes an archive from the folder for it.
func (h *Hub) importTool() control.Tool {
	return control.Tool{Method: http.MethodPost, Path: pathImport, Serve: func(ctx context.Context, query url.Values, w io.Writer) error {
		root, err := os.OpenRoot(filepath.Join(h.atStart.StateDir, importFolder))
		if err != nil {
			return fmt.Errorf("open the folder of archives: %w", err)
		}
		defer root.Close() // it is only read
		archive, err := root.OpenFile(query.Get("file"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open the archive: %w", err)
		}
		defer archive.Close()
		unsigned := query.Get("unsigned") == "true"
		res, err := importInto(ctx, h.config(), archive, relay.Import{Store: h.store, Unsigned: unsigned, Now: h.time.TLSTime()})
		if err != nil {
			return err
		}
		h.log.Info().Str("site", res.Site).Int64("number", res.Number).Str("signer", res.Signer).Int64("points", res.New).Int64("known", res.Known).
			Msg("an archive was imported")
		return json.NewEncoder(w).Encode(res)
	}}
}

// importInto takes an archive with the authorities of the configuration.
func importInto(ctx context.Context, cfg *config.Config, archive io.ReadSeeker, i relay.Import) (res relay.Imported, err error) {
	if i.Roots, err = siteRoots(cfg); err != nil {
		return res, err
	}
	return i.Run(ctx, archive)
}

// siteRoots are the authorities of the sites' certificates; none where the
// configuration names none: those of the system vouch for no site.
func siteRoots(cfg *config.Config) (*x509.CertPool, error) {
	roots, path := x509.NewCertPool(), cfg.Relay.MQTT.CAFile
	if path == "" {
		return roots, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read relay.mqtt.ca_file: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("relay.mqtt.ca_file %s: there is no certificate in it", path)
	}
	return roots, nil
}

// ImportOptions say where a running relay keeps its blocks, and whether it may
// take what nobody vouches for.
type ImportOptions struct {
	Store    string // path of its file
	Unsigned bool
}

// AskImport has the running relay take an archive, by a copy that it can read.
func AskImport(ctx context.Context, c control.Client, archive io.Reader, o ImportOptions) (res relay.Imported, err error) {
	path, err := lendArchive(filepath.Dir(o.Store), archive)
	if err != nil {
		return res, fmt.Errorf("lend the archive to the relay: %w", err)
	}
	defer os.Remove(path)      // it was a copy
	c.Timeout = 24 * time.Hour // its blocks wait for the disk
	answer, err := c.Ask(ctx, http.MethodPost, pathImport, url.Values{"file": {filepath.Base(path)}, "unsigned": {fmt.Sprint(o.Unsigned)}})
	if err != nil {
		return res, err
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, 64<<10))
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(text, &res); err != nil {
		return res, fmt.Errorf("read the answer of the relay: %w", err)
	}
	return res, nil
}

// lendArchive copies an archive into the folder for it, which it makes, for the
// owner of the state directory. That one may put links there: nothing is
// followed out of the folder, and the file is given away through its own handle.
func lendArchive(stateDir string, archive io.Reader) (path string, err error) {
	state, err := os.OpenRoot(stateDir)
	if err != nil {
		return "", err
	}
	defer state.Close()
	if err := state.Mkdir(importFolder, 0o700); err == nil {
		err = ownAs(state, importFolder)
		if err != nil {
			return "", err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return "", err
	}
	name := filepath.Join(importFolder, rand.Text())
	f, err := state.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, archive)
	if err = errors.Join(err, f.Close()); err == nil {
		err = ownAs(state, name)
	}
	if err != nil {
		return "", errors.Join(err, state.Remove(name))
	}
	return filepath.Join(stateDir, name), nil
}

// ownAs gives what is in a folder to the folder's owner.
func ownAs(state *os.Root, name string) error {
	info, err := state.Stat(".")
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return state.Lchown(name, int(owner.Uid), int(owner.Gid))
}

// ImportStopped takes an archive into the store of a stopped relay.
func ImportStopped(ctx context.Context, cfg *config.Config, archive io.ReadSeeker, unsigned bool) (res relay.Imported, err error) {
	path := filepath.Join(cfg.StateDir, RelayFile)
	if _, err := os.Stat(path); err != nil {
		return res, fmt.Errorf("no relay answers on %s, and there is no store of a stopped one: %w; start the relay first", cfg.Socket, err)
	}
	o := storeOptions(cfg)
	o.Now, o.Log = time.Now, zerolog.Nop()
	store, err := custody.Open(o)
	if err != nil {
		return res, err
	}
	res, err = importInto(ctx, cfg, archive, relay.Import{Store: store, Unsigned: unsigned, Now: time.Now()})
	return res, errors.Join(err, store.Close())
}
