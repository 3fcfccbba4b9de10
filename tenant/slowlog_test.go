package tenant

import (
	"testing"
	"time"
)

func TestSlowlogThreshold(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // as it is written; "" is refused
		us   int64  // -2: null
	}{
		{"default", "default", -2},
		{"off", "off", -1},
		{"0", "0", 0},
		{"0s", "0", 0},
		{"1us", "1µs", 1},
		{"10ms", "10ms", 10_000},
		{"1.5s", "1.5s", 1_500_000},
		{"24h", "24h0m0s", 86_400_000_000},
		{"24h1s", "", 0},
		{"500ns", "", 0},
		{"1001ns", "", 0},
		{"-1", "", 0},
		{"-1ms", "", 0},
		{"10", "", 0},
		{"", "", 0},
		{"none", "", 0},
	} {
		d, err := ParseSlowlogThreshold(tt.text)
		if (err != nil) != (tt.want == "") {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
		if err != nil {
			continue
		}
		us := SlowlogMicroseconds(d)
		if (us == nil) != (tt.us == -2) || us != nil && *us != tt.us {
			t.Errorf("%q: got %v microseconds, want %d", tt.text, us, tt.us)
		}
		if got := FormatSlowlogThreshold(SlowlogThreshold(us)); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.text, got, tt.want)
		}
	}
}

// TestSameWay: who watches is no part of where commands go.
func TestSameWay(t *testing.T) {
	route := func() Route {
		return Route{InstanceID: "i", Label: "acme/cache", Instance: "cache", URL: "redis://h", SlowlogThreshold: new(time.Second)}
	}
	for _, tt := range []struct {
		name   string
		change func(*Route)
		want   bool
	}{
		{"the same", func(*Route) {}, true},
		{"another threshold", func(r *Route) { r.SlowlogThreshold = new(time.Minute) }, true},
		{"no threshold", func(r *Route) { r.SlowlogThreshold = nil }, true},
		{"another URL", func(r *Route) { r.URL = "redis://other" }, false},
		{"another instance", func(r *Route) { r.InstanceID = "j" }, false},
		{"another name", func(r *Route) { r.Label, r.Instance = "acme/queue", "queue" }, false},
	} {
		other := route()
		tt.change(&other)
		if got := route().SameWay(other); got != tt.want {
			t.Errorf("%s: the same way: %t, want %t", tt.name, got, tt.want)
		}
		if got := route().Same(other); got != (tt.name == "the same") {
			t.Errorf("%s: the same: %t", tt.name, got)
		}
	}
}
