package drain

import (
	"hash/fnv"
	"time"
)

// spreadOver is the time over which sites begin to send their backlogs.
const spreadOver = time.Minute

// spread is how long a site waits with its backlog when the server is back
// after an absence, so that not all sites come at once: the same for a site
// each time, from nothing up to, not including, a minute.
func spread(site string) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(site)) // never fails
	// The last bytes of a name reach the upper bits of the sum only after more
	// multiplications: names that differ in their last digit would lie close.
	x := h.Sum64()
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	x ^= x >> 32
	return time.Duration(x % uint64(spreadOver))
}
