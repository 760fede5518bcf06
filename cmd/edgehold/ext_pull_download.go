package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
	"github.com/edgehold/edgehold/sign"
)

// pulled is one extension that was downloaded.
type pulled struct {
	Name    string `json:"extension"`
	Version string `json:"version"`
	File    string `json:"package"`
	SHA256  string `json:"sha256"` // of the file
	tenant.Judgement
	Configurations []pulledConfiguration `json:"configurations"`
	Credentials    []tenant.Credential   `json:"credentials"` // that the agent's configuration needs

	files []newFile
}

// pulledConfiguration is one monitoring configuration that was written.
type pulledConfiguration struct {
	File        string           `json:"file"`
	Scope       string           `json:"scope"`
	Description string           `json:"description"`
	Enabled     bool             `json:"enabled"`
	Version     string           `json:"version"` // of the package that it is for
	Fault       string           `json:"fault,omitempty"`
	Missing     []tenant.Missing `json:"missing"` // secrets
}

func (f *pullFlags) download(cmd *cobra.Command, client *tenant.Client, wanted []tenant.Extension) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fmt.Errorf("make folder of --out: %w", err)
	}
	all := make([]pulled, 0, len(wanted))
	for _, e := range wanted {
		p, err := f.fetch(cmd.Context(), client, e)
		if err == nil {
			err = writeFiles(p.files, f.force)
		}
		if err != nil {
			return errors.Join(f.tellPulled(cmd, all), err)
		}
		all = append(all, p)
	}
	return f.tellPulled(cmd, all)
}

// fetch gets all of one extension; nothing is written yet.
func (f *pullFlags) fetch(ctx context.Context, client *tenant.Client, e tenant.Extension) (pulled, error) {
	only := e.Version // of the configurations
	if e.Version == "" {
		version, err := chosenVersion(ctx, client, e.Name)
		if err != nil {
			return pulled{}, err
		}
		e.Version = version
	}
	m, err := client.Metadata(ctx, e.Name, e.Version)
	if err != nil {
		return pulled{}, err
	}
	if m.Extension != e {
		return pulled{}, fmt.Errorf("asked for %s %s, the environment tells of %s %s", e.Name, e.Version, m.Name, m.Version)
	}
	bundle, err := client.Download(ctx, e.Name, e.Version)
	if err != nil {
		return pulled{}, err
	}
	configurations, err := client.Configurations(ctx, e.Name, only)
	if err != nil {
		return pulled{}, err
	}
	sum := sha256.Sum256(bundle)
	p := pulled{
		Name: e.Name, Version: e.Version, SHA256: hex.EncodeToString(sum[:]),
		File: filepath.Join(f.out, e.FileName()+".zip"), Configurations: []pulledConfiguration{},
	}
	p.files = []newFile{{p.File, bundle, 0o644}}
	parsed, err := p.localize(e, configurations)
	if err != nil {
		return pulled{}, err
	}
	return p, p.judge(f.out, m, bundle, parsed)
}

// chosenVersion is the version that the environment runs, or the highest that
// it holds.
func chosenVersion(ctx context.Context, client *tenant.Client, name string) (string, error) {
	active, err := client.Active(ctx, name)
	if active != "" || err != nil {
		return active, err
	}
	versions, err := client.Versions(ctx, name)
	if err != nil {
		return "", err
	}
	if len(versions) == 0 {
		return "", fmt.Errorf("the environment has no extension %s; without a name the command lists those that it has", name)
	}
	return tenant.Highest(versions), nil
}

// localize makes a file of each configuration, and reads it as the agent will.
// It returns those that are in use with this version of the package.
func (p *pulled) localize(e tenant.Extension, all []tenant.Configuration) (used []extension.Configuration, err error) {
	l := tenant.NewLocalizer(e.Name)
	taken := map[string]int{}
	for _, c := range all {
		data, missing, err := l.File(c)
		if err != nil {
			return nil, err
		}
		about := c.About()
		base := p.stem(c.Scope, about, taken) + ".json"
		made := pulledConfiguration{
			File: filepath.Join(filepath.Dir(p.File), base), Scope: c.Scope, Missing: missing,
			Description: about.Description, Version: about.Version, Enabled: about.Enabled,
		}
		read, err := extension.ParseConfiguration(data, base)
		if err != nil {
			made.Fault, _, _ = strings.Cut(err.Error(), "\n")
		} else if about.Enabled && (about.Version == "" || about.Version == e.Version) {
			used = append(used, read...)
		}
		p.Configurations = append(p.Configurations, made)
		p.files = append(p.files, newFile{made.File, data, 0o600})
	}
	p.Credentials = l.Credentials()
	return used, nil
}

// stem is a name for a configuration's file, after what it is for.
func (p *pulled) stem(scope string, about tenant.About, taken map[string]int) string {
	word := cmp.Or(slug(about.Description), slug(strings.TrimPrefix(scope, "ag_group-")), "configuration")
	stem := strings.TrimSuffix(filepath.Base(p.File), ".zip") + "-" + word
	if taken[stem]++; taken[stem] > 1 {
		stem += "-" + strconv.Itoa(taken[stem])
	}
	return stem
}

// slug makes a word of letters, digits and hyphens.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	s := strings.Join(words, "-")
	return strings.Trim(s[:min(len(s), 40)], "-")
}

// judge checks that the file is the package that was asked for and says what of
// it runs here. Its signature is not checked: that is for `ext verify`.
func (p *pulled) judge(folder string, m tenant.Metadata, bundle []byte, configurations []extension.Configuration) error {
	path, err := spool(folder, bundle)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	opened, err := sign.Open(path, sign.DefaultLimits())
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the name that the file has for a moment
		}
		return fmt.Errorf("the environment's file of %s %s: %w", p.Name, p.Version, err)
	}
	defer opened.Close()
	if m.FileHash != "" && !strings.EqualFold(m.FileHash, p.SHA256) && !strings.EqualFold(m.FileHash, opened.Digest) {
		return fmt.Errorf("%s %s arrived damaged: its SHA-256 is %s, the environment names %.64s; try again", p.Name, p.Version, p.SHA256, oneLine(m.FileHash))
	}
	name, version, err := extension.Identity(opened.FS, p.Name)
	if err != nil {
		return err
	}
	if name != p.Name || version != p.Version {
		return fmt.Errorf("asked for %s %s, the environment gave the package of %s %s", p.Name, p.Version, oneLine(name), oneLine(version))
	}
	p.Judgement = tenant.JudgePackage(opened.FS, p.Name, configurations)
	if len(m.DataSources) > 0 {
		p.Judgement = p.Judgement.With(tenant.JudgeSources(m.DataSources))
	}
	return nil
}
