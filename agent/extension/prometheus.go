package extension

// PrometheusNode is the prometheus part of a manifest.
type PrometheusNode struct{}

// prometheusPart is the prometheus part of a monitoring configuration.
type prometheusPart struct{}
