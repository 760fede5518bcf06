package config

import _ "embed"

// Reference is a configuration that holds every key with its meaning and
// default. Keys that exclude another one are commented out without a blank
// (#key: value).
//
//go:embed reference.yaml
var Reference []byte
