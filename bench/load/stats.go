package load

import (
	"math"
	"slices"
	"time"
)

// Percentile is the smallest of the values that at least the fraction q of them does not
// exceed. It sorts them.
func Percentile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return values[min(max(i, 0), len(values)-1)]
}
