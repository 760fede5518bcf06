package drain

import (
	"errors"
	"io"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// maxTries bounds the connections that one post is tried on.
const maxTries = 2

// errUnprocessed ends a post that was not looked at on any of them.
var errUnprocessed = errors.New("the server gives the request back without having looked at it")

// parcel is the body of one post. It knows how much of it has left, and gives
// no more once the post is over, since its bytes are then used again.
type parcel struct {
	body []byte
	wire *atomic.Int64 // bytes that the client has written; nil: not known

	mu     sync.Mutex
	reader *parcelReader // of the try under way
	mark   int64         // of the wire, when the connection was had
	begun  bool
	tries  int
	closed bool
}

// open gives the body to the transport.
func (p *parcel) open() io.ReadCloser {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reader = &parcelReader{parcel: p}
	return p.reader
}

// again is asked for the body once more where the transport knows that the
// server has not looked at the request: on a connection that was closed
// meanwhile, or by HTTP/2's word.
func (p *parcel) again() (io.ReadCloser, error) {
	p.mu.Lock()
	enough := p.tries >= maxTries
	p.mu.Unlock()
	if enough {
		return nil, errUnprocessed
	}
	return p.open(), nil
}

// start is called for each connection that the post is tried on.
func (p *parcel) start(httptrace.GotConnInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	p.begun = false
	if p.wire != nil {
		p.mark = p.wire.Load()
	}
}

func (p *parcel) wroteHeaders() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
}

// left tells whether some of the request has left, and whether all of it may
// have: never false where it has.
func (p *parcel) left() (begun, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole = p.begun && p.reader.at == len(p.body)
	if p.wire != nil && p.wire.Load()-p.mark < int64(len(p.body)) {
		whole = false
	}
	return p.begun, whole
}

// end takes the body back.
func (p *parcel) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// parcelReader reads a parcel from its begin, for one try.
type parcelReader struct {
	parcel *parcel
	at     int
}

func (r *parcelReader) Read(to []byte) (int, error) {
	r.parcel.mu.Lock()
	defer r.parcel.mu.Unlock()
	if r.parcel.closed || r.parcel.reader != r {
		return 0, io.ErrClosedPipe
	}
	if r.at == len(r.parcel.body) {
		return 0, io.EOF
	}
	n := copy(to, r.parcel.body[r.at:])
	r.at += n
	return n, nil
}

func (r *parcelReader) Close() error { return nil }
