package sign

import (
	"strings"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	ordered := []string{"", "0.0.1", "1.0.rc1", "1", "1.0.1", "1.2.3", "1.10.0", "2.0.0", "2.0.18446744073709551617"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := CompareVersions(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%q against %q is %d", a, b, got)
			}
		}
	}
	if CompareVersions("1.0.0", "1") != 0 || CompareVersions("01.2", "1.2.0") != 0 {
		t.Error("the same version in two spellings differs")
	}
}

func TestCheckIdentity(t *testing.T) {
	long := strings.Repeat("1", longestIdentity)
	for _, c := range []struct {
		name, version string
		want          Rule
	}{
		{"custom:plant.switch", "1.0.0", ""},
		{"com.dynatrace.extension.snmp-auto_2", "10.20.30", ""},
		{"custom:x", "0.0.0", ""},
		{"custom:x", "1.0", RuleIdentity},
		{"custom:x", "1", RuleIdentity},
		{"custom:x", "1.0.0.0", RuleIdentity},
		{"custom:x", "01.0.0", RuleIdentity},
		{"custom:x", "1.0.00", RuleIdentity},
		{"custom:x", "1.0.0\n", RuleIdentity},
		{"custom:x", "1.0.b", RuleIdentity},
		{"custom:x", "", RuleIdentity},
		{"custom:x", "1.0." + long, RuleIdentity},
		{"custom:../x", "1.0.0", RuleIdentity},
		{"custom:a..b", "1.0.0", RuleIdentity},
		{"a/b", "1.0.0", RuleIdentity},
		{"custom:x\x1b[2J", "1.0.0", RuleIdentity},
		{"custom:X", "1.0.0", RuleIdentity},
		{"custom:x\n", "1.0.0", RuleIdentity},
		{"", "1.0.0", RuleIdentity},
		{"custom:" + long, "1.0.0", RuleIdentity},
	} {
		wantRule(t, CheckIdentity(c.name, c.version), c.want)
	}
}
