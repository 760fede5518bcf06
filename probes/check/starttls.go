package check

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
)

const maxDialogue = 16 << 10 // bytes that a server may say before TLS begins

// refusal is what a server that speaks does not do.
type refusal struct{ words string }

// Error is the words.
func (r *refusal) Error() string { return r.words }

// startTLS asks a server of the protocol to begin with TLS; "" does nothing.
func startTLS(conn net.Conn, protocol string) error {
	r := bufio.NewReader(io.LimitReader(conn, maxDialogue))
	var err error
	switch protocol {
	case "":
		return nil
	case "smtp":
		err = startSMTP(conn, r)
	case "imap":
		err = startIMAP(conn, r)
	}
	if err == nil && r.Buffered() > 0 {
		return &refusal{"the server says more after it has agreed to begin with TLS, which somebody in between may have put in"}
	}
	return err
}

// startSMTP is RFC 3207.
func startSMTP(conn net.Conn, r *bufio.Reader) error {
	if _, err := smtpReply(r, "220", "its greeting"); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "EHLO edgehold\r\n"); err != nil {
		return err
	}
	offers, err := smtpReply(r, "250", "EHLO")
	if err != nil {
		return err
	}
	if !strings.Contains(strings.ToUpper(offers), "STARTTLS\n") {
		return &refusal{"the server does not offer STARTTLS"}
	}
	if _, err := io.WriteString(conn, "STARTTLS\r\n"); err != nil {
		return err
	}
	_, err = smtpReply(r, "220", "STARTTLS")
	return err
}

// smtpReply reads a reply of some lines; all but the last have a dash behind the
// code. It gives the texts, a line each.
func smtpReply(r *bufio.Reader, code, what string) (texts string, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 3 || line[:3] != code {
			return "", &refusal{fmt.Sprintf("the server does not answer to %s as one of SMTP does that agrees, with %s", what, code)}
		}
		if len(line) == 3 || line[3] != '-' {
			return texts + strings.TrimPrefix(line[3:], " ") + "\n", nil
		}
		texts += line[4:] + "\n"
	}
}

// startIMAP is RFC 9051, 6.2.1.
func startIMAP(conn net.Conn, r *bufio.Reader) error {
	greeting, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		return &refusal{"the server does not greet as one of IMAP does, with * OK"}
	}
	if _, err := io.WriteString(conn, "a STARTTLS\r\n"); err != nil {
		return err
	}
	for {
		line, err := r.ReadString('\n')
		switch upper := strings.ToUpper(line); {
		case err != nil:
			return err
		case strings.HasPrefix(upper, "A OK"):
			return nil
		case !strings.HasPrefix(line, "* "):
			return &refusal{"the server does not agree to STARTTLS"}
		}
	}
}
