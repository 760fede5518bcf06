package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
)

// sizes are tried in this order.
var sizes = [...]int{1 << 10, 4 << 10, 16 << 10, 32 << 10, 64 << 10, 96 << 10, wire.MaxBlock}

// fine is how exactly a limit of the size is found.
const fine = 4 << 10

// size finds the largest block that comes through.
func (p *prober) size(ctx context.Context) error {
	r := p.report
	silent := false // the broker acknowledged what it threw away
	try := func(size int) (bool, error) {
		came, quiet, err := p.single(ctx, size)
		if came {
			r.LargestOK = max(r.LargestOK, size)
		} else if err == nil {
			r.TooLarge, silent = size, silent || quiet
		}
		return came, err
	}
	for _, size := range sizes {
		came, err := try(size)
		if err != nil {
			return err
		}
		if !came {
			break
		}
	}
	for r.TooLarge-r.LargestOK > fine {
		if _, err := try((r.TooLarge + r.LargestOK) / 2); err != nil {
			return err
		}
	}
	p.add(p.judgeSize(silent))
	return nil
}

// single sends one block over a connection of its own. quiet: it was
// acknowledged, and did not come.
func (p *prober) single(ctx context.Context, size int) (came, quiet bool, err error) {
	s, err := p.open(ctx, nil)
	if err != nil {
		return false, false, err
	}
	defer s.close()
	seq, err := s.send(ctx, size)
	if ctx.Err() != nil {
		return false, false, ctx.Err()
	}
	if err != nil {
		return false, false, nil // the broker ended the connection: too large
	}
	came = s.await(ctx, p.Patience, seq)
	return came, !came && s.conn.Err() == nil, ctx.Err()
}

func (p *prober) judgeSize(silent bool) Check {
	r := p.report
	c := Check{Name: "size", Status: OK, Found: "blocks up to " + kib(wire.MaxBlock) + ", the largest there are, come through"}
	if r.TooLarge == 0 {
		return c
	}
	c.Found = fmt.Sprintf("blocks of %s come through, blocks of %s do not", kib(r.LargestOK), kib(r.TooLarge))
	c.Mend = "the broker ends the connection: raise its limit of a packet (mosquitto: max_packet_size 262144)"
	if silent {
		c.Found += "; the broker acknowledges them and throws them away"
		c.Mend = "raise or remove its limit of a message (mosquitto: remove message_size_limit, use max_packet_size 262144)"
	}
	c.Status = Warning
	if r.LargestOK < p.BlockSize {
		c.Status = Failed
		c.Mend += fmt.Sprintf(", or have sites send smaller blocks (uplink.mqtt.block_size: %dKiB)", max(4, r.LargestOK>>10))
	}
	return c
}

// usable is a size of blocks that comes through.
func (p *prober) usable() int {
	if p.report.TooLarge == 0 { // also where it was not tried
		return p.BlockSize
	}
	return max(smallest, min(p.BlockSize, p.report.LargestOK))
}

const (
	singles    = 50
	mostInFlow = 256
)

// flow measures single blocks, and a window of them as a site sends.
func (p *prober) flow(ctx context.Context) error {
	s, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	size := p.usable()
	alone := max(3, p.blocksFor(singles, size, 16))
	begun, did := time.Now(), 0
	for ; did < alone && time.Since(begun) < p.Time/16; did++ {
		seq, err := s.send(ctx, size)
		if err != nil {
			return err
		}
		s.await(ctx, p.Patience, seq)
	}
	trips := s.trips()
	p.report.TripMS = tripOf(trips)
	lost := s.count(did)
	n, took, load, err := p.flood(ctx, size)
	if err != nil {
		return err
	}
	lost += load
	c := Check{Name: "flow", Status: OK, Found: fmt.Sprintf("%d blocks of %s, none lost; %.1f MB/s with %d at a time", did+n, kib(size), p.report.BytesPerS/1e6, window)}
	if lost > 0 {
		c.Status, c.Found = Failed, fmt.Sprintf("%d of %d blocks were acknowledged and never came", lost, did+n)
		c.Mend = "see the broker's log for dropped messages, and raise its limits of queue and flow"
	}
	p.add(c)
	p.add(Check{Name: "round trip", Status: OK, Found: fmt.Sprintf("median %.1f ms, p99 %.1f ms; with %d at a time %.1f ms, p99 %.1f ms (%d blocks in %v)",
		p.report.TripMS.Median, p.report.TripMS.P99, window, p.report.LoadTripMS.Median, p.report.LoadTripMS.P99, n, took.Round(time.Millisecond))})
	return nil
}

// flood sends blocks in a window.
func (p *prober) flood(ctx context.Context, size int) (n int, took time.Duration, lost int, err error) {
	s, err := p.open(ctx, nil)
	if err != nil {
		return 0, 0, 0, err
	}
	defer s.close()
	n = max(window, p.blocksFor(mostInFlow, size, 4))
	limited, cancel := context.WithTimeout(ctx, p.Time/8)
	defer cancel()
	begun := time.Now()
	n, err = s.many(limited, n, size)
	if err != nil && limited.Err() == nil {
		return 0, 0, 0, err
	}
	s.until(ctx, p.Patience, func() bool { return len(s.came) >= n })
	trips := s.trips()
	n = max(n, len(trips)) // one whose acknowledgement was cut off may have come
	took = time.Since(begun)
	p.report.LoadTripMS = tripOf(trips)
	p.report.BytesPerS = float64(len(trips)*size) / took.Seconds()
	return n, took, s.count(n), nil
}

// queue finds what the broker holds for a relay that does not acknowledge.
func (p *prober) queue(ctx context.Context) error {
	size := p.usable()
	n := p.blocksFor(p.Blocks, size, 1)
	if n < window {
		p.add(Check{Name: "queue", Status: Skipped, Found: "no bytes are left for it", Mend: "allow more with --mb"})
		return nil
	}
	s, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	s.mu.Lock()
	s.hold = true
	s.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, p.Time/4)
	defer cancel()
	published, err := s.many(limited, n, size)
	if err != nil && limited.Err() == nil {
		return fmt.Errorf("after %d blocks that wait for a slow relay: %w", published, err)
	}
	quiet := max(p.Patience/5, 4*p.trip)
	s.until(ctx, quiet, func() bool { return len(s.came) >= published })
	r := p.report
	s.mu.Lock()
	r.Queued, r.Unacked = published, len(s.came)
	s.mu.Unlock()
	s.release()
	s.until(ctx, p.Patience, func() bool { return len(s.came) >= published })
	s.mu.Lock()
	r.QueueCame = len(s.came)
	s.mu.Unlock()
	s.count(max(published, r.QueueCame))
	p.add(p.judgeQueue(size))
	return nil
}

func (p *prober) judgeQueue(size int) Check {
	r := p.report
	c := Check{Name: "queue", Status: OK, Found: fmt.Sprintf("it holds %d blocks of %s for a relay that does not acknowledge, %d of them on the way to it", r.Queued, kib(size), r.Unacked)}
	if r.QueueCame < r.Queued {
		c.Status = Failed
		c.Found = fmt.Sprintf("of %d blocks for a relay that does not acknowledge it delivered %d, and acknowledged all", r.Queued, r.QueueCame)
		c.Mend = "no point is lost by this: sites send again what no relay has stored; but a catch-up gets slow. Raise the queue of a client (mosquitto: max_queued_messages 20000 and max_queued_bytes; the default is 1000)"
	}
	return c
}
