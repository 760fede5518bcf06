// Package talk is what a host and the /init of its emulated machine say to each
// other on the console: one line of JSON each. A line that the guest means for
// the host begins with Mark; all others are the kernel's.
package talk

// Mark begins a report.
const Mark = '\x1e'

// Order starts a program, signals one that runs, or is about connections.
type Order struct {
	ID     int      `json:"id,omitempty"`
	Args   []string `json:"args,omitempty"`
	Env    []string `json:"env,omitempty"`    // beside the guest's own, as NAME=VALUE
	Memory int64    `json:"memory,omitempty"` // memory.max of a control group of its own, in bytes; 0: none
	Signal int      `json:"signal,omitempty"` // for the program that the order of the same ID started

	Listen string `json:"listen,omitempty"` // take connections at this address in the guest, for the host
	Link   *Piece `json:"link,omitempty"`
}

// Report is a part of a program's output, its end, or is about connections. One
// of ID 0 without a piece is from /init itself, which is ready.
type Report struct {
	ID    int    `json:"id,omitempty"` // of the order
	Out   string `json:"out,omitempty"`
	End   *End   `json:"end,omitempty"`
	Error string `json:"error,omitempty"` // the order could not be carried out
	Link  *Piece `json:"link,omitempty"`
}

// Piece is what came over a connection. The first one opens it.
type Piece struct {
	Conn   int    `json:"conn"`
	Data   []byte `json:"data,omitempty"`
	Closed bool   `json:"closed,omitempty"`
}

// End is how a program ended.
type End struct {
	Exit int `json:"exit"` // below 0: ended by that signal
	// Of the control group, where there was one.
	Peak     int64 `json:"peak,omitempty"`      // the most memory in use at once, page cache included, in bytes
	AtLimit  int64 `json:"at_limit,omitempty"`  // times that memory had to be given back
	OOMKills int64 `json:"oom_kills,omitempty"` // programs that were killed
}
