package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// dialFunc makes the socket under everything.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// webSocket is a stream over binary messages. One goroutine may read and one
// may write.
type webSocket struct {
	*websocket.Conn
	message io.Reader // that is read; nil: the next one
}

func dialWebSocket(ctx context.Context, to *url.URL, config *tls.Config, dial dialFunc) (net.Conn, error) {
	d := websocket.Dialer{NetDialContext: dial, Subprotocols: []string{"mqtt"}}
	d.NetDialTLSContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		return dialTLS(ctx, address, config, dial)
	}
	conn, answer, err := d.DialContext(ctx, to.String(), nil)
	if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
		return nil, fmt.Errorf("%w: the answer is HTTP %s", errNoWebSocket, answer.Status)
	}
	if err != nil {
		return nil, err
	}
	return &webSocket{Conn: conn}, nil
}

// errNoWebSocket is the refusal of a web server.
var errNoWebSocket = errors.New("no WebSocket there")

// Read implements net.Conn.
func (w *webSocket) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			kind, message, err := w.NextReader()
			if typed[*websocket.CloseError](err) {
				return 0, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
			}
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, &foreignError{}
			}
			w.message = message
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline implements net.Conn.
func (w *webSocket) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
