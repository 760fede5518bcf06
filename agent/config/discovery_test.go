package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDiscovery(t *testing.T) {
	const head = "site: s\nuplink: {dynatrace: {url: 'https://x.example', token_env: T}}\ncredentials: {a: {community_file: c}}\n"
	for _, tt := range []struct {
		text string
		want []string // parts of errors, in order; none: it is good
	}{
		{"discovery: {networks: [192.0.2.0/24, 192.0.2.77, '2001:db8::/120'], credentials: [a]}", nil},
		{"discovery: {networks: [10.0.0.0/16], credentials: [a], at: '23:59', packets_per_second: 1000}", nil},
		{"discovery: {credentials: [a]}", []string{"discovery.networks: missing"}},
		{"discovery: {networks: [10.0.0.0/24]}", []string{"discovery.credentials: missing"}},
		{"discovery: {networks: [10.0.0.0/15, 'fd00::/64'], credentials: [a]}", []string{"networks[0]: 10.0.0.0/15 has more than 65536", "networks[1]: fd00::/64 has"}},
		{"discovery: {networks: [ten], credentials: [a]}", []string{`"ten" is not a network`}},
		{"discovery: {networks: [10.0.0.0/24], credentials: [aa]}", []string{`there is no credential "aa"`}},
		{"discovery: {networks: [10.0.0.0/24], credentials: [v3ry-s3cret]}", []string{"there is no credential of this name"}},
		{"discovery: {networks: [10.0.0.0/24], credentials: [a], at: noon}", []string{"at: not a time of the day"}},
		{"discovery: {networks: [10.0.0.0/24], credentials: [a], packets_per_second: 0}", []string{"packets_per_second: found 0"}},
	} {
		folder(t, map[string]string{"c": "public"})
		write(t, "edgehold.yaml", head+tt.text+"\n")
		cfg, _, err := Load("edgehold.yaml", nil)
		if len(tt.want) == 0 {
			if err != nil || !cfg.Discovery.On() || cfg.Discovery.At == "" || !netip.Prefix(cfg.Discovery.Networks[0]).IsValid() {
				t.Errorf("%s: %v %+v", tt.text, err, cfg)
			}
			continue
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v tells what may be a secret", tt.text, err)
		}
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", tt.text, err, want)
			}
		}
	}
}
