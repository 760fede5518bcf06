package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Extension is one package of the environment by its name and version.
type Extension struct {
	Name    string `json:"extensionName"`
	Version string `json:"version"`
}

// Metadata is what the environment tells of a package.
type Metadata struct {
	Extension
	DataSources []string `json:"dataSources"`
	FeatureSets []string `json:"featureSets"`
	FileHash    string   `json:"fileHash"` // SHA-256 of the file; "" where it does not say
}

// Configuration is one monitoring configuration of an extension.
type Configuration struct {
	ID    string          `json:"objectId"`
	Scope string          `json:"scope"`
	Value json.RawMessage `json:"value"`
}

// About is what a configuration says of itself.
type About struct {
	Enabled     bool   `json:"enabled"`
	Description string `json:"description"`
	Version     string `json:"version"` // of the package that it is for
}

// About reads what a configuration of any data source says of itself, as far as
// it is what one expects.
func (c Configuration) About() About {
	about := About{Enabled: true}
	_ = json.Unmarshal(c.Value, &about) // of another type: left away
	return about
}

var (
	nameShape    = regexp.MustCompile(`^(custom:)?[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
	versionShape = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9}){0,5}([-+][A-Za-z0-9.-]{1,40})?$`)
)

// CheckName refuses what cannot be the name of an extension; all that pass can
// stand in a path and in a file name.
func CheckName(name string) error {
	if !nameShape.MatchString(name) {
		return fmt.Errorf("%.60q is not the name of an extension, which has letters, digits and . _ -, as in custom:site.switch", name)
	}
	return nil
}

// CheckVersion refuses what cannot be a version.
func CheckVersion(version string) error {
	if !versionShape.MatchString(version) {
		return fmt.Errorf("%.60q is not a version, which looks like 1.2.3", version)
	}
	return nil
}

func (e Extension) check() error {
	if err := CheckName(e.Name); err != nil {
		return err
	}
	return CheckVersion(e.Version)
}

// FileName is a name for the package's file without its ending, as the vendor's
// tools write it.
func (e Extension) FileName() string { return strings.ReplaceAll(e.Name, ":", "_") + "-" + e.Version }

var errNoList = errors.New("the list is missing")

// readExtensions gives one page of a list, and the key of the next one, "" on
// the last.
func readExtensions(data []byte) (some []Extension, next string, err error) {
	var body struct {
		Extensions []Extension `json:"extensions"`
		Next       string      `json:"nextPageKey"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, "", err
	}
	if body.Extensions == nil {
		return nil, "", errNoList
	}
	for _, e := range body.Extensions {
		if err := e.check(); err != nil {
			return nil, "", err
		}
	}
	return body.Extensions, body.Next, nil
}

// readConfigurations is alike.
func readConfigurations(data []byte) (some []Configuration, next string, err error) {
	var body struct {
		Items []Configuration `json:"items"`
		Next  string          `json:"nextPageKey"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, "", err
	}
	if body.Items == nil {
		return nil, "", errNoList
	}
	for i, item := range body.Items {
		if len(item.Value) == 0 || item.Value[0] != '{' {
			return nil, "", fmt.Errorf("items[%d].value: missing or not an object", i)
		}
	}
	return body.Items, body.Next, nil
}

func readMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, err
	}
	return m, m.check()
}

func readVersion(data []byte) (string, error) {
	var body struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return "", err
	}
	return body.Version, CheckVersion(body.Version)
}
