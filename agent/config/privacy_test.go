package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const privacyHead = "site: s\nuplink: {dynatrace: {url: 'https://x.example', token_file: token}}\nprivacy_file: privacy.yaml\n"

func TestPrivacy(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // parts of errors; none: it is good
	}{
		{"drop", "rules:\n- {dimension: '*user*', action: drop}\n", nil},
		{"hash", "salt_file: salt\nrules:\n- {dimension: device.address, action: hash}\n- {dimension: 'if.?lias', metric: com.x.*, action: drop}\n", nil},
		{"empty", "", []string{"privacy.yaml:1:1: rules: missing", "write e.g. rules:"}},
		{"no rules", "rules: []\n", nil},
		{"not a map", "- a\n", []string{"privacy.yaml:1:1: found a list, expected a map"}},
		{"no YAML", "rules: [\n", []string{"privacy.yaml:1"}},
		{"no action", "rules:\n- {dimension: a}\n", []string{"privacy.yaml:2:3: rules[0].action: missing"}},
		{"no dimension", "rules:\n- {action: drop}\n", []string{"privacy.yaml:2:3: rules[0].dimension: missing"}},
		{"other action", "rules:\n- {dimension: a, action: hsh}\n", []string{`privacy.yaml:2:26: rules[0].action: found the text "hsh"`, `did you mean "hash"?`}},
		{"misspelt", "rule:\n- {dimension: a, action: drop}\n", []string{`privacy.yaml:1:1: rule: unknown key; did you mean "rules"?`}},
		{"no name", "rules:\n- {dimension: 'a=b', action: drop}\n", []string{"rules[0].dimension: not the name of a dimension"}},
		{"empty metric", "rules:\n- {dimension: a, metric: '', action: drop}\n", []string{"rules[0].metric: not the name"}},
		{"no salt", "rules:\n- {dimension: a, action: drop}\n- {dimension: a, action: hash}\n", []string{"privacy.yaml:3:26: rules[1].action: a hash needs a salt", "umask 077"}},
		{"salt missing", "salt_file: nowhere\nrules:\n- {dimension: a, action: hash}\n", []string{"privacy.yaml:1:12: salt_file: ", "nowhere: no such file", "umask 077"}},
		{"salt open", "salt_file: open\nrules:\n- {dimension: a, action: hash}\n", []string{"salt_file: ", "is readable by others (mode 0644)", "chmod o-rwx"}},
		{"salt short", "salt_file: short\nrules:\n- {dimension: a, action: hash}\n", []string{"salt_file: the salt is 5 characters long, expected at least 16"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder(t, map[string]string{"privacy.yaml": tt.text, "salt": "0123456789abcdef0123", "short": "s3cr3", "open": "0123456789abcdef0123"})
			if err := os.Chmod("open", 0o644); err != nil {
				t.Fatal(err)
			}
			write(t, "edgehold.yaml", privacyHead)
			cfg, _, err := Load("edgehold.yaml", nil)
			if len(tt.want) == 0 {
				if err != nil || !filepath.IsAbs(cfg.Privacy.File) {
					t.Errorf("%v %+v", err, cfg)
				}
				return
			}
			var all Errors
			if !errors.As(err, &all) || len(all) != 1 {
				t.Errorf("%d errors, want one: %v", len(all), err)
			}
			for _, want := range append(tt.want, "/privacy.yaml:") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nhas no %s", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "s3cr3") || strings.Contains(err.Error(), "0123456789")) {
				t.Errorf("%v shows a salt", err)
			}
		})
	}
}

// A policy is part of the configuration: with another one its hash is another.
func TestPrivacyIsHashed(t *testing.T) {
	folder(t, map[string]string{"edgehold.yaml": privacyHead, "salt": "0123456789abcdef0123"})
	hashes := map[string]bool{}
	for _, text := range []string{"rules: [{dimension: a, action: drop}]\n", "rules: [{dimension: b, action: drop}]\n", "salt_file: salt\nrules: [{dimension: a, action: hash}]\n"} {
		write(t, "privacy.yaml", text)
		cfg, _, err := Load("edgehold.yaml", nil)
		if err != nil {
			t.Fatal(err)
		}
		hashes[cfg.Hash] = true
		if hash := strings.Contains(text, "hash"); hash == cfg.Privacy.Salt.IsZero() {
			t.Errorf("%s: the salt is %q", text, cfg.Privacy.Salt.Reveal())
		}
		if r := cfg.Privacy.Rules; len(r) != 1 || !strings.HasSuffix(r[0].Where, "/privacy.yaml:1:9") && !strings.HasSuffix(r[0].Where, "/privacy.yaml:2:9") {
			t.Errorf("rules %+v", r)
		}
	}
	if len(hashes) != 3 {
		t.Errorf("%d hashes of three policies", len(hashes))
	}
}

func TestPrivacyFileMissing(t *testing.T) {
	folder(t, map[string]string{"edgehold.yaml": privacyHead})
	_, _, err := Load("edgehold.yaml", nil)
	if err == nil || !strings.Contains(err.Error(), "edgehold.yaml:3:15: privacy_file: ") || !strings.Contains(err.Error(), "privacy.yaml: no such file") {
		t.Error(err)
	}
}

// Who drops what tells things apart is warned, who hashes it is not.
func TestPrivacyWarnsOfIdentity(t *testing.T) {
	for text, want := range map[string][]string{
		"{dimension: site, action: drop}":            {"two sites with the same private addresses"},
		"{dimension: 'device.*', action: drop}":      {"devices with the same interfaces", "agents behind one address"},
		"{dimension: Device.Address, action: drop}":  {"devices with the same interfaces"},
		"{dimension: 'device.*', action: hash}":      nil,
		"{dimension: device.addressx, action: drop}": nil,
		"{dimension: if.alias, action: drop}":        nil,
	} {
		folder(t, map[string]string{"edgehold.yaml": privacyHead, "salt": "0123456789abcdef0123", "privacy.yaml": "salt_file: salt\nrules:\n- " + text + "\n"})
		_, warnings, err := Load("edgehold.yaml", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) != len(want) {
			t.Errorf("%s: warnings %v", text, warnings)
			continue
		}
		for i, w := range warnings {
			if !strings.Contains(w.String(), want[i]) || !strings.Contains(w.Where, "privacy.yaml:3:") {
				t.Errorf("%s: %v", text, w)
			}
		}
	}
}
