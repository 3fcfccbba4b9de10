package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
)

// Command is a command as it is sent.
func Command(args ...string) []byte {
	b := header(nil, '*', len(args))
	for _, a := range args {
		b = appendBulk(b, a)
	}
	return b
}

func header(b []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(n), 10), "\r\n"...)
}

func appendBulk(b []byte, s string) []byte {
	return append(append(header(b, '$', len(s)), s...), "\r\n"...)
}

// replyLength is the length of the reply that b begins with, and 0 while it is not
// complete. Arrays are not expected, and an error reply is an error.
func replyLength(b []byte) (int, error) {
	line, _, found := bytes.Cut(b, []byte("\r\n"))
	if !found {
		return 0, nil
	}
	n, err := body(line)
	if err != nil {
		return 0, err
	}
	total := len(line) + 2 + n
	if len(b) < total {
		return 0, nil
	}
	return total, nil
}

// body is how many bytes follow the first line of a reply that is no array.
func body(line []byte) (int, error) {
	if len(line) == 0 {
		return 0, fmt.Errorf("an empty line is no reply")
	}
	switch line[0] {
	case '+', ':':
		return 0, nil
	case '-':
		return 0, fmt.Errorf("the reply is an error: %s", line[1:])
	case '$':
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil || n < 0 {
			return 0, err
		}
		return n + 2, nil
	}
	return 0, fmt.Errorf("not a reply: %.40q", line)
}

// roundTrip sends a command and reads its reply, which is small and no array.
func roundTrip(nc net.Conn, request []byte) error {
	var buf [512]byte
	_, err := exchangeInto(nc, request, buf[:])
	return err
}

// exchangeInto sends a command and reads its reply, which is no array, into buf. It
// returns the reply's length.
func exchangeInto(nc net.Conn, request, buf []byte) (int, error) {
	if _, err := nc.Write(request); err != nil {
		return 0, err
	}
	for got := 0; got < len(buf); {
		n, err := nc.Read(buf[got:])
		if err != nil {
			return 0, err
		}
		got += n
		if n, err := replyLength(buf[:got]); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, fmt.Errorf("the reply has more than %d bytes", len(buf))
}

// discardReply reads one reply, also an array, to its end.
func discardReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	line = bytes.TrimSuffix(line, []byte("\r\n"))
	if len(line) == 0 || line[0] != '*' {
		n, err := body(line)
		if err != nil {
			return err
		}
		_, err = r.Discard(n)
		return err
	}
	n, err := strconv.Atoi(string(line[1:]))
	for i := 0; i < n && err == nil; i++ {
		err = discardReply(r)
	}
	return err
}
