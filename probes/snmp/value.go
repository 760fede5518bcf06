package snmp

import (
	"math"
	"strconv"

	"github.com/edgehold/edgehold/probes/plan"
)

// floatCell widens by way of the shortest decimal, so that 12.3 stays 12.3.
func floatCell(f float32) plan.Cell {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return plan.Cell{}
	}
	return realCell(wide)
}

func realCell(f float64) plan.Cell {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return plan.Cell{}
	}
	return plan.Cell{Kind: plan.Real, Float: f}
}
