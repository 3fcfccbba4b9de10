package store

import (
	"math"
	"strings"
)

// Page is a part of a list.
type Page struct {
	// After is what the list is ordered by, of the last item before the part; "" begins.
	After string
	Limit int // how many items at most; 0 is all
}

// pair is After where a list is ordered by two things: with '/' between.
func (p Page) pair() (first, second string) {
	first, second, _ = strings.Cut(p.After, "/")
	return first, second
}

func (p Page) limit() int64 {
	if p.Limit <= 0 {
		return math.MaxInt64
	}
	return int64(p.Limit)
}
