// Package modbustest is a Modbus device for tests, over TCP, RTU over TCP and
// anything that reads and writes. It answers right unless a hook does otherwise.
package modbustest

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
)

// The functions that read, which also name the tables.
const (
	Coils    = 1
	Discrete = 2
	Holding  = 3
	Input    = 4
)

// Request is one request as it came.
type Request struct {
	Transaction    uint16 // 0 of RTU
	Unit           uint8
	Function       uint8
	Address, Count int
}

// Hook sees each request with the right answer before it leaves, nil where none
// would. It returns what is sent in place of it, or sends by itself and returns
// nil. Closing conn ends the connection.
type Hook func(r Request, answer []byte, conn io.ReadWriteCloser) []byte

// Server is some units with their tables.
type Server struct {
	rtu      bool
	listener net.Listener

	hooks sync.Mutex // one hook runs at a time

	mu       sync.Mutex
	values   map[place]uint16
	most     int
	hook     Hook
	requests []Request
	open     []io.ReadWriteCloser
	dials    int
	all      sync.WaitGroup
}

type place struct {
	unit, function uint8
	address        int
}

// New makes a server that listens nowhere; Serve gives it connections.
func New(rtu bool) *Server {
	return &Server{rtu: rtu, values: map[place]uint16{}, most: 125}
}

// Listen makes a server on a port of its own of the loopback address, with the
// frames of RTU or of Modbus TCP.
func Listen(rtu bool) (*Server, error) {
	s := New(rtu)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.listener = l
	s.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.dials++
			s.mu.Unlock()
			s.Serve(conn)
		}
	})
	return s, nil
}

// Addr is HOST:PORT.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and waits for their goroutines.
func (s *Server) Close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.Hang()
	s.all.Wait()
}

// Hang ends the connections that are open.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

// Set puts values into a table, from an address on.
func (s *Server) Set(unit, function uint8, address int, values ...uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range values {
		s.values[place{unit, function, address + i}] = v
	}
}

// Limit bounds the registers of one answer.
func (s *Server) Limit(registers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = registers
}

// React sets the hook, nil for none.
func (s *Server) React(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Requests lists what came since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// Dials counts the connections so far.
func (s *Server) Dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

// Serve answers what comes on a connection, in a goroutine that Close waits for.
func (s *Server) Serve(conn io.ReadWriteCloser) {
	s.mu.Lock()
	s.open = append(s.open, conn)
	s.mu.Unlock()
	s.all.Go(func() {
		defer conn.Close()
		for {
			r, err := s.read(conn)
			if err != nil {
				return
			}
			answer, hook := s.answer(r)
			if hook != nil {
				s.hooks.Lock()
				answer = hook(r, answer, conn)
				s.hooks.Unlock()
			}
			if answer == nil {
				continue
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
}

func (s *Server) read(conn io.Reader) (r Request, err error) {
	var b [12]byte
	head := b[:6]
	if s.rtu {
		head = nil
	}
	if _, err := io.ReadFull(conn, head); err != nil {
		return r, err
	}
	body := b[6:]
	if s.rtu {
		body = b[4:] // with its checksum
	}
	if _, err := io.ReadFull(conn, body); err != nil {
		return r, err
	}
	return Request{
		Transaction: binary.BigEndian.Uint16(b[:2]),
		Unit:        body[0], Function: body[1],
		Address: int(binary.BigEndian.Uint16(body[2:])), Count: int(binary.BigEndian.Uint16(body[4:])),
	}, nil
}

// answer notes a request and makes its right answer. A unit without values gives
// none, as on a bus.
func (s *Server) answer(r Request) ([]byte, Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	known := false
	for p := range s.values {
		known = known || p.unit == r.Unit
	}
	if !known {
		return nil, s.hook
	}
	return s.Frame(r, s.body(r)), s.hook
}

func (s *Server) body(r Request) []byte {
	if r.Function < Coils || r.Function > Input {
		return []byte{r.Function | 0x80, 1}
	}
	bits := r.Function <= Discrete
	if !bits && r.Count > s.most {
		return []byte{r.Function | 0x80, 3}
	}
	size := 2 * r.Count
	if bits {
		size = (r.Count + 7) / 8
	}
	data := make([]byte, size)
	for i := range r.Count {
		v, ok := s.values[place{r.Unit, r.Function, r.Address + i}]
		switch {
		case !ok:
			return []byte{r.Function | 0x80, 2}
		case bits:
			data[i/8] |= byte(v&1) << (i % 8)
		default:
			binary.BigEndian.PutUint16(data[2*i:], v)
		}
	}
	return append([]byte{r.Function, byte(size)}, data...)
}

// Frame puts function and data into a frame that answers a request.
func (s *Server) Frame(r Request, body []byte) []byte {
	if s.rtu {
		return Sealed(append([]byte{r.Unit}, body...))
	}
	head := binary.BigEndian.AppendUint16(nil, r.Transaction)
	head = append(head, 0, 0, 0, byte(1+len(body)), r.Unit)
	return append(head, body...)
}

// Sealed adds the checksum of RTU.
func Sealed(b []byte) []byte {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			low := crc & 1
			crc >>= 1
			crc ^= low * 0xa001
		}
	}
	return append(slices.Clone(b), byte(crc), byte(crc>>8))
}
