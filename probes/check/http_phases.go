package check

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// phases adds up what a request and those it is sent on to spend on what. Dialers
// that were not needed in the end may still tell of theirs.
type phases struct {
	mu                     sync.Mutex
	dns, connect, tls      time.Duration
	first                  time.Duration
	asked, dialed, written time.Time
	named, secured         bool
}

func (p *phases) locked(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

func (p *phases) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { p.locked(func() { p.asked = time.Now() }) },
		DNSDone: func(httptrace.DNSDoneInfo) {
			p.locked(func() {
				p.named = true
				p.dns += time.Since(p.asked)
			})
		},
		ConnectStart: func(_, _ string) {
			p.locked(func() {
				if p.dialed.IsZero() { // of two families the first begins
					p.dialed = time.Now()
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			p.locked(func() {
				if err == nil && !p.dialed.IsZero() {
					p.connect += time.Since(p.dialed)
					p.dialed = time.Time{}
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { p.locked(func() { p.written = time.Now() }) },
		GotFirstResponseByte: func() {
			p.locked(func() {
				if !p.written.IsZero() { // else the answer came before the request was out
					p.first += time.Since(p.written)
				}
			})
		},
	})
}

// handshake makes a connection secure.
func (p *phases) handshake(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	begin := time.Now()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	p.locked(func() {
		p.secured = true
		p.tls += time.Since(begin)
	})
	return secure, nil
}

// tell gives the phases that there were.
func (p *phases) tell(a *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.named {
		a.addTime(httpDNS, p.dns)
	}
	a.addTime(httpConnect, p.connect)
	if p.secured {
		a.addTime(httpTLS, p.tls)
	}
	a.addTime(httpFirstByte, p.first)
}
