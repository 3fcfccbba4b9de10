package pool

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Error says that a command got no reply from its backend.
type Error struct {
	Sent   bool       // the command may have been executed
	Reason string     // for the client: names no address and no secret
	Held   bool       // an earlier command of the same client may have been executed
	Reply  ReplyError // what the backend said instead of letting the command in; "" is nothing that concerns the client
	Left   bool       // the server has left its group: who has its place now can be asked
}

// Error implements error with the words a client is told: after "-ERR ", unless they are
// the backend's.
func (e *Error) Error() string {
	switch {
	case e.Sent:
		return "backend connection lost: the command may have been executed"
	case e.Reply != "":
		return string(e.Reply)
	}
	return "backend unavailable: " + e.Reason
}

// refusal is what clients are told when a backend cannot be had. That it does not accept
// respgate's own password is not theirs to know: they would look for the fault in their key.
func refusal(cause error) *Error {
	var reply ReplyError
	if errors.As(cause, &reply) && !reply.auth() {
		return &Error{Reason: Reason(cause), Reply: reply}
	}
	return &Error{Reason: Reason(cause), Left: errors.Is(cause, errLeftGroup)}
}

// ReplyError is an error that the backend answered during the handshake.
type ReplyError string

// Error implements error with the backend's own words.
func (e ReplyError) Error() string { return string(e) }

// Code returns the error's first word.
func (e ReplyError) Code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// Refused is the error of a server that answers reply, an error, where the command at hand
// needed it to accept.
func Refused(reply []byte) *Error {
	return refusal(ReplyError(bytes.TrimRight(bytes.TrimLeft(reply, "-"), "\r\n")))
}

// auth reports whether the backend does not let respgate in.
func (e ReplyError) auth() bool {
	return e.Code() == "WRONGPASS" || e.Code() == "NOAUTH" || e.Code() == "NOPERM"
}

// ourReasons are told as they are.
var ourReasons = []error{errGone, errNotPrimary, errLeftGroup, errNoSentinel, errNoPrimary, errNoNode, errNoSlots, errNotCluster, errKilled}

// atWork reports whether a backend that refuses a PING so serves all the same: a script
// keeps it busy, and can be told to stop; or it cannot save, and so refuses writes.
func (e ReplyError) atWork() bool { return e.Code() == "BUSY" || e.Code() == "MISCONF" }

// everyones reports whether the backend lets nobody in, whoever asks and for whatever.
func (e ReplyError) everyones() bool {
	return e.Code() == "LOADING" || e.Code() == "DENIED" || e == "ERR max number of clients reached"
}

// unknown reports whether the backend does not know the command, or what it was given.
func (e ReplyError) unknown() bool { return e.Code() == "ERR" && !e.everyones() }

// databaseError is a refusal of one database: the others may be had.
type databaseError struct{ ReplyError }

// Unwrap makes it a ReplyError.
func (e *databaseError) Unwrap() error { return e.ReplyError }

// Reason says in few words why a backend cannot be had, without its address or a
// secret.
func Reason(err error) string {
	var reply ReplyError
	var dns *net.DNSError
	switch why := tlsReason(err); {
	case err == nil:
		return "not connected"
	case why != "":
		return why
	case slices.ContainsFunc(ourReasons, func(ours error) bool { return errors.Is(err, ours) }):
		return err.Error()
	case errors.As(err, &reply):
		return "it answered " + reply.Code()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return "timed out"
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "connection closed"
	}
	return "cannot connect"
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
