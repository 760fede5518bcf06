package tenanttest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// stored is a package that the stand-in holds.
type stored struct {
	Name    string   `json:"extensionName"`
	Version string   `json:"version"`
	Sources []string `json:"dataSources"`
	Hash    string   `json:"fileHash"`
	bundle  []byte
}

// maxVersions of one extension.
const maxVersions = 10

var (
	nameShape    = regexp.MustCompile(`^custom:[a-z0-9][a-z0-9._-]*$`)
	versionShape = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	nameLine     = regexp.MustCompile(`(?m)^name:\s*"?([^"\s]+)`)
	versionLine  = regexp.MustCompile(`(?m)^version:\s*"?([^"\s]+)`)
	sourceLine   = regexp.MustCompile(`(?m)^(snmp|snmptraps|prometheus|python|wmi|jmx|sql[A-Za-z]+|statsd):`)
)

// Add stores a package without the checks of an upload.
func (s *Server) Add(bundle []byte) error {
	p, err := open(bundle)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packages = append(s.packages, p)
	return nil
}

// open reads a bundle: extension.zip with its signature.
func open(bundle []byte) (stored, error) {
	outer, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		return stored{}, errors.New("the file is no zip")
	}
	parts := map[string][]byte{}
	for _, f := range outer.File {
		if !slices.Contains([]string{"extension.zip", "extension.zip.sig", "extension.zip.sig.tsr"}, f.Name) {
			return stored{}, fmt.Errorf("the file holds %s", f.Name)
		}
		if parts[f.Name], err = content(f); err != nil {
			return stored{}, err
		}
	}
	if !bytes.Contains(parts["extension.zip.sig"], []byte("-----BEGIN CMS-----")) {
		//lint:ignore ST1005 the words of the real one
		return stored{}, errors.New("Extension signature is not valid")
	}
	inner := parts["extension.zip"]
	files, err := zip.NewReader(bytes.NewReader(inner), int64(len(inner)))
	if err != nil {
		return stored{}, errors.New("extension.zip is missing or no zip")
	}
	sum := sha256.Sum256(bundle)
	p := stored{Hash: hex.EncodeToString(sum[:]), bundle: bundle, Sources: []string{}}
	for _, f := range files.File {
		if f.Name != "extension.yaml" {
			continue
		}
		manifest, err := content(f)
		if err != nil {
			return stored{}, err
		}
		p.describe(string(manifest))
	}
	return p, nil
}

func content(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (p *stored) describe(manifest string) {
	if m := nameLine.FindStringSubmatch(manifest); m != nil {
		p.Name = m[1]
	}
	if m := versionLine.FindStringSubmatch(manifest); m != nil {
		p.Version = m[1]
	}
	for _, m := range sourceLine.FindAllStringSubmatch(manifest, -1) {
		p.Sources = append(p.Sources, m[1])
	}
}

func (s *Server) held(name string) []stored {
	return slices.DeleteFunc(slices.Clone(s.packages), func(p stored) bool { return p.Name != name })
}

func (s *Server) one(name, version string) (stored, bool) {
	for _, p := range s.packages {
		if p.Name == name && p.Version == version {
			return p, true
		}
	}
	return stored{}, false
}

// brief is what a list tells of a package.
type brief struct {
	Name    string `json:"extensionName"`
	Version string `json:"version"`
}

func (s *Server) list(req request) reply {
	return s.page(req, func(query url.Values) []any {
		var all []any
		for _, p := range s.packages {
			if strings.Contains(p.Name, query.Get("name")) {
				all = append(all, brief{p.Name, p.Version})
			}
		}
		return all
	}, "extensions")
}

func (s *Server) versions(req request) reply {
	held := s.held(req.path[0])
	if len(held) == 0 {
		return refuse(http.StatusNotFound, "Extension "+req.path[0]+" does not exist")
	}
	return s.page(req, func(url.Values) []any {
		var all []any
		for _, p := range held {
			all = append(all, brief{p.Name, p.Version})
		}
		return all
	}, "extensions")
}

func (s *Server) extension(req request) reply {
	p, ok := s.one(req.path[0], req.path[1])
	if !ok {
		return refuse(http.StatusNotFound, "Extension "+req.path[0]+":"+req.path[1]+" does not exist")
	}
	if req.accept == asFile {
		return reply{status: http.StatusOK, file: p.bundle}
	}
	return reply{status: http.StatusOK, json: p}
}

func (s *Server) upload(req request) reply {
	invalid := func(text string) reply {
		return refuse(http.StatusBadRequest, "Constraints violated.", violation{Path: "extension.zip", Message: text, ParameterLocation: "PAYLOAD_BODY"})
	}
	p, err := open(req.body)
	_, taken := s.one(p.Name, p.Version)
	switch {
	case err != nil:
		return invalid(err.Error())
	case !nameShape.MatchString(p.Name) || len(p.Name) > 50:
		return invalid("name: must begin with custom: and have at most 50 characters")
	case !versionShape.MatchString(p.Version):
		return invalid("version: must be of the form 1.2.3")
	case taken:
		return invalid("Extension " + p.Name + ":" + p.Version + " was uploaded before")
	case len(s.held(p.Name)) >= maxVersions:
		return invalid("the limit of versions is reached")
	case req.query.Get("validateOnly") == "true":
		return reply{status: http.StatusOK, json: p}
	}
	s.packages = append(s.packages, p)
	return reply{status: http.StatusCreated, json: p}
}

func (s *Server) readActive(req request) reply {
	version, ok := s.active[req.path[0]]
	if !ok {
		return refuse(http.StatusNotFound, "no version of "+req.path[0]+" is active")
	}
	return reply{status: http.StatusOK, json: map[string]string{"version": version}}
}

func (s *Server) writeActive(req request) reply {
	var body struct {
		Version string `json:"version"`
	}
	if err := strictJSON(req.body, &body); err != nil || body.Version == "" {
		return breach(http.StatusBadRequest, "the body is not {\"version\": ...}")
	}
	if _, ok := s.one(req.path[0], body.Version); !ok {
		return refuse(http.StatusNotFound, "Extension "+req.path[0]+":"+body.Version+" does not exist")
	}
	s.active[req.path[0]] = body.Version
	return reply{status: http.StatusOK, json: body}
}

func (s *Server) configurations(req request) reply {
	if len(s.held(req.path[0])) == 0 {
		return refuse(http.StatusNotFound, "Extension "+req.path[0]+" does not exist")
	}
	return s.page(req, func(query url.Values) []any {
		var all []any
		for _, c := range s.configs[req.path[0]] {
			value, _ := c.Value.(map[string]any)
			if want := query.Get("version"); want == "" || value["version"] == want {
				all = append(all, Configuration{c.ID, c.Scope, mask("", c.Value)})
			}
		}
		return all
	}, "items")
}

// mask puts ***16 hex digits*** in the place of each secret; the same secret
// gives the same digits.
func mask(key string, v any) any {
	switch t := v.(type) {
	case string:
		if slices.Contains([]string{"community", "authPassword", "privPassword", "password", "token"}, key) {
			sum := sha256.Sum256([]byte(t))
			return "***" + hex.EncodeToString(sum[:8]) + "***"
		}
	case []any:
		masked := make([]any, len(t))
		for i, item := range t {
			masked[i] = mask(key, item)
		}
		return masked
	case map[string]any:
		masked := make(map[string]any, len(t))
		for k, item := range t {
			masked[k] = mask(k, item)
		}
		return masked
	}
	return v
}
