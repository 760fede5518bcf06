package drain

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/buffer"
)

// Store is what a drain needs of the buffer. *buffer.Store is one.
type Store interface {
	Lease(q buffer.Query) (*buffer.Lease, error)
	Settle(l *buffer.Lease, each []buffer.Settlement) error
	Committed() <-chan struct{}
	Account() buffer.Account
	Keep(name string, data []byte)
	Kept(name string) []byte
}

// Options are the settings of a drain and what it works with.
type Options struct {
	Target
	Store   Store
	Log     zerolog.Logger
	Version string        // for the User-Agent
	Site    string        // its hash spreads the backlogs of many sites
	Window  time.Duration // how old a point may be when it arrives; one hour if 0
	Budget  Budget        // of all that is not live

	Resolution Resolution
	// Settle is how long after the end of a minute its points may still come
	// to the store; 15 s if 0. The minute is folded then.
	Settle time.Duration

	Late LateMode
	// LateResolution folds late points that leave as log records: 1m, 5m, 1h.
	// 0 is one minute.
	LateResolution time.Duration

	// Trusted reports whether the time is known; nil: always. While it is not,
	// nothing is sent, and AskTime is called under the back-off of the link: it
	// asks the environment for the time, without a token.
	Trusted func() bool
	AskTime func(ctx context.Context) error
	// OnDate gets the Date of each answer of the API, and how far it may be off.
	OnDate func(date time.Time, uncertainty time.Duration)
	// Doubt is called when something speaks against trusted time: a certificate
	// that is not valid at it, or lines that the server refuses by another time.
	Doubt func()

	// Beat is called by the loop of Run: it is well, and says so again within
	// that time. nil: nobody asks.
	Beat func(within time.Duration)

	Now    func() time.Time // nil: time.Now
	Random func() float64   // in [0, 1), for the jitter; nil: math/rand
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	if o.LateResolution == 0 {
		o.LateResolution = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat == nil {
		o.Beat = func(time.Duration) {}
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}
