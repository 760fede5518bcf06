package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// peerKey finds the user at the other end in the context of a request.
type peerKey struct{}

// withPeer notes who opened the connection, as the kernel knows it.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*slotConn); ok {
		conn = c.Conn
	}
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return ctx
	}
	uid, err := peerOf(raw)
	if err != nil {
		return ctx // who is not known may only read
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peerOf(conn syscall.Conn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("reach the connection: %w", err)
	}
	var cred *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, fmt.Errorf("reach the connection: %w", err)
	}
	if asked != nil {
		return 0, fmt.Errorf("ask who has connected: %w", asked)
	}
	return cred.Uid, nil
}

// guard lets everybody who may open the socket read. What changes something is
// for root and for the user that the agent runs as.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if uid, known := r.Context().Value(peerKey{}).(uint32); r.Method == http.MethodGet || known && mayChange(uid) {
			next.ServeHTTP(w, r)
			return
		}
		s.answer(w, http.StatusForbidden, toolError{fmt.Sprintf(
			"this needs root or the agent's own user (%s); the group of the control socket may only read: run the command with sudo", userName(os.Geteuid()))})
	})
}

func mayChange(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
