// Package mint writes and reads the lines of Dynatrace's metric ingestion
// protocol ("MINT"): one measurement a line,
//
//	key,dimension=value,... payload timestamp
//
// It is pure: text in, text out. What the protocol would change or refuse is
// changed or refused here, so that a line that leaves is a line that is taken.
package mint

// The protocol's limits, in bytes; every one is at or under the documented one.
const (
	minKey = 3
	maxKey = 250
	// maxDimensionValue is counted before escaping. 255 characters are
	// documented, the vendor's own libraries cut at 250; nothing says whether
	// the server counts bytes, so the shorter one in bytes holds either way.
	maxDimensionValue = 250
	// maxDimensions is the documented limit of one line.
	maxDimensions = 50
	// reserved is the prefix of the vendor's own metric keys.
	reserved = "dt."
)

// The stamps that can be written, in milliseconds. The server tells the unit of
// a timestamp by its width: what is not above First counts as seconds, what is
// above Last as microseconds.
const (
	First = int64(1e11) + 1 // 3 March 1973
	Last  = int64(1e14)     // the year 5138
)
