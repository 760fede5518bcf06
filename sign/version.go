package sign

import (
	"fmt"
	"regexp"
	"strings"
)

// RuleIdentity is of a name or a version that no extension may have.
const RuleIdentity Rule = "identity"

const longestIdentity = 150 // bytes of a name, and of a version

var (
	nameForm    = regexp.MustCompile(`^(custom:)*[a-z0-9_.-]+$`)
	versionForm = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)
)

// CheckIdentity refuses names and versions that `edgehold ext lint` refuses, so
// that one package has one name and one version only. The error is a *Refusal.
func CheckIdentity(name, version string) error {
	switch {
	case len(name) > longestIdentity || !nameForm.MatchString(name) || strings.Contains(name, ".."):
		return refuse(RuleIdentity, fmt.Sprintf("%.*q is not the name of an extension", longestIdentity, name),
			fmt.Sprintf("write name: in extension.yaml with at most %d lower case letters, digits and - _ . without .. such as custom:site.switch", longestIdentity))
	case len(version) > longestIdentity || !versionForm.MatchString(version):
		return refuse(RuleIdentity, fmt.Sprintf("%.*q is not the version of an extension", longestIdentity, version),
			"write version: in extension.yaml as three numbers without leading zeros, such as 1.0.0")
	}
	return nil
}

// CompareVersions orders versions: negative where a is lower than b. Parts are
// numbers, parted by dots; a part that is none comes before those that are, by
// its text.
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		var partA, partB string
		partA, a, _ = strings.Cut(a, ".")
		partB, b, _ = strings.Cut(b, ".")
		if c := comparePart(partA, partB); c != 0 {
			return c
		}
	}
	return 0
}

// comparePart holds one part against another; a part that is missing is 0.
func comparePart(a, b string) int {
	numberA, isA := number(a)
	numberB, isB := number(b)
	switch {
	case isA && isB && len(numberA) != len(numberB):
		return len(numberA) - len(numberB)
	case isA && isB:
		return strings.Compare(numberA, numberB)
	case isA:
		return 1
	case isB:
		return -1
	}
	return strings.Compare(a, b)
}

// number strips leading zeros of a part that is a number of any length.
func number(part string) (digits string, ok bool) {
	for i := range len(part) {
		if part[i] < '0' || part[i] > '9' {
			return "", false
		}
	}
	return strings.TrimLeft(part, "0"), true
}
