package extension

// HTTPNode is the http part of a manifest.
type HTTPNode struct{}

// httpPart is the http part of a monitoring configuration.
type httpPart struct{}
