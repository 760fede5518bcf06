package plan

// Exposition is what a package reads from Prometheus endpoints.
type Exposition struct{}
