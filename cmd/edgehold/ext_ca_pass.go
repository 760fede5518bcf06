package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/agent/config"
)

// keyPhrase gives the pass phrase of a key that exists, when it is needed: from
// a file or, where none is named, from the terminal.
func keyPhrase(ctx context.Context, file, what string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if file != "" {
			return phraseFile(file)
		}
		return askTerminal(ctx, "Pass phrase of "+what+": ")
	}
}

// newPhrase gives the pass phrase for a key that is to be made: nil for a plain
// one. flag names the option for a file.
func newPhrase(ctx context.Context, file, what, flag string) ([]byte, error) {
	if file != "" {
		return phraseFile(file)
	}
	first, err := askTerminal(ctx, "New pass phrase for "+what+": ")
	if err != nil {
		return nil, fmt.Errorf("%w; give --%s, or --plain for a key without a pass phrase", err, flag)
	}
	again, err := askTerminal(ctx, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, errors.New("the two pass phrases differ; start again")
	}
	return first, nil
}

func phraseFile(path string) ([]byte, error) {
	secret, err := config.ReadSecretFile(path)
	if err != nil {
		return nil, err
	}
	return []byte(secret.Reveal()), nil
}

// askTerminal asks on the terminal of this process, whatever its standard input
// is, and does not show what is typed.
func askTerminal(ctx context.Context, prompt string) (answer []byte, err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.New("a pass phrase is needed and there is no terminal to ask on")
	}
	defer tty.Close()
	restore, err := silence(tty)
	if err != nil {
		return nil, fmt.Errorf("ask on the terminal: %w", err)
	}
	defer func() {
		if restored := restore(); err == nil {
			err = restored
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Now()) })
	defer stop()
	if _, err := tty.WriteString(prompt); err != nil {
		return nil, fmt.Errorf("ask on the terminal: %w", err)
	}
	line, err := bufio.NewReader(tty).ReadBytes('\n')
	_, _ = tty.WriteString("\n") // the one that was typed is not shown
	if ctx.Err() != nil {
		return nil, errors.New("stopped")
	}
	if answer = bytes.TrimRight(line, "\r\n"); len(answer) == 0 {
		return nil, errors.New("no pass phrase was typed")
	}
	return answer, err
}

// silence turns off the echo of a terminal until restore.
func silence(tty *os.File) (restore func() error, err error) {
	var before *unix.Termios
	err = ttyControl(tty, func(fd int) (err error) {
		if before, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			return err
		}
		quiet := *before
		quiet.Lflag &^= unix.ECHO
		return unix.IoctlSetTermios(fd, unix.TCSETSF, &quiet)
	})
	return func() error {
		return ttyControl(tty, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, before) })
	}, err
}

// ttyControl calls f with the descriptor, which stays one that deadlines end.
func ttyControl(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
