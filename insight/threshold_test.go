package insight

import (
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// TestSlowFrom: an instance's own threshold comes before the proxy's, but makes no slow log
// where there is none.
func TestSlowFrom(t *testing.T) {
	for _, tt := range []struct {
		name   string
		proxy  time.Duration
		maxLen int
		own    *time.Duration
		want   time.Duration
	}{
		{"the proxy's", time.Second, 10, nil, time.Second},
		{"its own", time.Second, 10, new(time.Minute), time.Minute},
		{"every command of it", time.Second, 10, new(time.Duration(0)), 0},
		{"none of it", time.Second, 10, new(tenant.SlowlogOff), tenant.SlowlogOff},
		{"its own, where others have none", -1, 10, new(time.Minute), time.Minute},
		{"no slow log", time.Second, 0, new(time.Minute), off},
	} {
		b, err := New(Config{Threshold: tt.proxy, MaxLen: tt.maxLen})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.slowFrom(&tenant.Route{SlowlogThreshold: tt.own}); got != tt.want {
			t.Errorf("%s: slow from %v on, want %v", tt.name, got, tt.want)
		}
	}
}
