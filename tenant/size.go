package tenant

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxBytes bounds a rate of bytes per second, and what a near cache may keep: 1 TiB.
const MaxBytes = 1 << 40

var sizeUnits = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// ParseSize reads a whole number of bytes, KiB, MiB, GiB or TiB. KB and the like are
// refused: Redis and the SI disagree about them.
func ParseSize(s string) (int64, error) {
	digits, shift := strings.TrimSuffix(s, "B"), 0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, shift = rest, u.shift
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is not a size such as 64KiB, 512MiB or 1GiB", s)
	}
	return n << shift, nil
}

// FormatSize is n bytes as ParseSize reads them, in the largest unit that leaves them whole.
func FormatSize(n int64) string {
	for _, u := range sizeUnits {
		if n > 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
