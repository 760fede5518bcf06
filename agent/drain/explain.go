package drain

// Explain puts an error of a client that NewClient has made into plain words on
// one line, with what may mend it.
func Explain(err error) string { return networkCause(err) }
