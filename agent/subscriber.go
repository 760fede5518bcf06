package agent

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/probes"
)

// largestMessage is what one message to a subscriber may have, in bytes: a larger
// one ends the connection. Lists of devices are published beside the sensors'
// topics, and a filter may fit them.
const largestMessage = 4 << 20

// farewellOf is how long the end of a subscriber's connection may take.
const farewellOf = 5 * time.Second

// subscriber connects probes to brokers of sensors.
type subscriber struct {
	line *egress.Line     // counts the traffic; nil: nobody does
	time func() time.Time // at which certificates are judged; nil: time.Now
	log  zerolog.Logger
}

// subscribe is a probes.SubscribeFunc. Its errors have a status.
func (s subscriber) subscribe(ctx context.Context, sub probes.Subscription, ready func(), each func(probes.Message)) error {
	conn, err := mqtt.Dial(ctx, s.options(sub))
	if err != nil {
		return ended(ctx, err)
	}
	defer hangUp(conn)
	for _, filter := range sub.Filters {
		err := conn.Subscribe(ctx, filter, 1, func(m mqtt.Incoming) {
			each(probes.Message{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained})
		})
		if err != nil {
			return ended(ctx, err)
		}
	}
	ready()
	select {
	case <-ctx.Done():
		return nil
	case <-conn.Closed():
		return ended(ctx, conn.Err())
	}
}

func (s subscriber) options(sub probes.Subscription) mqtt.Options {
	o := mqtt.Options{
		Broker: sub.Broker, Lab: sub.Plain, ClientID: sub.ClientID, User: sub.User,
		CAFile: sub.CAFile, CertFile: sub.CertFile, KeyFile: sub.KeyFile,
		MaxMessage: largestMessage, Time: s.time, Log: s.log,
	}
	if s.line != nil {
		o.Dial = s.line.Dial
	}
	if sub.Password != nil {
		o.Password = func() (probes.Secret, error) { return sub.Password.Password, nil }
	}
	return o
}

// hangUp waits until no handler runs any more, unless the link is stalled.
func hangUp(conn *mqtt.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), farewellOf)
	defer cancel()
	_ = conn.Close(ctx) // it is cut then
}

// ended is the error of a subscription, nil where it was to end.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // whatever it ended with
	case errors.Is(err, mqtt.ErrRefused):
		return probes.WithStatus(probes.StatusAuthenticationError, err)
	}
	return probes.WithStatus(probes.StatusDeviceConnectionError, err)
}
