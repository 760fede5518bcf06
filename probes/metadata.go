package probes

// Metadata describes a metric to people. The environment is told once.
type Metadata struct {
	Key                            string
	Type                           Type   // Gauge or Count; a metric of both has one for each
	Unit, DisplayName, Description string // "": not given
}
