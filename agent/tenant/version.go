package tenant

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CompareVersions orders versions by their numbers; at the same numbers one with
// a suffix comes first.
func CompareVersions(a, b string) int {
	numbersA, suffixA := split(a)
	numbersB, suffixB := split(b)
	for i := range max(len(numbersA), len(numbersB)) {
		if order := cmp.Compare(at(numbersA, i), at(numbersB, i)); order != 0 {
			return order
		}
	}
	switch {
	case suffixA == "" && suffixB != "":
		return 1
	case suffixA != "" && suffixB == "":
		return -1
	}
	return strings.Compare(suffixA, suffixB)
}

func split(version string) (numbers []int, suffix string) {
	head := version
	if i := strings.IndexAny(version, "-+"); i >= 0 {
		head, suffix = version[:i], version[i:]
	}
	for part := range strings.SplitSeq(head, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return numbers, version
		}
		numbers = append(numbers, n)
	}
	return numbers, suffix
}

func at(numbers []int, i int) int {
	if i < len(numbers) {
		return numbers[i]
	}
	return 0
}

// NextVersion is the lowest major.minor.build that is higher than version and
// than all that are taken.
func NextVersion(version string, taken []string) string {
	highest := slices.MaxFunc(append(slices.Clone(taken), version), CompareVersions)
	n, _ := split(highest)
	return fmt.Sprintf("%d.%d.%d", at(n, 0), at(n, 1), at(n, 2)+1)
}

// Highest is the highest of versions, "" of none.
func Highest(versions []string) string {
	if len(versions) == 0 {
		return ""
	}
	return slices.MaxFunc(versions, CompareVersions)
}
