package dashboards

import (
	"math"
	"strconv"
	"strings"
)

// scale is a unit's name from some value on.
type scale struct {
	from, divisor float64
	name          string
}

// scales are those of Grafana's units that respgate's dashboards have, the greatest first.
var scales = map[string][]scale{
	"s": {
		{2 * 86400, 86400, " days"}, {2 * 3600, 3600, " hours"}, {120, 60, " mins"}, {1, 1, " s"}, {1e-3, 1e-3, " ms"}, {1e-6, 1e-6, " µs"}, {0, 1, " s"},
	},
	"bytes":       {{1 << 30, 1 << 30, " GiB"}, {1 << 20, 1 << 20, " MiB"}, {1 << 10, 1 << 10, " KiB"}, {0, 1, " B"}},
	"Bps":         {{1e9, 1e9, " GB/s"}, {1e6, 1e6, " MB/s"}, {1e3, 1e3, " kB/s"}, {0, 1, " B/s"}},
	"ops":         {{1e6, 1e6, "M ops/s"}, {1e3, 1e3, "K ops/s"}, {0, 1, " ops/s"}},
	"reqps":       {{1e6, 1e6, "M req/s"}, {1e3, 1e3, "K req/s"}, {0, 1, " req/s"}},
	"percentunit": {{0, 0.01, "%"}},
	"short":       {{1e6, 1e6, " M"}, {1e3, 1e3, " K"}, {0, 1, ""}},
}

// format writes a value in its unit, with three digits that matter.
func format(unit string, v float64) string {
	for _, s := range scales[unit] {
		if math.Abs(v) >= s.from {
			v, unit = v/s.divisor, s.name
			break
		}
	}
	if _, unknown := scales[unit]; unknown {
		unit = ""
	}
	return number(v, 3) + unit
}

// number writes so many digits, without zeros at the end.
func number(v float64, digits int) string {
	decimals := 0
	if v != 0 {
		decimals = max(0, digits-1-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	text := strconv.FormatFloat(v, 'f', min(decimals, 6), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// ticks are about n round values from 0 to most.
func ticks(most float64, n int) (values []float64, top float64) {
	if most <= 0 {
		most = 1
	}
	rough := most / float64(n)
	step := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5, 10} {
		if step*m >= rough {
			step *= m
			break
		}
	}
	for i := 0; ; i++ {
		v := float64(i) * step
		values = append(values, v)
		if v >= most*0.999 {
			return values, v
		}
	}
}
