package agent

import "fmt"

// The loops whose signs of life are watched.
const (
	loopSchedule = "schedule"
	loopStore    = "store"
	loopUplink   = "uplink"
	loopControl  = "control socket"
)

// stateLine is how the agent fares, in few words.
func (a *Agent) stateLine() string {
	bad := map[string]bool{}
	for _, t := range a.schedule.copies() {
		if d := t.Task.Device; d != selfDevice && t.Task.Source == nil {
			bad[d] = bad[d] || t.Last.Fails > 0 || t.Last.Polls == 0
		}
	}
	well := 0
	for _, b := range bad {
		if !b {
			well++
		}
	}
	return fmt.Sprintf("%d of %d devices answer, %d points wait, uplink %s",
		well, len(bad), a.store.Account().Buffered, a.uplink.sending().State)
}

// stateLine is how the relay fares, in few words.
func (h *Hub) stateLine() string {
	st := h.store.Stat()
	return fmt.Sprintf("%d sites, %d blocks wait, uplink %s", st.Sites, st.Blocks, h.uplink.sending().State)
}
