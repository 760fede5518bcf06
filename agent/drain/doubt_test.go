package drain

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeRefused has a server refuse lines while its clock is another: what
// its time explains is kept, what it does not is a dead letter.
func TestTimeRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		ahead time.Duration // of the server's clock
		kept  bool
	}{
		{"the same time", time.Minute, false},
		{"2 h ahead", 2 * time.Hour, true},
		{"2 h behind", -2 * time.Hour, true},
		{"5 min ahead, which does not explain it", 5 * time.Minute, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var right atomic.Bool
				w := &world{header: http.Header{"Date": {time.Now().Add(test.ahead).UTC().Format(http.TimeFormat)}}}
				w.answer = func(p post) (int, string) {
					if right.Load() {
						return p.good()
					}
					n := strings.Count(p.body, "\n")
					bad := make([]string, n)
					for i := range bad {
						bad[i] = fmt.Sprintf(`{"line":%d,"error":"not now"}`, i+1)
					}
					return 400, fmt.Sprintf(`{"linesOk":0,"linesInvalid":%d,"error":{"code":400,"invalidLines":[%s]}}`, n, strings.Join(bad, ","))
				}
				doubts := 0
				store := newStore(t, samples(20, time.Now())...)
				r := run(t, store, nil, w.serve, func(o *Options) { o.Doubt = func() { doubts++ } })
				time.Sleep(30 * time.Second)
				synctest.Wait()
				s := r.State()
				if !test.kept {
					store.expect(0, 20, 0)
					if doubts != 0 || s.LinesRefused != 20 {
						t.Errorf("%d doubts, state %+v", doubts, s)
					}
					return
				}
				store.expect(0, 0, 20)
				posts := len(w.seen(""))
				if doubts != posts || posts > 30 || s.State != Backoff || s.LinesRefused != 0 || !strings.Contains(s.LastError, "the time that is trusted here") {
					t.Errorf("%d doubts, %d posts, state %+v", doubts, posts, s)
				}
				right.Store(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				store.expect(20, 0, 0)
			})
		})
	}
}

// TestPartOfIt has a server 30 minutes ahead refuse the lines that are past its
// window, and one for another reason.
func TestPartOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{header: http.Header{"Date": {time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat)}}}
		w.answer = func(p post) (int, string) {
			var bad []string
			lines := strings.Split(strings.TrimSpace(p.body), "\n")
			for i, line := range lines {
				var wall int64
				if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &wall); err != nil {
					t.Error(err)
				}
				if time.Since(time.UnixMilli(wall)) > 30*time.Minute || strings.Contains(line, "n00003,") {
					bad = append(bad, fmt.Sprintf(`{"line":%d,"error":"no"}`, i+1))
				}
			}
			if len(bad) == 0 {
				return p.good()
			}
			return 400, fmt.Sprintf(`{"linesOk":%d,"linesInvalid":%d,"error":{"code":400,"invalidLines":[%s]}}`, len(lines)-len(bad), len(bad), strings.Join(bad, ","))
		}
		store := newStore(t, samples(10, time.Now().Add(-40*time.Minute))...)
		store.add(samples(10, time.Now().Add(-10*time.Minute))...)
		r := run(t, store, nil, w.serve)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		store.expect(9, 1, 10)
		if s := r.State(); s.LinesAccepted != 9 || s.LinesRefused != 1 || len(w.seen("")) > 80 {
			t.Errorf("%d posts, state %+v", len(w.seen("")), s)
		}
	})
}

// TestCertificateOutOfTime doubts the time where a certificate is not valid at
// it, and not where it is bad for another reason.
func TestCertificateOutOfTime(t *testing.T) {
	for reason, want := range map[x509.InvalidReason]bool{x509.Expired: true, x509.NotAuthorizedToSign: false} {
		synctest.Test(t, func(t *testing.T) {
			doubts := 0
			store := newStore(t, samples(1, time.Now())...)
			run(t, store, nil, func(o *Options) {
				o.Client = &http.Client{Transport: failing{x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: reason}}}
				o.Doubt = func() { doubts++ }
			})
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if doubts > 0 != want {
				t.Errorf("%d doubts after reason %d", doubts, reason)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	leavesOpen(r)
	return nil, f.err
}

// TestTimeGoesBack holds that waits do not last longer where time is corrected
// backwards.
func TestTimeGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		var shift, ok atomic.Int64
		w.answer = func(p post) (int, string) {
			if ok.Load() == 0 {
				return 503, ""
			}
			return p.good()
		}
		shift.Store(int64(2 * time.Hour))
		now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		store := newStore(t, samples(5, time.Now())...)
		store.add(samples(5, now())...)
		run(t, store, nil, w.serve, func(o *Options) { o.Now = now })
		time.Sleep(20 * time.Second)
		shift.Store(0)
		ok.Store(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(5, 0, 5) // the others lie in the future
	})
}
