package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/tenant"
)

// tenantFlags say how an environment is reached.
type tenantFlags struct {
	url, tokenFile, proxy, caFile string
	asJSON                        bool
}

func (f *tenantFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "address of the environment, https://HOST or https://HOST/e/ID")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the access token, not readable by others (default: "+tokenName+" where it lies at hand)")
	cmd.Flags().StringVar(&f.proxy, "proxy", "", "address of a proxy (default: what HTTPS_PROXY says)")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "PEM file of authorities to trust beside the system's")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// open makes a client with the token of the file that is named, or of the first
// one of the usual name in the folders.
func (f *tenantFlags) open(cmd *cobra.Command, folders ...string) (*tenant.Client, error) {
	if f.url == "" {
		return nil, usage(cmd, errNoURL)
	}
	file := f.tokenFile
	for _, folder := range folders {
		if file != "" {
			break
		}
		path := filepath.Join(folder, tokenName)
		_, err := os.Stat(path)
		switch {
		case err == nil:
			file = path
			fmt.Fprintln(cmd.ErrOrStderr(), "edgehold: the token is that of "+path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("look for a token: %w", err)
		}
	}
	if file == "" {
		return nil, usage(cmd, fmt.Errorf("name the file of the access token with --token-file, or put it into %s", tokenHint(folders)))
	}
	token, err := config.Endpoint{TokenFile: file}.Token()
	if err != nil {
		return nil, err
	}
	client, err := tenant.New(tenant.Options{URL: f.url, Token: token, Proxy: f.proxy, CAFile: f.caFile})
	if err != nil {
		return nil, err
	}
	return client, nil
}
