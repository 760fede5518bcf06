package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// canary is what no error, warning or printed configuration may show.
const canary = "Hunter2-cAnArY"

// FuzzLoad holds every answer of Load against what a reader needs: a place
// inside the file, a reason, and no secret.
func FuzzLoad(f *testing.F) {
	for _, b := range badFiles {
		f.Add(b.text)
	}
	f.Add(good)
	f.Add(string(Reference))
	f.Add(strings.ReplaceAll(commented.ReplaceAllString(string(Reference), "$1$2"), "plant", canary))
	f.Add("a: &a {b: *a}\n<<: [*a, *a]\n")
	dir := f.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := Load(path, testKinds())
		lines := 1 + strings.Count(text, "\n")
		var list Errors
		switch {
		case err == nil:
			checkConfig(t, cfg)
		case !errors.As(err, &list) || cfg != nil || len(list) == 0:
			t.Fatalf("config %v with error %v", cfg, err)
		}
		for _, e := range list {
			if e.File != path || e.Line < 1 || e.Line > lines || e.Column < 0 || e.Found == "" {
				t.Errorf("no place or reason: %#v in %d lines", e, lines)
			}
		}
		for _, w := range warnings {
			if !strings.HasPrefix(w.Where, path+":") || w.Text == "" {
				t.Errorf("warning %#v", w)
			}
		}
	})
}

// checkConfig holds a loaded configuration against what it promises.
func checkConfig(t *testing.T, cfg *Config) {
	t.Helper()
	for _, path := range []string{cfg.StateDir, cfg.Socket, cfg.Trust.Roots} {
		if !filepath.IsAbs(path) {
			t.Errorf("path %q is not absolute", path)
		}
	}
	d := cfg.Uplink
	if cfg.Site == "" || d.URL == "" || cfg.Polling.MaxInFlight < 1 || len(cfg.Hash) != 64 {
		t.Fatalf("config %+v", cfg)
	}
	normal := normalURL
	if d.Kind == "otlp" {
		normal = func(text string) (string, Error) { return normalOTLP(text, d.HasToken()) }
	}
	if again, fault := normal(d.URL); again != d.URL || fault != (Error{}) {
		t.Errorf("url %q normalises to %q, %+v", d.URL, again, fault)
	}
	for i := 1; i < len(cfg.Dimensions); i++ {
		if cfg.Dimensions[i-1].Key >= cfg.Dimensions[i].Key {
			t.Errorf("dimensions %v are not sorted", cfg.Dimensions)
		}
	}
}

