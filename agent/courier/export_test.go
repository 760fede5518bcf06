package courier

import "time"

// SetGrace makes a courier believe sooner that it knows all relays.
func (c *Courier) SetGrace(d time.Duration) { c.grace = d }
