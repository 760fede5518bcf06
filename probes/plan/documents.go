package plan

// Documents is what a package reads from JSON over HTTP.
type Documents struct{}
