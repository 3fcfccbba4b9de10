package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Point is how many commands a Redis had processed at a time.
type Point struct {
	At       time.Duration
	Commands float64
}

// Watch asks a Redis again and again how many commands it has processed, until stop is
// closed.
func Watch(ctx context.Context, e Endpoint, every time.Duration, stop <-chan struct{}) (points []Point, err error) {
	nc, err := e.dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, nc.Close()) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	buf, start := make([]byte, 64<<10), time.Now()
	for {
		n, err := exchangeInto(nc, Command("INFO", "stats"), buf)
		if err != nil {
			return nil, err
		}
		commands, err := processed(buf[:n])
		if err != nil {
			return nil, err
		}
		points = append(points, Point{time.Since(start), commands})
		select {
		case <-stop:
			return points, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func processed(info []byte) (float64, error) {
	_, rest, _ := bytes.Cut(info, []byte("total_commands_processed:"))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.ParseFloat(string(line), 64)
	if err != nil {
		return 0, fmt.Errorf("INFO has no total_commands_processed: %w", err)
	}
	return n, nil
}

// PerSecond is the pace between the first and the last of the points that have more than
// low and less than high commands beyond the first of all. It is 0 when there are no two.
func PerSecond(points []Point, low, high float64) float64 {
	var within []Point
	for _, p := range points {
		if n := p.Commands - points[0].Commands; n > low && n < high {
			within = append(within, p)
		}
	}
	if len(within) < 2 {
		return 0
	}
	first, last := within[0], within[len(within)-1]
	return (last.Commands - first.Commands) / (last.At - first.At).Seconds()
}
