package control

import (
	"errors"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testCompareURL: who has an instance's URL can tell whether it is that, as often as wanted
// and without a trace; who has not is noted, and cannot go on guessing.
func testCompareURL(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	now := time.Unix(1000, 0)
	w := newWorld(t, open, func(c *Config) { c.Now = func() time.Time { return now } })
	in, a := w.instance(t), w.actors["admin"]
	for range 10 * freePerAccount {
		if same, err := w.CompareURL(ctx, a, in.Org, in.Name, testURL); !same || err != nil {
			t.Fatalf("its own URL: %v, %v, want it the same", same, err)
		}
	}
	if n := len(w.events(t)); n != 0 {
		t.Errorf("the same URL leaves %d events, want none", n)
	}
	for _, other := range []tenant.Secret{testURL + "0", testURL[:len(testURL)-1], "", "redis://user:xxxxx@10.0.0.5:6379/0"} {
		if same, err := w.CompareURL(ctx, a, in.Org, in.Name, other); same || err != nil {
			t.Errorf("%q: %v, %v, want it another", other.Reveal(), same, err)
		}
		if e := w.last(t); e.Action != "instance.compare_url" || e.TargetID != in.ID || e.Org != in.Org {
			t.Errorf("%q leaves %+v", other.Reveal(), e)
		}
	}
	var throttled *ThrottledError
	for range freePerAccount - 4 {
		_, _ = w.CompareURL(ctx, a, in.Org, in.Name, "redis://guessed")
	}
	before := len(w.events(t))
	if same, err := w.CompareURL(ctx, a, in.Org, in.Name, testURL); same || !errors.As(err, &throttled) || throttled.After != accountForgiven {
		t.Errorf("after %d wrong ones the right one is %v, %v, want to try again after %v", freePerAccount, same, err, accountForgiven)
	}
	if e := w.last(t); len(w.events(t)) != before+1 || e.Outcome != tenant.Denied {
		t.Errorf("one too many leaves %+v, want one event, denied", e)
	}
	other := w.instance(t)
	if same, err := w.CompareURL(ctx, a, other.Org, other.Name, testURL); !same || err != nil {
		t.Errorf("another instance's: %v, %v, want it the same", same, err)
	}
	now = now.Add(accountForgiven)
	if same, err := w.CompareURL(ctx, a, in.Org, in.Name, testURL); !same || err != nil {
		t.Errorf("after %v: %v, %v, want it the same", accountForgiven, same, err)
	}
	w.checkSecrets(t)
}
