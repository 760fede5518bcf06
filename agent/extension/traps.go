package extension

// TrapsNode is the snmptraps part of a manifest.
type TrapsNode struct{}

// trapsPart is the snmptraps part of a monitoring configuration.
type trapsPart struct{}
