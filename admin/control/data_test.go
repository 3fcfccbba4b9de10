package control

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testData: work on an instance's keys gets its URL, and leaves an event with what it has
// done; when it fails, the event does not say with which words, which may have addresses.
func testData(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	in, a := w.instance(t), w.actors["operator"]
	err := w.BackUpInstance(ctx, a, in.Org, in.Name, func(_ context.Context, given tenant.Instance) (any, error) {
		if given.URL != in.URL {
			t.Error("want it given the URL with its password")
		}
		return map[string]int{"keys": 3}, nil
	})
	if e := w.last(t); err != nil || e.Action != "instance.backup" || e.TargetID != in.ID || string(e.After) != `{"keys":3}` {
		t.Errorf("%v, the event is %+v, want it with the keys", err, e)
	}
	broken := errors.New("dial tcp 10.0.0.5:6379: refused")
	err = w.LoadInstance(ctx, a, in.Org, in.Name, func(context.Context, tenant.Instance) (any, error) { return 1, broken })
	if e := w.last(t); !errors.Is(err, broken) || e.Action != "instance.load" || e.Outcome != tenant.Failed || e.After != nil || strings.Contains(e.Detail, "10.0.0.5") {
		t.Errorf("%v, the event is %+v, want it failed, without the address", err, e)
	}
	w.checkSecrets(t)
}
