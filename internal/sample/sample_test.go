package sample

import (
	"fmt"
	"slices"
	"testing"
)

// TestSampler counts events of two kinds through four periods: the first of each is let
// through, and all are accounted for.
func TestSampler(t *testing.T) {
	var s Sampler[string, string]
	var told []string
	see := func(kind string) {
		if !s.Seen(kind, 1) {
			told = append(told, kind)
			if !s.Add(kind, kind+"!", 0) {
				t.Errorf("%s is refused", kind)
			}
		}
	}
	for i, period := range []struct {
		events []string
		want   []string // let through in the period, and told at its end
		more   bool
	}{
		{[]string{"a", "a", "b", "a"}, []string{"a", "a! 2", "b"}, true},
		{[]string{"a", "b"}, []string{"a! 1", "b"}, true},
		{nil, nil, false},
		{[]string{"a"}, []string{"a"}, false},
	} {
		told = nil
		for _, e := range period.events {
			see(e)
		}
		more := s.Turn(func(first string, left int) { told = append(told, fmt.Sprint(first, " ", left)) })
		if slices.Sort(told); !slices.Equal(told, period.want) || more != period.more {
			t.Errorf("period %d: told %q, more: %v; want %q, %v", i, told, more, period.want, period.more)
		}
	}
}

// TestSamplerIsBounded has more kinds come than there is room for.
func TestSamplerIsBounded(t *testing.T) {
	var s Sampler[int, int]
	refused := 0
	for i := range maxKinds + 10 {
		if !s.Add(i, i, 0) {
			refused++
		}
	}
	if refused != 10 || s.Seen(maxKinds, 1) || !s.Seen(0, 1) {
		t.Errorf("%d kinds are refused, want 10", refused)
	}
}
