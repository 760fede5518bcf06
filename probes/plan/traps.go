package plan

// Traps is what a package makes of SNMP notifications.
type Traps struct{}
