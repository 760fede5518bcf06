package relay

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/sign"
)

// denyList is the signed deny list that goes to all sites.
type denyList struct {
	mu      sync.Mutex
	payload []byte // nil: there is none
	number  int64
	fault   string // why the file was not taken; "": it was
}

// denyPaper is what travels: both byte by byte as they are in the files, in
// base64. Each site checks the signature against its own roots.
type denyPaper struct {
	List []byte `json:"list"`
	Sig  []byte `json:"sig"`
}

// lookAtDenyList takes up another list, if there is one.
func (r *Relay) lookAtDenyList() {
	if r.opts.DenyFile == "" {
		return
	}
	payload, number, err := readDenyList(r.opts.DenyFile)
	d := &r.deny
	d.mu.Lock()
	if err == nil && number < d.number {
		err = fmt.Errorf("deny list %s has the number %d, and %d was published before: put the newest one back", r.opts.DenyFile, number, d.number)
	}
	fresh := err == nil && string(payload) != string(d.payload)
	news := ""
	if err != nil {
		news = err.Error()
	} else {
		d.payload, d.number = payload, number
	}
	told := news == d.fault
	d.fault = news
	d.mu.Unlock()
	if err != nil && !told {
		r.opts.Log.Error().Err(err).Msg("the deny list is not published")
	}
	if m, ok := r.denyMessage(); ok && fresh {
		for _, b := range r.all() {
			b.send("deny", m)
		}
		r.opts.Log.Info().Int64("number", number).Msg("the deny list is published for all sites")
	}
}

// readDenyList reads the list and its signature.
func readDenyList(path string) (payload []byte, number int64, err error) {
	list, err := sign.ReadRegular(path, wire.MaxMessage)
	if err != nil {
		return nil, 0, fmt.Errorf("read relay.deny_file: %w", err)
	}
	parsed, err := sign.ParseDenyList(list)
	if err != nil {
		return nil, 0, fmt.Errorf("relay.deny_file %s: %w", path, err)
	}
	sig, err := sign.ReadRegular(path+".sig", wire.MaxMessage)
	if err != nil {
		return nil, 0, fmt.Errorf("read the signature of relay.deny_file: %w; copy the .sig beside the list", err)
	}
	payload, err = json.Marshal(denyPaper{list, sig})
	if err != nil {
		return nil, 0, err
	}
	if len(payload) > wire.MaxMessage {
		return nil, 0, fmt.Errorf("relay.deny_file %s: with its signature it makes a message of %d bytes, more than %d: issue a shorter list", path, len(payload), wire.MaxMessage)
	}
	return payload, parsed.Number, nil
}

// denyMessage is the list as it is published, if there is one.
func (r *Relay) denyMessage() (mqtt.Message, bool) {
	r.deny.mu.Lock()
	defer r.deny.mu.Unlock()
	return mqtt.Message{Topic: r.topics().Deny(), Payload: r.deny.payload, Retain: true, QoS: 1}, r.deny.payload != nil
}
