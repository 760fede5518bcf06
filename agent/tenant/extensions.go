package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const (
	listPage          = "100" // the most that the environment gives
	configurationPage = "20"  // each may hold thousands of devices
	maxPages          = 1000
)

// Extensions lists the environment's extensions whose names contain name, all
// with "".
func (c *Client) Extensions(ctx context.Context, name string) ([]Extension, error) {
	query := url.Values{"pageSize": {listPage}}
	if name != "" {
		query.Set("name", name)
	}
	return c.extensions(ctx, call{what: "list extensions", scope: ScopeRead, query: query})
}

func (c *Client) extensions(ctx context.Context, q call) (all []Extension, err error) {
	err = c.list(ctx, q, func(data []byte) (string, error) {
		some, next, err := readExtensions(data)
		all = append(all, some...)
		return next, err
	})
	return all, err
}

// Versions lists the versions of an extension that the environment holds, none
// of one that it does not know.
func (c *Client) Versions(ctx context.Context, name string) ([]string, error) {
	q := call{what: "list versions of " + name, scope: ScopeRead, path: []string{name}, query: url.Values{"pageSize": {listPage}}}
	all, err := c.extensions(ctx, q)
	if err != nil {
		if NotFound(err) {
			err = nil
		}
		return nil, err
	}
	versions := make([]string, len(all))
	for i, e := range all {
		versions[i] = e.Version
	}
	return versions, nil
}

// Active is the version of an extension that the environment has activated, ""
// where there is none.
func (c *Client) Active(ctx context.Context, name string) (string, error) {
	q := call{what: "read active version of " + name, scope: ScopeRead, path: []string{name, "environmentConfiguration"}}
	version, err := c.version(ctx, q)
	if NotFound(err) {
		return "", nil
	}
	return version, err
}

func (c *Client) version(ctx context.Context, q call) (version string, err error) {
	err = c.read(ctx, q, func(data []byte) (err error) {
		version, err = readVersion(data)
		return err
	})
	return version, err
}

// Metadata tells of one version of an extension.
func (c *Client) Metadata(ctx context.Context, name, version string) (Metadata, error) {
	q := call{what: "read metadata of " + name + " " + version, scope: ScopeRead, path: []string{name, version}}
	return c.metadata(ctx, q)
}

func (c *Client) metadata(ctx context.Context, q call) (m Metadata, err error) {
	err = c.read(ctx, q, func(data []byte) (err error) {
		m, err = readMetadata(data)
		return err
	})
	return m, err
}

// Download gives the file of one version as it was uploaded, at most MaxPackage
// bytes.
func (c *Client) Download(ctx context.Context, name, version string) ([]byte, error) {
	return c.do(ctx, call{
		what: "download " + name + " " + version, scope: ScopeRead, method: http.MethodGet,
		path: []string{name, version}, accept: typeBinary,
	})
}

// Configurations lists the monitoring configurations of an extension, of one
// version or with "" of all. Secrets are masked in them.
func (c *Client) Configurations(ctx context.Context, name, version string) (all []Configuration, err error) {
	query := url.Values{"pageSize": {configurationPage}}
	if version != "" {
		query.Set("version", version)
	}
	q := call{
		what: "list monitoring configurations of " + name, scope: ScopeConfigurations,
		path: []string{name, "monitoringConfigurations"}, query: query,
	}
	err = c.list(ctx, q, func(data []byte) (string, error) {
		some, next, err := readConfigurations(data)
		all = append(all, some...)
		return next, err
	})
	return all, err
}

// Validate has the environment check a package without keeping it.
func (c *Client) Validate(ctx context.Context, bundle []byte) (Metadata, error) {
	return c.post(ctx, "check package", bundle, url.Values{"validateOnly": {"true"}})
}

// Upload has the environment keep a package. Where an answer was lost on the way
// it finds out whether the package has arrived; e tells which that is.
func (c *Client) Upload(ctx context.Context, e Extension, bundle []byte) (Metadata, error) {
	m, err := c.post(ctx, "upload package", bundle, nil)
	if err == nil {
		return m, nil
	}
	there, asked := c.Metadata(ctx, e.Name, e.Version)
	sum := sha256.Sum256(bundle)
	if asked == nil && strings.EqualFold(there.FileHash, hex.EncodeToString(sum[:])) {
		return there, nil
	}
	return Metadata{}, err
}

func (c *Client) post(ctx context.Context, what string, bundle []byte, query url.Values) (Metadata, error) {
	if len(bundle) > MaxPackage {
		return Metadata{}, fmt.Errorf("%s: it has %d bytes, the environment takes at most %d", what, len(bundle), MaxPackage)
	}
	q := call{what: what, scope: ScopeWrite, method: http.MethodPost, query: query, kind: typeBinary, body: bundle}
	return c.metadata(ctx, q)
}

// Activate makes a version the one that the environment runs.
func (c *Client) Activate(ctx context.Context, e Extension) error {
	body, err := json.Marshal(map[string]string{"version": e.Version})
	if err != nil {
		return err
	}
	q := call{
		what: "activate " + e.Name + " " + e.Version, scope: ScopeWrite, method: http.MethodPut,
		path: []string{e.Name, "environmentConfiguration"}, kind: typeJSON, body: body,
	}
	active, err := c.version(ctx, q)
	if err == nil && active != e.Version {
		return fmt.Errorf("%s: the environment activated %s instead", q.what, active)
	}
	return err
}

// NotFound tells a refusal because there is no such thing.
func NotFound(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusNotFound
}

// read asks for one thing.
func (c *Client) read(ctx context.Context, q call, reader func([]byte) error) error {
	if q.method == "" {
		q.method = http.MethodGet
	}
	data, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	if err := reader(data); err != nil {
		return fmt.Errorf("%s: the answer of %s is not as documented: %s", q.what, c.host(), c.words(err.Error()))
	}
	return nil
}

// list asks for all pages of a list; the reader gives the key of the next one.
// Such a key stands for the whole question: nothing else may be asked with it.
func (c *Client) list(ctx context.Context, q call, reader func([]byte) (string, error)) error {
	seen := map[string]bool{"": true}
	for {
		next := ""
		err := c.read(ctx, q, func(data []byte) (err error) {
			next, err = reader(data)
			return err
		})
		if err != nil || next == "" {
			return err
		}
		if seen[next] || len(seen) > maxPages {
			return fmt.Errorf("%s: the list of %s has no end", q.what, c.host())
		}
		seen[next] = true
		q.query = url.Values{"nextPageKey": {next}}
	}
}
