package snmp

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// lifeSign is what a device's sysUpTime was at a moment of ours. Counter
// baselines hold only as long as the device has not restarted.
type lifeSign struct {
	Known  bool          `json:"known"`
	Ticks  uint64        `json:"ticks"` // sysUpTime, hundredths of a second
	Boot   probes.BootID `json:"boot"`
	Uptime time.Duration `json:"uptime"` // ours, since Boot
	Wall   int64         `json:"wall"`   // Unix time, milliseconds
}

func newLifeSign(stamp probes.Stamp, uptime plan.Cell) lifeSign {
	return lifeSign{
		Known:  uptime.Kind == plan.Unsigned,
		Ticks:  uptime.Uint,
		Boot:   stamp.Boot,
		Uptime: stamp.Uptime,
		Wall:   stamp.Wall,
	}
}

// since is the time between two signs, 0 where the clock went back.
func (l lifeSign) since(before lifeSign) time.Duration {
	elapsed := time.Duration(l.Wall-before.Wall) * time.Millisecond
	if l.Boot == before.Boot {
		elapsed = l.Uptime - before.Uptime
	}
	return max(elapsed, 0)
}

// outlived reports whether the device has certainly run on since before, also
// when that was long ago: its uptime then grew about as much as our time.
func (l lifeSign) outlived(before lifeSign) bool {
	if !l.Known || !before.Known || l.Ticks < before.Ticks {
		return false
	}
	grown := time.Duration(l.Ticks-before.Ticks) * 10 * time.Millisecond
	elapsed := l.since(before)
	return grown+time.Minute >= elapsed-elapsed/50
}

// another reports whether the device has restarted since before, or is another
// one behind the same address: its uptime is smaller than it was, is shorter
// than the time that has passed, or has leapt. An uptime that stands still
// tells nothing, and one that runs slow or fast by some factor is no sign.
func (l lifeSign) another(before lifeSign) bool {
	if !l.Known || !before.Known || l.Ticks == before.Ticks {
		return false
	}
	const tick = 10 * time.Millisecond
	elapsed := l.since(before)
	young := time.Duration(l.Ticks)*tick < elapsed-elapsed/50-5*time.Second
	leapt := time.Duration(l.Ticks-before.Ticks)*tick > 20*elapsed+time.Hour
	return l.Ticks < before.Ticks || young || leapt
}

// checkLife drops the baselines of another life of the device. Those of an
// earlier run of the agent are held to more: they must be shown to be of this
// one.
func (p *Probe) checkLife(now lifeSign) {
	if now.another(p.life) || p.saved && !now.outlived(p.life) {
		p.state = plan.State{Constants: p.deps.Constants}
		p.device.restarted()
	}
	if now.Known || p.saved {
		p.life = now
	}
	p.saved = false
}

type checkpoint struct {
	Life  lifeSign `json:"life"`
	State []byte   `json:"state"`
}

// Checkpoint gives the counter baselines and the sign of life they belong to,
// nil before the first poll.
func (p *Probe) Checkpoint() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.life.Known {
		return nil, nil
	}
	state, err := p.state.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode baselines: %w", err)
	}
	return json.Marshal(checkpoint{p.life, state})
}

// Restore takes what Checkpoint gave. The first poll drops it where the device
// has restarted since.
func (p *Probe) Restore(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var c checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("decode baselines: %w", err)
	}
	if err := p.state.UnmarshalBinary(c.State); err != nil {
		return fmt.Errorf("decode baselines: %w", err)
	}
	p.life, p.saved = c.Life, true
	return nil
}
