// Command sbom prints a CycloneDX bill of materials of an artefact: what the
// build information of the binary in it says, and the artefact's checksum.
//
//	sbom ARTEFACT VERSION BINARY...
//
// SOURCE_DATE_EPOCH is its time. go.sum, in the current folder, gives the
// checksums of the modules.
package main

import (
	"bufio"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

type document struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

func run(args []string, out io.Writer) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: sbom ARTEFACT VERSION BINARY...")
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("read SOURCE_DATE_EPOCH: %w", err)
	}
	artefact, err := describe(args[0], args[1])
	if err != nil {
		return err
	}
	sums, err := checksums("go.sum")
	if err != nil {
		return err
	}
	parts := map[string]component{}
	for _, binary := range args[2:] {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return fmt.Errorf("read build information of %s: %w", binary, err)
		}
		if len(args) == 3 {
			artefact.Properties = settings(info)
		}
		modules(info, sums, parts)
	}
	doc := document{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Serial: serial(artefact.Hashes[0].Content),
		Metadata: metadata{Timestamp: time.Unix(seconds, 0).UTC().Format(time.RFC3339), Component: artefact},
	}
	root := dependency{Ref: artefact.Ref}
	for _, part := range parts {
		doc.Components = append(doc.Components, part)
		root.DependsOn = append(root.DependsOn, part.Ref)
		doc.Dependencies = append(doc.Dependencies, dependency{Ref: part.Ref})
	}
	slices.SortFunc(doc.Components, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	slices.SortFunc(doc.Dependencies, func(a, b dependency) int { return strings.Compare(a.Ref, b.Ref) })
	slices.Sort(root.DependsOn)
	doc.Dependencies = append([]dependency{root}, doc.Dependencies...)
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doc)
}

// describe is the artefact itself.
func describe(path, version string) (component, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return component{}, err
	}
	sum := sha256.Sum256(content)
	name := filepath.Base(path)
	c := component{
		Type: "application", Ref: name, Name: name, Version: version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licenses: make([]license, 1),
	}
	c.Licenses[0].License.ID = "Apache-2.0"
	if strings.HasSuffix(name, ".oci.tar") {
		c.Type = "container"
	}
	return c, nil
}

// modules adds what is linked into one binary.
func modules(info *buildinfo.BuildInfo, sums map[string]string, parts map[string]component) {
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	std := "pkg:golang/std@" + goVersion
	parts[std] = component{Type: "library", Ref: std, Name: "std", Version: goVersion, Scope: "required", PURL: std}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{
			Type: "library", Name: m.Path, Version: m.Version, Scope: "required",
			PURL: "pkg:golang/" + m.Path + "@" + m.Version + "?type=module",
		}
		c.Ref = c.PURL
		sum := m.Sum
		if sum == "" {
			sum = sums[m.Path+" "+m.Version]
		}
		// h1: is the SHA-256 of a list of the module's files.
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(raw) == sha256.Size {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
		}
		parts[c.Ref] = c
	}
}

// settings are the parts of the build that another one has to repeat.
func settings(info *buildinfo.BuildInfo) []property {
	out := []property{{"edgehold:go", info.GoVersion}}
	for _, s := range info.Settings {
		if s.Key == "GOARCH" || s.Key == "GOARM" || s.Key == "GOOS" || s.Key == "-tags" || s.Key == "CGO_ENABLED" {
			out = append(out, property{"edgehold:build:" + s.Key, s.Value})
		}
	}
	return out
}

// checksums reads a go.sum by "module version".
func checksums(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sums := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 3 {
			sums[f[0]+" "+f[1]] = f[2]
		}
	}
	return sums, lines.Err()
}

// serial is a UUID that the content decides, in the form of version 8.
func serial(sum string) string {
	return fmt.Sprintf("urn:uuid:%s-%s-8%s-a%s-%s", sum[:8], sum[8:12], sum[13:16], sum[17:20], sum[20:32])
}
