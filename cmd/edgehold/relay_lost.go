package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

func newRelayLost() *cobra.Command {
	var path string
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "lost ID",
		Short: "Tell all sites that the store of a relay will not come back",
		Long: `Tell all sites that the store of a relay is lost, its disk say. They then send
again what that relay had and did not deliver; what it did deliver without saying
so arrives twice. A relay that comes back with an empty store needs no such word:
sites see that its store is another one.

The configuration is that of any relay: its brokers and its certificate are used.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := wire.CheckID("relay", args[0]); err != nil {
				return usage(cmd, err)
			}
			if !yes {
				return usage(cmd, fmt.Errorf("sites will send again what relay %s had: say --yes if its store will not come back", args[0]))
			}
			cfg, _, err := config.Load(path, kinds())
			if err != nil {
				return err
			}
			if cfg.Relay.ID == "" {
				return fmt.Errorf("%s is no configuration of a relay: name one with --config, for its brokers and its certificate", path)
			}
			done, err := declareLost(cmd.Context(), cfg.Relay, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printDocument(cmd.OutOrStdout(), done)
			}
			w := newScreen(cmd.OutOrStdout())
			for _, d := range done {
				fmt.Fprintf(w, "told at %s: relay %s with the store %s is lost\n", d.Broker, d.Relay, d.Store)
			}
			return w.done()
		},
	}
	addConfigFlag(cmd, &path)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// declared is what was told at one broker.
type declared struct {
	Broker string `json:"broker"`
	Relay  string `json:"relay"`
	Store  string `json:"store"`
}

// declareLost tells it at every broker. One that knows nothing of the relay is
// passed over, as long as another one does.
func declareLost(ctx context.Context, r config.Relay, id string) ([]declared, error) {
	var done []declared
	var failed []error
	for _, broker := range r.MQTT.Brokers {
		store, err := declareLostAt(ctx, r, broker, id)
		if err != nil {
			failed = append(failed, fmt.Errorf("broker %s: %w", broker, err))
			continue
		}
		done = append(done, declared{broker, id, store})
	}
	if len(done) == 0 {
		return nil, errors.Join(failed...)
	}
	return done, nil
}

// lostPatience is how long a broker may take for each step.
const lostPatience = 10 * time.Second

func declareLostAt(ctx context.Context, r config.Relay, broker, id string) (store string, err error) {
	m := r.MQTT
	o := mqtt.Options{
		Broker: broker, ClientID: r.ID + "-lost-" + strconv.Itoa(os.Getpid()), CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, User: m.User,
	}
	if m.HasPassword() {
		o.Password = m.Password
	}
	conn, err := mqtt.Dial(ctx, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	topic := wire.Topics{Prefix: m.Prefix}.RelayState(id)
	states := make(chan wire.RelayState, 16)
	err = conn.Subscribe(ctx, topic, 1, func(in mqtt.Incoming) {
		if s, err := wire.ParseRelayState(in.Payload); err == nil {
			select {
			case states <- s:
			default:
			}
		}
	})
	if err != nil {
		return "", err
	}
	last, err := nextState(ctx, states, "it has no word of relay "+id+": see `edgehold relay sites` or the name")
	switch {
	case err != nil:
		return "", err
	case last.State != wire.StateLost && last.State != wire.StateStopped:
		return "", fmt.Errorf("relay %s is %s: stop it first; while it runs, its store is not lost", id, last.State)
	}
	last.State, last.DeclaredLost, last.At = wire.StateLost, true, time.Now().UTC()
	payload, err := json.Marshal(last)
	if err != nil {
		return "", err
	}
	if err := conn.Publish(ctx, mqtt.Message{Topic: topic, Payload: payload, Retain: true, QoS: 1}); err != nil {
		return "", err
	}
	for {
		echo, err := nextState(ctx, states, "the word did not come back: its access rules let "+r.ID+" not write to "+topic)
		if err != nil || echo.DeclaredLost {
			return last.Store, err
		}
	}
}

// nextState waits for a word on a relay.
func nextState(ctx context.Context, states <-chan wire.RelayState, none string) (wire.RelayState, error) {
	timer := time.NewTimer(lostPatience)
	defer timer.Stop()
	select {
	case s := <-states:
		return s, nil
	case <-ctx.Done():
		return wire.RelayState{}, ctx.Err()
	case <-timer.C:
		return wire.RelayState{}, errors.New(none)
	}
}
