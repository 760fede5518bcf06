package drain

import (
	"context"
	"errors"
	"net/http"

	"github.com/edgehold/edgehold/buffer"
)

// step sends one part of a lane's load; without a load it leases one. It
// reports whether there was anything to do.
func (d *Drain) step(ctx context.Context, l lane) bool {
	x := &d.loads[l]
	d.giveUpOld(x)
	if len(x.leases) == 0 {
		found, err := d.fill(l)
		x.at = d.opts.Now()
		if found && err == nil {
			d.store.taken()
		}
		switch {
		case errors.Is(err, buffer.ErrWaiting):
			d.store.next = x.at.Add(shortest)
			return true
		case err != nil:
			d.storeFailed("take points from the buffer", err)
			return true
		case !found:
			return false
		case len(x.leases) == 0:
			return true // it was settled without a post
		case !x.busy():
			// Fresh points without a line are of series that will be folded, which
			// showed only now: the next lease has others.
			more := x.refused > 0 || l == laneLive && len(x.points) > 0
			d.finish(x)
			return more
		}
	}
	part := x.parts[0]
	x.parts = x.parts[1:]
	if (l == laneLive || l == laneWindow) && tooLate(x.oldest(part), d.opts.Now(), d.opts.Window) {
		d.finishIfDone(x)
		return true
	}
	o, cut := d.post(ctx, x, part)
	d.cut(cut)
	x.at = d.opts.Now()
	if cut || ctx.Err() != nil && o.verdict == later {
		d.giveUp(x)
		return true
	}
	d.digest(x, part, o)
	if o.verdict == accepted {
		d.describe(ctx, x)
	}
	return true
}

// digest draws the conclusions from what came of a part.
func (d *Drain) digest(x *load, part span, o outcome) {
	switch {
	case o.verdict == accepted || o.verdict == partly:
		g := x.deliver(part, o)
		if len(o.aside) > 0 {
			d.putAside(x, o, g)
			return
		}
		d.taken(x, o, g)
	case o.verdict == split:
		x.divide(part, o.cause)
	case o.noGzip:
		x.parts = append([]span{part}, x.parts...) // the next try is not compressed
		return
	default:
		d.giveUp(x)
		if o.unreached { // nobody knows for how long: what was taken of others is written down
			d.giveUpAll()
		}
		d.failed(x.cargo, o)
		return
	}
	d.finishIfDone(x)
}

// putAside ends a load of which lines were refused by another time than ours:
// the rest of it would be too.
func (d *Drain) putAside(x *load, o outcome, g gain) {
	if g.lines > 0 {
		d.taken(x, o, g)
	}
	d.giveUp(x)
	d.failed(x.cargo, outcome{verdict: later, cause: o.cause})
}

// cut counts the posts in a row that a change of the link has ended.
func (d *Drain) cut(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cuts++
	if !yes {
		d.cuts = 0
	}
}

// giveUp gives back what is undecided of a load.
func (d *Drain) giveUp(x *load) {
	x.parts = nil
	_ = x.judge() // nothing was told of the suspects, or they are refused
	d.finish(x)
}

func (d *Drain) giveUpAll() {
	for l := range lanes {
		d.giveUp(&d.loads[l])
	}
}

// giveUpOld gives back a load that has lain for too long: its points become late
// meanwhile, and its entries too old for what they were made into.
func (d *Drain) giveUpOld(x *load) {
	if len(x.leases) > 0 && d.opts.Now().Sub(x.at).Abs() > loadAge {
		d.giveUp(x)
	}
}

// finishIfDone settles a load with no part left, or with no sense in going on.
func (d *Drain) finishIfDone(x *load) {
	if x.hopeless() || x.posts >= maxPosts {
		x.parts = nil
	}
	if x.busy() {
		return
	}
	failed := x.judge()
	d.finish(x)
	if failed != nil {
		d.failed(x.cargo, *failed)
	}
}

// finish settles a load, if there is one.
func (d *Drain) finish(x *load) {
	if len(x.leases) == 0 {
		return
	}
	d.refusedOf(x)
	if err := x.settleAll(d.opts.Store); err != nil {
		d.storeFailed("settle points in the buffer", err)
	}
}

// post sends one part of a load. A refused token is read again, and tried at
// once if it has changed. cut says that a change of the link ended the post.
func (d *Drain) post(ctx context.Context, x *load, part span) (o outcome, cut bool) {
	body := x.form.body(part)
	x.posts++
	d.sending()
	for try := 0; ; try++ {
		e := d.exchange(ctx, request{cargo: x.cargo, body: body, items: part.len()})
		o, cut = classify(e, d.opts.Now()), errors.Is(e.err, errLinkChanged)
		d.doubt(x, part, e, &o)
		cut = cut && o.verdict == later
		d.count(x, e, o, len(body))
		if !cut {
			d.measure(e, len(body), !x.divided)
		}
		if e.status != http.StatusUnauthorized || try > 0 || !d.tokenChanged() {
			return o, cut
		}
	}
}

// exchange posts with a limit of time that leaves a thin link enough of it.
func (d *Drain) exchange(ctx context.Context, r request) exchange {
	ctx, done := d.fly(ctx, max(defaultTimeout, 3*d.shaper.estimate(len(r.body))))
	defer done()
	return d.sender.post(ctx, r)
}

// tokenChanged reads the token and compares it with the one that was sent.
func (d *Drain) tokenChanged() bool {
	if d.sender.target.Token == nil {
		return false
	}
	before := d.sent
	token, err := d.sender.target.Token()
	return err == nil && !token.IsZero() && token.Reveal() != before.Reveal()
}

// measure learns of the link from a post. What is too large in halves may be
// so for one line of it: only the whole tells of the size of posts.
func (d *Drain) measure(e exchange, text int, whole bool) {
	switch {
	case e.status == http.StatusRequestEntityTooLarge:
		if whole {
			d.shaper.tooLarge(text)
		}
	case e.status != 0:
		d.shaper.answered(text, e.wire, e.took)
		d.packed += 0.2 * (float64(e.wire)/float64(max(text, 1)) - d.packed)
	case e.begun:
		d.shaper.stalled(text)
	}
}
