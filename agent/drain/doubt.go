package drain

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/record"
)

// doubt looks for what speaks against the time that is trusted here. A
// certificate that is not valid at it does; so does the Date of an answer. What
// the server refused by its other time is no fault of the lines: they are put
// aside.
func (d *Drain) doubt(x *load, part span, e exchange, o *outcome) {
	outside := isOutOfTime(e.err)
	if differs := e.date.Sub(d.opts.Now()); !e.date.IsZero() && differs.Abs() > margin+e.took {
		o.refused = slices.DeleteFunc(o.refused, func(r refusal) bool {
			timed := d.mistimed(x, part.from+r.line, e.date)
			if timed {
				o.aside = append(o.aside, r.line)
			}
			return timed
		})
		if len(o.aside) > 0 {
			o.cause = asideCause(differs, x.form.text(part.from+o.aside[0]))
			outside = true
		}
	}
	if outside && d.opts.Doubt != nil {
		d.opts.Doubt()
	}
}

// isOutOfTime tells a certificate that is expired or not valid yet.
func isOutOfTime(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

func asideCause(differs time.Duration, line string) string {
	word := "ahead of"
	if differs < 0 {
		word = "behind"
	}
	return fmt.Sprintf("the server's clock is %v %s the time that is trusted here, and it refuses lines for their time, such as %s; they are kept, and the environment is asked for the time: check the time servers of this machine",
		differs.Abs().Round(time.Second), word, clean(line, maxWords))
}

// mistimed reports that a line is too old, or too far in the future, for a
// server whose clock shows date. The borders are taken wide: the refusal itself
// is known.
func (d *Drain) mistimed(x *load, i int, date time.Time) bool {
	at := time.UnixMilli(x.lines[i].wall)
	oldest, newest := d.opts.Window, ahead
	switch x.cargo {
	case events:
		oldest, newest = record.MaxProblemAge, logAhead
	case logs, otlpLogs:
		oldest, newest = record.MaxLogAge, logAhead
		if now := d.opts.Now(); now.Sub(at) > oldest {
			at = now // so it went
		}
	}
	age := date.Sub(at)
	return age > oldest-margin || -age > newest-margin
}
