package board

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// NTPState is what the kernel says of its wall clock.
type NTPState struct {
	Synced   bool          // a time daemon steers the clock and says that it is right
	MaxError time.Duration // the daemon's bound; it grows by 500 ppm until the daemon speaks again
	EstError time.Duration // the daemon's estimate
}

// NTP asks the kernel and changes nothing. An error means that the state is
// unknown: a sandbox may refuse the call.
func NTP() (NTPState, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return NTPState{}, fmt.Errorf("read the kernel's NTP state: %w; in a systemd unit leave ProtectClock=yes out and add adjtimex and clock_adjtime to SystemCallFilter", err)
	}
	return ntpState(state, &tx), nil
}

func ntpState(state int, tx *unix.Timex) NTPState {
	return NTPState{
		Synced:   state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0,
		MaxError: time.Duration(tx.Maxerror) * time.Microsecond,
		EstError: time.Duration(tx.Esterror) * time.Microsecond,
	}
}
