package emulated

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The numbers of the NBD protocol that are used here; all are big-endian.
const (
	nbdMagic    = 0x4e42444d41474943 // NBDMAGIC
	nbdOption   = 0x49484156454f5054 // IHAVEOPT
	nbdAnswer   = 0x3e889045565a9
	nbdRequest  = 0x25609513
	nbdReply    = 0x67446698
	nbdFixed    = 1 // the newstyle handshake
	nbdNoZeroes = 2

	nbdOptAbort = 2
	nbdOptInfo  = 6
	nbdOptGo    = 7

	nbdRepAck   = 1
	nbdRepInfo  = 3
	nbdRepUnsup = 1<<31 + 1

	nbdInfoExport = 0
	nbdInfoBlocks = 3

	nbdHasFlags  = 1 << 0
	nbdSendFlush = 1 << 2
	nbdSendFUA   = 1 << 3

	nbdRead  = 0
	nbdWrite = 1
	nbdDisc  = 2
	nbdFlush = 3
	nbdFUA   = 1 // of a command

	nbdEInval = 22
)

// nbdLargest bounds one read or write, in bytes.
const nbdLargest = 32 << 20

// Server serves a disk to emulators, one after the other.
type Server struct {
	listener net.Listener
	disk     *VolatileDisk
	served   sync.WaitGroup
}

// Serve serves the disk on a Unix socket until Close.
func Serve(d *VolatileDisk, socket string) (*Server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("serve a disk: %w", err)
	}
	s := &Server{listener: l, disk: d}
	s.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.served.Go(func() {
				defer conn.Close()
				c := &nbdConn{bufio.NewReader(conn), bufio.NewWriter(conn), d.plug()}
				_ = c.serve() // the emulator has gone, or says so itself
			})
		}
	})
	return s, nil
}

// Close ends the server. The emulators must have ended.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.served.Wait()
	return err
}

type nbdConn struct {
	in   *bufio.Reader
	out  *bufio.Writer
	disk session
}

func (c *nbdConn) serve() error {
	if err := c.greet(); err != nil {
		return err
	}
	for {
		more, err := c.command()
		if err != nil || !more {
			return err
		}
	}
}

// get reads big-endian numbers.
func (c *nbdConn) get(numbers ...any) error {
	for _, n := range numbers {
		if err := binary.Read(c.in, binary.BigEndian, n); err != nil {
			return err
		}
	}
	return nil
}

// put writes big-endian numbers and bytes.
func (c *nbdConn) put(numbers ...any) error {
	for _, n := range numbers {
		if err := binary.Write(c.out, binary.BigEndian, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *nbdConn) greet() error {
	if err := c.put(uint64(nbdMagic), uint64(nbdOption), uint16(nbdFixed|nbdNoZeroes)); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	var flags uint32
	if err := c.get(&flags); err != nil {
		return err
	}
	for {
		begun, err := c.option()
		if err != nil || begun {
			return err
		}
	}
}

// option answers one option; begun says that commands follow.
func (c *nbdConn) option() (begun bool, err error) {
	var magic uint64
	var option, size uint32
	if err := c.get(&magic, &option, &size); err != nil {
		return false, err
	}
	if magic != nbdOption || size > 4096 {
		return false, fmt.Errorf("option %d with magic %x and %d bytes", option, magic, size)
	}
	if _, err := c.in.Discard(int(size)); err != nil { // there is one disk, whatever its name
		return false, err
	}
	switch option {
	case nbdOptInfo, nbdOptGo:
		err = errors.Join(
			c.put(uint64(nbdAnswer), option, uint32(nbdRepInfo), uint32(12)),
			c.put(uint16(nbdInfoExport), uint64(c.disk.Size()), uint16(nbdHasFlags|nbdSendFlush|nbdSendFUA)),
			c.put(uint64(nbdAnswer), option, uint32(nbdRepInfo), uint32(14)),
			c.put(uint16(nbdInfoBlocks), uint32(sectorSize), uint32(4096), uint32(nbdLargest)),
			c.put(uint64(nbdAnswer), option, uint32(nbdRepAck), uint32(0)))
		begun = option == nbdOptGo
	case nbdOptAbort:
		err = io.EOF
	default:
		err = c.put(uint64(nbdAnswer), option, uint32(nbdRepUnsup), uint32(0))
	}
	return begun, errors.Join(err, c.out.Flush())
}

// nbdCommand is the head of a command.
type nbdCommand struct {
	Magic       uint32
	Flags, Kind uint16
	Handle      uint64
	Offset      uint64
	Length      uint32
}

func (c *nbdConn) command() (more bool, err error) {
	var r nbdCommand
	if err := c.get(&r); err != nil {
		return false, err
	}
	if r.Magic != nbdRequest || r.Length > nbdLargest {
		return false, fmt.Errorf("command %d with magic %x and %d bytes", r.Kind, r.Magic, r.Length)
	}
	if r.Kind == nbdDisc {
		return false, nil
	}
	data := make([]byte, r.Length)
	if r.Kind == nbdWrite {
		if _, err := io.ReadFull(c.in, data); err != nil {
			return false, err
		}
	}
	failed, err := c.do(r, data)
	if err != nil {
		return false, err
	}
	if err := c.put(uint32(nbdReply), failed, r.Handle); err != nil {
		return false, err
	}
	if r.Kind == nbdRead && failed == 0 {
		if err := c.put(data); err != nil {
			return false, err
		}
	}
	return true, c.out.Flush()
}

// do carries out a command and gives the number of the answer's error, 0 for
// none. Without power there is no answer.
func (c *nbdConn) do(r nbdCommand, data []byte) (failed uint32, err error) {
	end := r.Offset + uint64(r.Length)
	if r.Offset%sectorSize != 0 || r.Length%sectorSize != 0 || end < r.Offset || end > uint64(c.disk.Size()) {
		return nbdEInval, nil
	}
	switch r.Kind {
	case nbdRead:
		return 0, c.disk.read(data, int64(r.Offset))
	case nbdWrite:
		return 0, c.disk.write(data, int64(r.Offset), r.Flags&nbdFUA != 0)
	case nbdFlush:
		return 0, c.disk.flush()
	}
	return nbdEInval, nil
}
