package emulated

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const qmpPatience = 30 * time.Second

// qmp is the emulator's own control socket.
type qmp struct {
	conn    net.Conn
	answers chan qmpAnswer // closed with the connection

	asking sync.Mutex // one command at a time
	mu     sync.Mutex
	events []string
}

type qmpAnswer struct {
	Return json.RawMessage `json:"return"`
	Event  string          `json:"event"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// dialQMP reaches the emulator, which must have begun to run its machine.
func dialQMP(path string) (*qmp, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	q := &qmp{conn: conn, answers: make(chan qmpAnswer, 1)}
	go q.listen() // ends with the emulator
	_, err = q.execute("qmp_capabilities", nil)
	return q, err
}

// listen hands answers over and keeps the names of events.
func (q *qmp) listen() {
	defer close(q.answers)
	defer q.conn.Close()
	for lines := bufio.NewReader(q.conn); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a qmpAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			return
		}
		switch {
		case a.Event != "":
			q.mu.Lock()
			q.events = append(q.events, a.Event)
			q.mu.Unlock()
		case a.Return != nil || a.Error != nil: // and not the greeting
			q.answers <- a
		}
	}
}

// execute runs one command.
func (q *qmp) execute(command string, arguments any) (json.RawMessage, error) {
	q.asking.Lock()
	defer q.asking.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return nil, fmt.Errorf("tell the emulator to %s: %w", command, err)
	}
	select {
	case a, open := <-q.answers:
		if !open {
			return nil, ErrGone
		}
		if a.Error != nil {
			return nil, fmt.Errorf("the emulator refuses to %s: %s", command, a.Error.Desc)
		}
		return a.Return, nil
	case <-time.After(qmpPatience):
		_ = q.conn.Close() // or its answer would be taken for that to the next command
		return nil, errors.New("the emulator does not answer to " + command)
	}
}

func (q *qmp) seen() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.events)
}
