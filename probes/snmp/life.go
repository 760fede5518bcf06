package snmp

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// snmpEngineTime counts seconds since the agent began, for 68 years.
const snmpEngineTime = "1.3.6.1.6.3.10.2.1.3.0"

const tick = 10 * time.Millisecond // of sysUpTime

// lifeSign is what a device's sysUpTime was at a moment of ours. Counter
// baselines hold only as long as the device has not restarted.
type lifeSign struct {
	Known  bool          `json:"known"`
	Ticks  uint64        `json:"ticks"` // sysUpTime, hundredths of a second
	Boot   probes.BootID `json:"boot"`
	Uptime time.Duration `json:"uptime"`           // ours, since Boot
	Wall   int64         `json:"wall"`             // Unix time, milliseconds
	Guess  bool          `json:"guess,omitempty"`  // Wall tells no time
	Steady bool          `json:"steady,omitempty"` // Ticks have last grown as our time did

	engine time.Duration // snmpEngineTime; 0: not asked for, or not told
}

func newLifeSign(stamp probes.Stamp, uptime plan.Cell) lifeSign {
	return lifeSign{
		Known:  uptime.Kind == plan.Unsigned,
		Ticks:  uptime.Uint,
		Boot:   stamp.Boot,
		Uptime: stamp.Uptime,
		Wall:   stamp.Wall,
		Guess:  stamp.Guess,
	}
}

// since is the time between two signs, 0 where the clock went back. It is not
// known where this machine has restarted and did not know the time.
func (l lifeSign) since(before lifeSign) (elapsed time.Duration, known bool) {
	if l.Boot == before.Boot {
		return max(l.Uptime-before.Uptime, 0), true
	}
	elapsed = time.Duration(l.Wall-before.Wall) * time.Millisecond
	return max(elapsed, 0), !l.Guess && !before.Guess && elapsed >= 0
}

// grown is the time by which the device's uptime has grown, false where it has
// fallen. Its 32 bits begin anew every 497 days.
func (l lifeSign) grown(before lifeSign) (time.Duration, bool) {
	if l.Ticks >= before.Ticks {
		return time.Duration(l.Ticks-before.Ticks) * tick, true
	}
	return time.Duration(l.Ticks+1<<32-before.Ticks) * tick, l.rolled(before)
}

// rolled reports whether the uptime has fallen because its 32 bits were full:
// it then stands where the time that has passed puts it. An agent that tells
// for how long it has run decides that.
func (l lifeSign) rolled(before lifeSign) bool {
	if !l.Known || !before.Known || l.Ticks >= before.Ticks || before.Ticks > math.MaxUint32 {
		return false
	}
	elapsed, known := l.since(before)
	grown := time.Duration(l.Ticks+1<<32-before.Ticks) * tick
	slack := elapsed/50 + 5*time.Second
	if !known || grown < elapsed-slack || grown > elapsed+slack {
		return false
	}
	return l.engine == 0 || l.engine > elapsed
}

// outlived reports whether the device has certainly run on since before, also
// when that was long ago: its uptime then grew about as much as our time.
func (l lifeSign) outlived(before lifeSign) bool {
	if !l.Known || !before.Known {
		return false
	}
	grown, ok := l.grown(before)
	elapsed, known := l.since(before)
	return ok && known && grown+time.Minute >= elapsed-elapsed/50
}

// another reports whether the device has restarted since before, or is another
// one behind the same address: its uptime is smaller than it was, is shorter
// than the time that has passed, or has leapt. An uptime that stands still
// tells nothing, and one that runs slow or fast by some factor is no sign. One
// that kept our time does not leap by minutes: the members of a cluster that
// were switched on together are told apart by that.
func (l lifeSign) another(before lifeSign) bool {
	if !l.Known || !before.Known || l.Ticks == before.Ticks {
		return false
	}
	grown, ok := l.grown(before)
	if !ok {
		return true
	}
	elapsed, known := l.since(before)
	young := l.Ticks > before.Ticks && time.Duration(l.Ticks)*tick < elapsed-elapsed/50-5*time.Second
	leapt := known && before.Steady && grown > 2*elapsed+2*time.Minute
	return young || leapt || grown > 20*elapsed+time.Hour
}

// keepsTime reports whether the uptime has grown as our time did since before.
func (l lifeSign) keepsTime(before lifeSign) bool {
	grown, ok := l.grown(before)
	elapsed, known := l.since(before)
	slack := elapsed/10 + 5*time.Second
	return ok && known && l.Known && before.Known && grown > elapsed-slack && grown < elapsed+slack
}

// ends reports whether the baselines of before are of no use any more. saved
// ones are of an earlier run.
func (l lifeSign) ends(before lifeSign, saved bool) bool {
	return l.another(before) || saved && !l.outlived(before)
}

// signOfLife makes the sign of this poll. Where the uptime seems to have begun
// anew after 497 days the agent is asked whether it has.
func (p *Probe) signOfLife(ctx context.Context, ex exchanger, now lifeSign) lifeSign {
	if !now.rolled(p.life) {
		return now
	}
	resp, err := ex.exchange(ctx, request{kind: get, oids: []string{snmpEngineTime}})
	if err != nil || len(resp.vars) != 1 || resp.vars[0].oid != snmpEngineTime {
		return now
	}
	if c := resp.vars[0].cell; c.Kind == plan.Integer && c.Int >= 0 {
		now.engine = max(time.Duration(c.Int)*time.Second, 1)
	}
	return now
}

// checkLife drops the baselines of another life of the device. Those of an
// earlier run of the agent are held to more: they must be shown to be of this
// one.
func (p *Probe) checkLife(now lifeSign) {
	if now.ends(p.life, p.saved) {
		p.state.Restarted()
		p.device.restarted()
	}
	now.Steady = now.keepsTime(p.life)
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
