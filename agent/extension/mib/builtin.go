package mib

// BuiltIn gives the standard objects that people write by name.
func BuiltIn() *Set { return &Set{} }
