package agent

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/courier"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

// kindMQTT is the kind of an uplink over a relay.
const kindMQTT = "mqtt"

// codecs are the words of uplink.mqtt.codec.
var codecs = map[string]wire.Codec{"packed": wire.Packed, "text": wire.Text}

func (u *uplink) courierOptions(cfg *config.Config) courier.Options {
	return courier.Options{
		Target:         u.relayTarget(cfg),
		Site:           cfg.Site,
		Store:          u.opts.Store,
		Log:            u.opts.Log,
		Window:         Window,
		Budget:         budgetOf(cfg.Uplink.Budget),
		Late:           lateModes[cfg.Buffer.Late],
		LateResolution: cfg.Buffer.LateResolution.Std(),
		About:          u.about,
		OnDeny:         u.opts.OnDeny,
		Trusted:        u.opts.Clock.Trusted,
		Beat:           u.opts.Beat,
		Now:            u.now,
	}
}

// relayTarget is what a reload may change of a courier.
func (u *uplink) relayTarget(cfg *config.Config) courier.Target {
	m, site := cfg.Uplink.MQTT, cfg.Site
	return courier.Target{
		Brokers: m.Brokers, Prefix: m.Prefix, BlockSize: int(m.BlockSize), Codec: codecs[m.Codec],
		Dial: func(ctx context.Context, c courier.Call) (courier.Conn, error) {
			o := mqtt.Options{
				Broker: c.Broker, ClientID: site, CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, User: m.User,
				Will: &c.Will, Dial: u.opts.Watch.Dial, Traffic: c.Traffic, Time: u.opts.Clock.TLSTime, Log: u.opts.Log,
			}
			if m.HasPassword() {
				o.Password = m.Password
			}
			conn, err := mqtt.Dial(ctx, o)
			if err != nil {
				return nil, err // a nil connection in an interface is not nil
			}
			return conn, nil
		},
	}
}

// changeCourier makes the courier go where cfg says. With the same settings it
// only tries again now: a password or a certificate may have changed in its
// file.
func (u *uplink) changeCourier(cfg *config.Config) {
	u.mu.Lock()
	same := u.settings.MQTT.Equal(cfg.Uplink.MQTT)
	u.settings, u.hash = cfg.Uplink, cfg.Hash
	u.mu.Unlock()
	if same {
		u.courier.Wake()
		return
	}
	u.courier.Change(u.relayTarget(cfg))
}

// about is what the site tells of itself.
func (u *uplink) about() courier.About {
	u.mu.Lock()
	hash := u.hash
	u.mu.Unlock()
	account := u.opts.Store.Account()
	return courier.About{
		Version: u.opts.Version, Config: hash, Backlog: account.Buffered, Late: account.Late, Oldest: u.opts.Store.Stat().Oldest,
	}
}

// releaseClaims lets points leave that an earlier start has handed to relays:
// now that there is no way to them, nobody will say what became of those.
func (u *uplink) releaseClaims() {
	if points := u.opts.Store.ReleaseClaims(); points > 0 {
		u.opts.Log.Warn().Int("points", points).
			Msg("uplink.mqtt is not configured any more: what relays have taken over without saying that it was delivered is sent again, and may arrive twice")
	}
}

// relayStatus is how the custody of a courier stands, nil without one.
func (u *uplink) relayStatus() *control.Relay {
	if u.courier == nil {
		return nil
	}
	r := u.courier.Relay()
	out := &control.Relay{
		Broker: r.Broker, Connected: r.Connected, Relays: []control.RelayInfo{}, NoneSince: r.NoneSince,
		BlocksWaiting: r.Waiting, BlocksInFlight: r.InFlight, BlocksDoubtful: r.Doubtful, BlocksStored: r.Stored,
		PointsOutstanding: r.Points, LastAck: r.LastAck,
		Resends: r.Resends, Duplicates: r.Duplicates, TwoRelays: r.TwoRelays, Adjusted: r.Adjusted, Rejected: r.Rejected,
		Malformed: r.Malformed, CertExpires: r.CertExpires,
	}
	for _, x := range r.Relays {
		out.Relays = append(out.Relays, control.RelayInfo{ID: x.ID, State: x.State, Version: x.Version, DeclaredLost: x.Lost, Slow: x.Slow})
	}
	return out
}

// relayPatience is how long there may be no relay until somebody should look.
const relayPatience = 10 * time.Minute

// lifeAlarms are the days before the end of the client certificate at which the
// alarm says another number.
var lifeAlarms = []int{1, 7, 30}

// relayAlarms are those of the way over a relay.
func relayAlarms(r *control.Relay, now time.Time) (out []string) {
	if r == nil {
		return nil
	}
	if !r.NoneSince.IsZero() && now.Sub(r.NoneSince) >= relayPatience {
		words := "uplink: no relay is online; points are kept: see that `edgehold relay` runs at the hub and reaches " + r.Broker
		if !r.Connected {
			words = "uplink: no relay can be reached, since the broker " + r.Broker + " cannot; points are kept"
		}
		out = append(out, words)
	}
	if r.CertExpires.IsZero() {
		return out
	}
	left := r.CertExpires.Sub(now)
	if left <= 0 {
		return append(out, "uplink: the client certificate (uplink.mqtt.cert_file) has expired: make a new one with `edgehold relay cert`")
	}
	for _, days := range lifeAlarms {
		if left <= time.Duration(days)*24*time.Hour {
			return append(out, "uplink: the client certificate (uplink.mqtt.cert_file) expires on "+
				r.CertExpires.UTC().Format("2006-01-02 15:04 MST")+", within "+daysText(days)+": make a new one with `edgehold relay cert`")
		}
	}
	return out
}

func daysText(days int) string {
	switch days {
	case 1:
		return "a day"
	case 7:
		return "a week"
	}
	return "a month"
}
