package proxy

import (
	"strconv"
	"time"

	"github.com/respgate/respgate/pool"
)

// outcome is why a client is told no. It makes the reply, the metric's code
// label and the word in the log.
type outcome uint8

const (
	noAuth outcome = iota
	wrongPass
	authUnavailable
	noPerm
	rateLimited
	maxClients
	backendUnavailable
	backendLost
	protocolError
	badRequest  // Redis's own complaint about a command that it does not get
	unsupported // a command that needs what is not built yet
)

// outcomes holds for each outcome its metric label and the beginning of its
// reply; what depends on the case is appended.
var outcomes = [...]struct{ code, reply string }{
	noAuth:             {"NOAUTH", "-NOAUTH Authentication required."},
	wrongPass:          {"WRONGPASS", "-WRONGPASS invalid username-password pair or user is disabled."},
	authUnavailable:    {"auth_unavailable", "-ERR authentication is temporarily unavailable"},
	noPerm:             {"NOPERM", "-NOPERM this key has no permissions to run the '"},
	rateLimited:        {"RATELIMIT", "-RATELIMIT "},
	maxClients:         {"max_clients", "-ERR max number of clients reached"},
	backendUnavailable: {"backend_unavailable", "-ERR "},
	backendLost:        {"backend_lost", "-ERR "},
	protocolError:      {"protocol_error", "-ERR "},
	badRequest:         {"ERR", "-"},
	unsupported:        {"unsupported", "-ERR "},
}

// unservedBy is the outcome of a command that its backend gives no reply to.
func unservedBy(err *pool.Error) outcome {
	switch {
	case err.Sent:
		return backendLost
	case err.Reply != "":
		return badRequest
	}
	return backendUnavailable
}

// Code is the outcome's metric label.
func (o outcome) Code() string { return outcomes[o].code }

// appendReply appends the whole reply to dst. details must have no line break.
func (o outcome) appendReply(dst []byte, details ...string) []byte {
	dst = append(dst, outcomes[o].reply...)
	for _, d := range details {
		dst = append(dst, d...)
	}
	return append(dst, "\r\n"...)
}

// appendRateLimited appends the reply to a command beyond rate commands/s, or bytes/s, of its key or
// organization that would be admitted after retry. That is rounded up to whole milliseconds, but for
// the nanosecond that the limiter adds to be sure.
func appendRateLimited(dst []byte, rate int, what, whose string, retry time.Duration) []byte {
	dst = append(dst, outcomes[rateLimited].reply...)
	dst = strconv.AppendInt(dst, int64(rate), 10)
	dst = append(dst, ' ')
	dst = append(dst, what...)
	dst = append(dst, "/s exceeded for this "...)
	dst = append(dst, whose...)
	dst = append(dst, ", retry after "...)
	dst = strconv.AppendInt(dst, int64(max(1, (retry+time.Millisecond-2)/time.Millisecond)), 10)
	return append(dst, " ms\r\n"...)
}

// MaxClientsReply is what a connection beyond the bound on clients is told.
func MaxClientsReply() []byte { return maxClients.appendReply(nil) }
