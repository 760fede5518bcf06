package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// console asks on a terminal, line by line: a serial one without colours and
// cursor keys is enough.
type console struct {
	ctx  context.Context
	tty  *os.File
	in   *bufio.Reader
	stop func() bool
}

// openConsole opens the terminal of this process. A rescue shell has none, but
// its standard input is one.
func openConsole(ctx context.Context) (*console, error) {
	const flags = os.O_RDWR | unix.O_NONBLOCK | unix.O_NOCTTY
	tty, err := os.OpenFile("/dev/tty", flags, 0)
	if err != nil {
		tty, err = os.OpenFile("/proc/self/fd/0", flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w; without one give flags, see `edgehold init --help`", err)
	}
	c := &console{ctx: ctx, tty: tty, in: bufio.NewReader(tty)}
	c.stop = context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Now()) })
	return c, nil
}

func (c *console) close() {
	c.stop()
	_ = c.tty.Close()
}

// question is one that is asked until its answer is good.
type question struct {
	text     string
	help     string
	fallback string                  // taken for Enter; "": an answer is needed
	empty    bool                    // Enter alone is an answer
	hidden   bool                    // what is typed is not shown
	check    func(text string) error // nil: all is good
}

// ask gives the answer, errBack or errLeave.
func (c *console) ask(q question) (string, error) {
	for {
		text, err := c.line(q)
		if err != nil {
			return "", err
		}
		switch {
		case text == "<":
			return "", errBack
		case text == "?":
			c.say(q.help)
			continue
		case text == "" && q.fallback == "" && !q.empty:
			c.say("An answer is needed. ? explains, < goes back, Ctrl-C leaves.")
			continue
		case text == "":
			text = q.fallback
		}
		if q.check == nil || text == "" {
			return text, nil
		}
		if err := q.check(text); err != nil {
			c.say(oneLine(err.Error()))
			continue
		}
		return text, nil
	}
}

func (c *console) say(text string) { _, _ = newScreen(c.tty).Write([]byte("  " + text + "\n")) }

// line reads one line.
func (c *console) line(q question) (string, error) {
	prompt := q.text
	if q.fallback != "" {
		prompt += " [" + oneLine(q.fallback) + "]"
	}
	if q.hidden {
		restore, err := silence(c.tty)
		if err != nil {
			return "", fmt.Errorf("ask on the terminal: %w", err)
		}
		defer func() {
			_ = restore()
			_, _ = c.tty.WriteString("\n") // the one that was typed is not shown
		}()
	}
	if _, err := c.tty.WriteString(prompt + ": "); err != nil {
		return "", errLeave
	}
	text, err := c.in.ReadString('\n')
	if c.ctx.Err() != nil || err != nil { // Ctrl-C, Ctrl-D, or the line is gone
		if !q.hidden {
			_, _ = c.tty.WriteString("\n")
		}
		return "", errLeave
	}
	text = strings.TrimSpace(text)
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		c.say("There are keys in it that are no letters, such as arrows. Type it again.")
		return c.line(q)
	}
	return text, nil
}

// choose gives one of the words, which may be shortened to their first letter.
func (c *console) choose(text string, words []string, fallback string) (string, error) {
	chosen := ""
	_, err := c.ask(question{
		text: text + " (" + strings.Join(words, ", ") + ")", fallback: fallback,
		help: "Type one of the words, or its beginning.",
		check: func(answer string) error {
			for _, w := range words {
				if strings.HasPrefix(strings.ToLower(w), strings.ToLower(answer)) {
					chosen = w
					return nil
				}
			}
			return errors.New("that is none of " + strings.Join(words, ", "))
		},
	})
	return chosen, err
}

// agree asks a question of yes or no.
func (c *console) agree(text string, fallback bool) (bool, error) {
	word := "no"
	if fallback {
		word = "yes"
	}
	answer, err := c.choose(text, []string{"yes", "no"}, word)
	return answer == "yes", err
}
