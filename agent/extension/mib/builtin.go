package mib

import _ "embed" // for the standard objects

// packed is the compact form of what the folder builtin says. A test holds one
// against the other and writes it anew.
//
//go:embed builtin.pack
var packed []byte

// BuiltIn gives the standard objects that people write by name: those of
// SNMPv2-MIB, IF-MIB, IP-MIB, HOST-RESOURCES-MIB, ENTITY-MIB and their like. It
// is read anew each time, which takes about a millisecond: keep it.
func BuiltIn() *Set {
	set := &Set{}
	if err := set.UnmarshalBinary(packed); err != nil {
		panic("mib: the built-in objects are damaged: " + err.Error()) // a test holds that they are not
	}
	return set
}
