package backup

import (
	"fmt"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestCopyWhileSlotsMove: a key whose slot moves during the copy is neither lost nor a
// reason to fail, whichever way it goes.
func TestCopyWhileSlotsMove(t *testing.T) {
	ctx := t.Context()
	cluster := testbed.NewCluster(t, 2, 0)
	from, to := several(t, cluster), one(t, testbed.Redis(t))
	tags := []string{"{move}", "{a}", "{b}", "{c}"}
	n := 0
	for _, tag := range tags {
		pipe := from.cluster.Pipeline()
		for i := range 600 {
			pipe.Set(ctx, fmt.Sprint(tag, i), i, 0)
			n++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	slot := int(from.cluster.ClusterKeySlot(ctx, "{move}").Val())
	here, there := cluster.OwnerOf(slot), cluster.Primaries[1]
	if here == there {
		there = cluster.Primaries[0]
	}
	for i := range 2 {
		moved := false
		got, err := Copy(ctx, from, to, Options{Existing: Replace, Progress: func(p Progress) {
			if !moved && p.Keys > 0 {
				moved = true
				cluster.MigrateSlot(slot, here, there, nil)
			}
		}})
		if err != nil || got.Keys < int64(n) {
			t.Fatalf("copy %d: %+v, %v, want %d keys", i, got, err, n)
		}
		found, err := Compare(ctx, from, to, Options{}, nil)
		if err != nil || !found.Same() || found.Keys < int64(n) {
			t.Errorf("copy %d: %v, %v, want %d keys the same", i, found, err, n)
		}
		to.of(0).FlushAll(ctx)
		here, there = there, here
	}
	// A slot that stays half moved all the time.
	step := 0
	cluster.MigrateSlot(slot, here, there, func() {
		if step++; step%20 != 1 || t.Failed() {
			return
		}
		got, err := Copy(ctx, from, to, Options{Existing: Replace})
		if err != nil || got.Keys < int64(n) {
			t.Errorf("half moved: %+v, %v, want %d keys", got, err, n)
		}
		if keys := to.of(0).DBSize(ctx).Val(); keys != int64(n) {
			t.Errorf("half moved: %d keys, want %d", keys, n)
		}
		to.of(0).FlushAll(ctx)
	})
}

// TestOwnSlots reads what nodes say of themselves.
func TestOwnSlots(t *testing.T) {
	const text = "aaa 127.0.0.1:7000@17000 master - 0 0 1 connected 0-99\n" +
		"bbb 127.0.0.1:7001@17001,host myself,master - 0 0 2 connected 100-200 300 [17->-ccc] [150-<-aaa]\n"
	id, ranges, moving := ownSlots(text)
	if id != "bbb" || ranges != "100-200 300" || fmt.Sprint(moving) != "[17 150]" {
		t.Errorf("got %q, %q, %v", id, ranges, moving)
	}
	was, is := owners(map[string]string{"a": "0-2 7", "b": "3"}), owners(map[string]string{"a": "0-1 7", "b": "2-3 16383 99999"})
	if got := differing(was, is); fmt.Sprint(got) != "[2 16383]" {
		t.Errorf("moved: %v, want 2 and 16383", got)
	}
}
