package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"
)

// MSET is one command that sets n keys to values of 16 bytes.
func MSET(n int) []byte {
	b := appendBulk(header(make([]byte, 0, n*48), '*', 1+2*n), "MSET")
	for i := range n {
		b = appendBulk(appendBulk(b, key(i)), fmt.Sprintf("%016d", i))
	}
	return b
}

// MGET is one command that gets the first n keys that MSET sets.
func MGET(n int) []byte {
	b := appendBulk(header(nil, '*', 1+n), "MGET")
	for i := range n {
		b = appendBulk(b, key(i))
	}
	return b
}

func key(i int) string { return fmt.Sprintf("bulk:%07d", i) }

// Bulk sends one command and returns how long it took until its reply was read to the end.
func Bulk(ctx context.Context, e Endpoint, request []byte) (time.Duration, error) {
	nc, err := e.dial(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = nc.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	began := time.Now()
	written := make(chan error, 1)
	go func() {
		_, err := nc.Write(request)
		if err != nil {
			_ = nc.Close() // nobody needs to wait for a reply
		}
		written <- err
	}()
	err = discardReply(bufio.NewReaderSize(nc, 256<<10))
	took := time.Since(began)
	if err != nil {
		_ = nc.Close() // ends the writer, too
	}
	return took, errors.Join(err, <-written)
}
