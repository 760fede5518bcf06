package config

import (
	"errors"
	"strings"
)

// EnvironmentURL is the address of an environment as the uplink takes it,
// without the API's own path: https://HOST or https://HOST/e/ID, plain http to
// this machine only. The error holds the mend and never the text, which may
// carry a password.
func EnvironmentURL(text string) (string, error) {
	normal, fault := normalURL(text)
	if fault.Found != "" {
		return "", said(fault)
	}
	return normal, nil
}

// ProxyURL checks the address of a proxy, which must not hold a password.
func ProxyURL(text string) error {
	if fault := proxyFault(text); fault.Found != "" {
		return said(fault)
	}
	return nil
}

// said is a fault that has no place in a file.
func said(fault Error) error { return errors.New(strings.TrimPrefix(fault.Error(), ": ")) }
