package main

import (
	"fmt"
	"io"

	"github.com/edgehold/edgehold/agent"
	"github.com/edgehold/edgehold/agent/config"
)

// checkRule is a rule of the privacy policy.
type checkRule struct {
	Where string `json:"where"` // file:line:column
	Rule  string `json:"rule"`
}

func checkPrivacy(cfg *config.Config) []checkRule {
	rules := []checkRule{}
	for _, r := range agent.PrivacyRules(cfg) {
		rules = append(rules, checkRule{r.Where, r.Text()})
	}
	return rules
}

func printCheckPrivacy(w io.Writer, rules []checkRule) {
	if len(rules) > 0 {
		fmt.Fprintf(w, "  privacy policy: %s, applied before anything is stored; `edgehold audit egress` shows what they do\n", counted(len(rules), "rule"))
	}
	for _, r := range rules {
		fmt.Fprintf(w, "    %s: %s\n", r.Where, r.Rule)
	}
}
