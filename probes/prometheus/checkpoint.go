package prometheus

import (
	"encoding/binary"
	"errors"
)

const maxSavedTargets = 1000

var errCheckpoint = errors.New("the counter baselines are damaged")

// Checkpoint gives the counter baselines of all targets, by their keys.
func (p *Probe) Checkpoint() ([]byte, error) {
	var b []byte
	for _, t := range p.targets {
		data, err := t.state.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendPart(appendPart(b, []byte(t.key)), data)
	}
	return b, nil
}

func appendPart(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// Restore takes what Checkpoint gave. Targets that are found later take theirs
// when they are found.
func (p *Probe) Restore(data []byte) error {
	saved := make(map[string][]byte)
	for len(data) > 0 {
		name, rest, ok := cutPart(data)
		state, rest, whole := cutPart(rest)
		if !ok || !whole || len(saved) == maxSavedTargets {
			return errCheckpoint
		}
		saved[string(name)], data = state, rest
	}
	p.saved = saved
	for _, t := range p.targets {
		if err := p.resume(t); err != nil {
			return err
		}
	}
	return nil
}

func cutPart(data []byte) (part, rest []byte, ok bool) {
	length, n := binary.Uvarint(data)
	if n <= 0 || length > uint64(len(data)-n) {
		return nil, nil, false
	}
	return data[n : n+int(length)], data[n+int(length):], true
}

// resume gives a target the baselines that were saved of it.
func (p *Probe) resume(t *target) error {
	data, saved := p.saved[t.key]
	if !saved {
		return nil
	}
	delete(p.saved, t.key)
	return t.state.UnmarshalBinary(data)
}
