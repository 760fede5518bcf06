package snmp

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]func() ([]string, error){}
		asked := map[string]int{}
		r := NewResolver(zerolog.Nop(), nil)
		r.lookup = func(_ context.Context, address string) ([]string, error) {
			asked[address]++
			time.Sleep(3 * time.Second)
			return answers[address]()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()

		fail := errors.New("server away")
		found := func() ([]string, error) { return []string{"sw1.example.", "other."}, nil }
		none := func() ([]string, error) { return nil, &net.DNSError{IsNotFound: true} }
		away := func() ([]string, error) { return nil, fail }

		const a = "192.0.2.1"
		answers[a] = found
		if got := r.NameOf(a); got != "" {
			t.Errorf("knew %q at once", got)
		}
		r.NameOf(a) // while it is being looked up
		time.Sleep(4 * time.Second)
		if got := r.NameOf(a); got != "sw1.example" || asked[a] != 1 {
			t.Errorf("%q after %d look-ups", got, asked[a])
		}
		if got := r.NameOf("::ffff:192.0.2.1"); got != "sw1.example" {
			t.Errorf("the mapped form is %q", got)
		}

		answers[a] = away
		time.Sleep(nameTTL)
		r.NameOf(a)
		time.Sleep(4 * time.Second)
		if got := r.NameOf(a); got != "sw1.example" || asked[a] != 2 {
			t.Errorf("%q after %d look-ups: a name must outlive its server", got, asked[a])
		}

		answers[a] = none
		time.Sleep(noNameTTL)
		r.NameOf(a)
		time.Sleep(4 * time.Second)
		if got := r.NameOf(a); got != "" || asked[a] != 3 {
			t.Errorf("%q after %d look-ups, want none", got, asked[a])
		}
		if got := r.NameOf("switch.example"); got != "switch.example" {
			t.Errorf("a name's name is %q", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestResolverIsBounded(t *testing.T) {
	r := NewResolver(zerolog.Nop(), nil)
	for i := range maxNames + 500 {
		r.NameOf(net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).String())
	}
	if len(r.names) > maxNames || len(r.queue) > maxWaiting {
		t.Errorf("%d names, %d waiting", len(r.names), len(r.queue))
	}
}
