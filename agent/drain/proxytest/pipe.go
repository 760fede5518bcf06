package proxytest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// piece is what one read gave, and when it may leave. The last piece of a
// stream that ended in order has no bytes.
type piece struct {
	data []byte
	due  time.Time
}

// pipe is one direction of one connection: a goroutine that reads and one that
// writes, with what is under way between them.
type pipe struct {
	proxy   *Proxy
	way     *way
	pair    *pair
	queue   chan piece
	spoil   *rand.Rand // of the reader
	jitter  *rand.Rand // of the reader
	last    time.Time  // due time of the last piece
	mark    mark       // of the writer
	written int64      // of the writer
}

func newPipe(p *Proxy, x *pair, d Direction, id uint64) *pipe {
	stream := id<<2 | uint64(d)<<1
	return &pipe{
		proxy: p, way: p.ways[d], pair: x, queue: make(chan piece, inFlight),
		spoil: rand.New(rand.NewPCG(p.seed, stream)), jitter: rand.New(rand.NewPCG(p.seed, stream|1)),
	}
}

// read takes what the source sends until it ends. Once the pair is over it
// reads on, so that the source's last bytes do not make a reset of a close.
func (p *pipe) read(source *net.TCPConn) {
	buf := make([]byte, readSize)
	for {
		p.way.gate(p.pair.over)
		n, err := source.Read(buf)
		if n > 0 && p.way.gate(p.pair.over) {
			p.push(p.spoiled(buf[:n]))
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			p.push(nil)
		} else if !isClosed(p.pair.over) {
			p.pair.end(RST) // the source was reset: so is the other side
		}
		return
	}
}

// spoiled is a copy of data, corrupted as the way says. Each byte draws, so
// that the outcome does not hang on how the bytes were read.
func (p *pipe) spoiled(data []byte) []byte {
	data = append([]byte(nil), data...)
	now, _ := p.way.settings()
	if now.Corrupt <= 0 {
		return data
	}
	for i := range data {
		if p.spoil.Float64() < now.Corrupt {
			data[i] ^= byte(1 + p.spoil.IntN(255))
		}
	}
	return data
}

func (p *pipe) push(data []byte) {
	now, _ := p.way.settings()
	due := time.Now().Add(now.Delay)
	if now.Jitter > 0 {
		due = due.Add(time.Duration(p.jitter.Int64N(int64(now.Jitter))))
	}
	if due.Before(p.last) {
		due = p.last
	}
	p.last = due
	select {
	case p.queue <- piece{data, due}:
	case <-p.pair.over:
	}
}

// write forwards what was read until its end, or until the pair is over.
func (p *pipe) write(target *net.TCPConn) {
	for {
		var next piece
		select {
		case next = <-p.queue:
		case <-p.pair.over:
			return
		}
		_, changed := p.way.settings()
		if !sleep(next.due, changed, p.pair.over) || !p.way.gate(p.pair.over) {
			return
		}
		if next.data == nil {
			_ = target.CloseWrite() // an error means that it has ended already
			return
		}
		if !p.forward(target, next.data) {
			return
		}
	}
}

// forward writes data in the slices that the way allows. It returns false when
// the connection has ended.
func (p *pipe) forward(target *net.TCPConn, data []byte) bool {
	for len(data) > 0 {
		left, ending := p.way.sever(&p.mark, p.written)
		if left == 0 && p.cut(ending) {
			return false
		}
		n, at := p.way.slice(int(min(int64(len(data)), max(left, 1))))
		_, changed := p.way.settings()
		if !sleep(at, changed, p.pair.over) || !p.way.gate(p.pair.over) {
			return false
		}
		p.way.bytes.Add(int64(n)) // first, so that who has a byte finds it counted
		done, err := target.Write(data[:n])
		p.written += int64(done)
		p.way.bytes.Add(int64(done - n))
		if err != nil {
			if !isClosed(p.pair.over) {
				p.pair.end(RST)
			}
			return false
		}
		data = data[n:]
	}
	if left, ending := p.way.sever(&p.mark, p.written); left == 0 && p.mark.at < p.written {
		return !p.cut(ending)
	}
	return true
}

// cut ends the connection if a cut is left for it.
func (p *pipe) cut(e Ending) bool {
	if !p.way.claim() {
		return false
	}
	p.proxy.cuts.Add(1)
	p.pair.end(e)
	return true
}
