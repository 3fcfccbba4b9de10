package tenant

import (
	"errors"
	"time"
)

const (
	// SlowlogOff is the threshold of a slow log that takes no command, as is any below 0.
	SlowlogOff = -time.Microsecond
	// MaxSlowlogThreshold bounds an instance's threshold.
	MaxSlowlogThreshold = 24 * time.Hour
)

var errThreshold = errors.New("want a duration of whole microseconds up to 24h, such as 10ms, 0 for every command, 'off' for none, or 'default' for the proxy's own")

// ParseSlowlogThreshold reads what people write: a duration, 0 for every command, off for
// none, or default for the proxy's own, which is nil.
func ParseSlowlogThreshold(text string) (*time.Duration, error) {
	switch text {
	case "default":
		return nil, nil
	case "off":
		return new(SlowlogOff), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || !ValidSlowlogThreshold(&d) {
		return nil, errThreshold
	}
	return &d, nil
}

// FormatSlowlogThreshold is the opposite of ParseSlowlogThreshold.
func FormatSlowlogThreshold(d *time.Duration) string {
	switch {
	case d == nil:
		return "default"
	case *d < 0:
		return "off"
	case *d == 0:
		return "0"
	}
	return d.String()
}

// ValidSlowlogThreshold reports whether it is in whole microseconds and at most
// MaxSlowlogThreshold.
func ValidSlowlogThreshold(d *time.Duration) bool {
	return d == nil || *d < 0 || *d <= MaxSlowlogThreshold && *d%time.Microsecond == 0
}

// SlowlogMicroseconds is a threshold as Redis's slowlog-log-slower-than has it: -1 is none.
func SlowlogMicroseconds(d *time.Duration) *int64 {
	switch {
	case d == nil:
		return nil
	case *d < 0:
		return new(int64(-1))
	}
	return new(d.Microseconds())
}

// SlowlogThreshold is the opposite of SlowlogMicroseconds, for at most MaxSlowlogThreshold.
func SlowlogThreshold(us *int64) *time.Duration {
	if us == nil {
		return nil
	}
	return new(max(time.Duration(*us)*time.Microsecond, SlowlogOff))
}

// SameWay reports whether commands go the same way by both: how they are watched on it, and how
// much of their replies is kept, may differ.
func (r Route) SameWay(other Route) bool {
	r.SlowlogThreshold, other.SlowlogThreshold = nil, nil
	r.CacheBytes, other.CacheBytes = 0, 0
	return r == other
}

// Same reports whether two routes are the same in everything.
func (r Route) Same(other Route) bool {
	a, b := r.SlowlogThreshold, other.SlowlogThreshold
	return r.SameWay(other) && r.CacheBytes == other.CacheBytes && (a == b || a != nil && b != nil && *a == *b)
}