// FuzzSecrets writes a secret at every place of a file where a person might
// put one, breaks the file, and looks for the secret in what is said.
func FuzzSecrets(f *testing.F) {
	for i := range len(secretPlaces) {
		f.Add(uint8(i), uint16(0), "")
		f.Add(uint8(i), uint16(7), ":")
		f.Add(uint8(i), uint16(40), "\t")
		f.Add(uint8(i), uint16(60), " [")
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	f.Fuzz(func(t *testing.T, place uint8, at uint16, insert string) {
		text := secretPlaces[int(place)%len(secretPlaces)]
		before, after, _ := strings.Cut(text, canary)
		if i := int(at) % (len(before) + 1); len(insert) <= 2 && i < len(before) && betweenWords(before, i) && isSyntax(insert) {
			text = before[:i] + insert + before[i:] + canary + after
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Load(path, testKinds())
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("shown: %v\nfor\n%s", err, text)
		}
		for _, w := range warnings {
			if strings.Contains(w.String(), canary) {
				t.Errorf("shown: %v\nfor\n%s", w, text)
			}
		}
	})
}

func isSyntax(text string) bool {
	return strings.Trim(text, ": -[{\"'\t\n,") == ""
}

// betweenWords is false within a key: a key of another name holds no secret.
func betweenWords(text string, i int) bool {
	word := func(b byte) bool { return b == '_' || 'a' <= b && b <= 'z' }
	return i == 0 || !word(text[i-1]) || !word(text[i])
}

var secretPlaces = []string{
	"site: x\nuplink:\n  dynatrace: {url: https://h.example, token: " + canary + "}\n",
	"site: x\nuplink:\n  dynatrace:\n    url: https://h.example\n    token:" + canary + "\n",
	"site: x\nuplink:\n  dynatrace: {url: https://h.example, token_file: " + canary + "}\n",
	"site: x\nuplink:\n  dynatrace: {url: https://h.example, token_env: " + canary + "}\n",
	"site: x\nuplink:\n  dynatrace: {url: https://h.example, token_credential: [" + canary + "]}\n",
	"site: x\nuplink:\n  dynatrace: {url: 'https://u:" + canary + "@h.example'}\n",
	"site: x\nuplink:\n  dynatrace: {url: 'https://h.example/?token=" + canary + "'}\n",
	"site: x\nuplink:\n  dynatrace: {proxy: 'http://u:" + canary + "@p:1'}\n",
	"site: x\nuplink: {token: " + canary + "}\n",
	"token: " + canary + "\n",
	"credentials:\n  a: " + canary + "\n",
	"credentials:\n  a: [" + canary + "]\n",
	"credentials:\n  a: {" + canary + "}\n",
	"credentials:\n  a: {community:" + canary + "}\n",
	"credentials:\n  a: {community: " + canary + "}\n",
	"credentials:\n  a: {community_file: " + canary + "}\n",
	"credentials:\n  a: {community_file: /etc/" + canary + "}\n",
	"credentials:\n  a: {community_file: *" + canary + "}\n",
	"credentials:\n  a: {community_file: !" + canary + "}\n",
	"credentials:\n  a: {community_env: " + canary + "}\n",
	"credentials:\n  a: {community_credential: " + canary + "}\n",
	"credentials:\n  a: {version: " + canary + "}\n",
	"credentials:\n  a: {user: u, auth: SHA, auth_password: " + canary + ", priv_file: " + canary + "}\n",
	"credentials:\n  a: {user: u, auth: " + canary + ", auth_env: " + canary + ", priv: " + canary + "}\n",
	"credentials:\n  a:\n    community: x\n    community: " + canary + "\n",
	"probes:\n  - {kind: snmp, devices: [h], community: " + canary + "}\n",
	"probes:\n  - {kind: snmp, devices: [h], credentials: " + canary + "}\n",
	"probes:\n  - {kind: http_check, password: {a: " + canary + "}}\n",
	"probes:\n  - {kind: http_check, api_key: " + canary + ", password: " + canary + "}\n",
}

// Nothing prints a secret that was read in order.
func TestLoadedSecretsStayHidden(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": good + "credentials: {a: {community_file: c}}\n",
		"c":             canary,
	})
	cfg, _ := mustLoad(t, "edgehold.yaml")
	if cfg.Credentials["a"].Community.Reveal() != canary {
		t.Fatal("not read")
	}
	if text := fmt.Sprintf("%v %+v %#v", cfg, *cfg, cfg.Credentials); strings.Contains(text, canary) {
		t.Errorf("printed: %s", text)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"url", "token_file", "proxy", "ca_file", "interval"}
	for text, want := range map[string]string{
		"urll": "url", "ulr": "url", "URL": "url", "token-file": "token_file", "tokenfile": "token_file", "TokenFile": "token_file",
		"intervall": "interval", "inteval": "interval", "cafile": "ca_file", "xyz": "", "": "", "completely_different": "",
	} {
		if got := nearest(text, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", text, got, want)
		}
	}
	if d := distance("abcd", "acbd"); d != 1 {
		t.Errorf("a swap of neighbours counts %d", d)
	}
}

// A type that the decoder does not know is an error, not a panic.
func TestUnknownType(t *testing.T) {
	var out struct {
		C chan int `yaml:"c"`
	}
	root, _ := source{name: "f", data: []byte("c: 1\n")}.parse()
	var d decoder
	d.decode(root, "", reflect.ValueOf(&out).Elem())
	if len(d.errs) != 1 || d.errs[0].Error() != "f:1:4: c: a key that this version cannot read (type chan int)" {
		t.Errorf("errors %v", d.errs)
	}
}
