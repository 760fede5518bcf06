package main

import "fmt"

const (
	diffCells   = 4 << 20 // of the table of a comparison; beyond it only numbers are told
	diffContext = 1       // lines of context
)

// diffLines tells how b differs from a: lines with "-" are gone, those with "+"
// are new, others are there to find the place by.
func diffLines(a, b []string) []string {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	end := 0
	for end < len(a)-head && end < len(b)-head && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	oldPart, newPart := a[head:len(a)-end], b[head:len(b)-end]
	if len(oldPart)*len(newPart) > diffCells {
		return []string{fmt.Sprintf("from line %d on, %d lines became %d others", head+1, len(oldPart), len(newPart))}
	}
	var out []string
	if head > 0 {
		out = append(out, "  "+a[head-1])
	}
	out = append(out, changes(oldPart, newPart)...)
	if end > 0 {
		out = append(out, "  "+a[len(a)-end])
	}
	return out
}

// changes follows the longest sequence of lines that a and b have in common.
func changes(a, b []string) []string {
	longest := make([][]int32, len(a)+1) // of a[i:] and b[j:]
	for i := range longest {
		longest[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []string
	common := 0 // lines in a row
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			if common++; common <= diffContext {
				out = append(out, "  "+a[i])
			} else if common == diffContext+1 {
				out = append(out, "  ...")
			}
			i, j = i+1, j+1
			continue
		case j >= len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
		common = 0
	}
	return out
}
