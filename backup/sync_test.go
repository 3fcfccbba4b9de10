package backup

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// TestSync has one Redis follow another one that changes: what is new, other, expires at
// another time or is gone is so there too, and what is the same is left alone.
func TestSync(t *testing.T) {
	ctx := t.Context()
	from, to := one(t, testbed.Redis(t)), one(t, testbed.Redis(t))
	n := fill(t, from, 0, 3)
	sync := func(want Synced) {
		t.Helper()
		if got, err := Sync(ctx, from, to, Options{}); err != nil || got != want {
			t.Errorf("synced %+v, %v, want %+v", got, err, want)
		}
		checkSame(t, from, to, want.Keys)
	}
	sync(Synced{Keys: n, Copied: n})
	sync(Synced{Keys: n})
	a, b := from.of(0), to.of(0)
	for _, err := range []error{
		a.Set(ctx, "new", "1", time.Hour).Err(), a.Set(ctx, "other", "1", 0).Err(), b.Set(ctx, "other", "2", 0).Err(),
		a.Set(ctx, "later", "1", time.Hour).Err(), b.Set(ctx, "later", "1", 2*time.Hour).Err(),
		b.Set(ctx, "gone", "1", 0).Err(), to.of(7).Set(ctx, "gone elsewhere", "1", 0).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sync(Synced{Keys: n + 3, Copied: 3, Deleted: 2})
	deleted, err := Clear(ctx, to, Options{Databases: []int{3}})
	if err != nil || deleted == 0 {
		t.Errorf("cleared %d, %v", deleted, err)
	}
	sync(Synced{Keys: n + 3, Copied: deleted})
	var last Progress
	all, err := Clear(ctx, to, Options{Progress: func(p Progress) { last = p }})
	if want := (Progress{Keys: n + 3, Total: n + 3}); err != nil || all != n+3 || last != want {
		t.Errorf("cleared %d, at last %+v, %v, want %+v", all, last, err, want)
	}
}

// TestSyncShortLived: a key that will expire soon, such as a lock, is copied as others are: who
// looks for it at the other one has to find it.
func TestSyncShortLived(t *testing.T) {
	ctx := t.Context()
	from, to := one(t, testbed.Redis(t)), one(t, testbed.Redis(t))
	if err := from.of(0).Set(ctx, "lock", "owner", 8*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := Sync(ctx, from, to, Options{}); err != nil {
		t.Fatal(err)
	}
	was, is := from.of(0).Get(ctx, "lock").Val(), to.of(0).Get(ctx, "lock").Val()
	if was == "owner" && is != was && from.of(0).Get(ctx, "lock").Val() == was {
		t.Errorf("the lock is %q, want %q", is, was)
	}
}

// deletedAtGet is a client whose keys are deleted right before it gets them.
type deletedAtGet struct{ by *redis.Client }

func (deletedAtGet) DialHook(next redis.DialHook) redis.DialHook { return next }
func (deletedAtGet) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (d deletedAtGet) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "get" {
			d.by.FlushAll(ctx)
		}
		return next(ctx, cmd)
	}
}

// TestSyncDeletedMeanwhile: a key that goes while its values are compared is no error, and is gone
// at the other one too.
func TestSyncDeletedMeanwhile(t *testing.T) {
	ctx := t.Context()
	server := testbed.Redis(t)
	from, to := one(t, server), one(t, testbed.Redis(t))
	from.of(0).Set(ctx, "lock", "first", 0)
	to.of(0).Set(ctx, "lock", "second", 0)
	from.client(0).AddHook(deletedAtGet{server.Client()})
	if s, err := Sync(ctx, from, to, Options{}); err != nil || s.Deleted != 1 {
		t.Errorf("synced %+v, %v, want it deleted", s, err)
	}
}

// TestSyncClusters does so from a server to a cluster and back.
func TestSyncClusters(t *testing.T) {
	ctx := t.Context()
	from, cluster, back := one(t, testbed.Redis(t)), several(t, testbed.NewCluster(t, 3, 0)), one(t, testbed.Redis(t))
	n := fill(t, from, 0)
	other := one(t, testbed.Redis(t))
	other.of(3).Set(ctx, "k", "of database 3", 0)
	for name, err := range map[string]error{
		"copied": func() error { _, err := Copy(ctx, other, cluster, Options{}); return err }(),
		"synced": func() error { _, err := Sync(ctx, other, cluster, Options{}); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "database 3") {
			t.Errorf("keys of database 3 %s to a cluster: %v, want that it has none", name, err)
		}
	}
	if n := cluster.of(0).Exists(ctx, "k").Val(); n != 0 {
		t.Error("the cluster has a key of database 3")
	}
	for range 2 {
		for _, pair := range [][2]*Redis{{from, cluster}, {cluster, back}} {
			if _, err := Sync(ctx, pair[0], pair[1], Options{}); err != nil {
				t.Fatal(err)
			}
			checkSame(t, pair[0], pair[1], n)
		}
		if err := from.of(0).Del(ctx, "other").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyFunctions: a library is there after it has been copied, and again.
func TestCopyFunctions(t *testing.T) {
	ctx := t.Context()
	from := one(t, testbed.Redis(t))
	const library = "#!lua name=mine\nredis.register_function('answer', function() return 42 end)"
	if err := from.of(0).FunctionLoad(ctx, library).Err(); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]*Redis{"server": one(t, testbed.Redis(t)), "cluster": several(t, testbed.NewCluster(t, 3, 0))} {
		for range 2 {
			if err := CopyFunctions(ctx, from, to, false); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		nodes, _, err := to.survey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if got, err := n.client(0).FCall(ctx, "answer", nil).Int(); err != nil || got != 42 {
				t.Errorf("%s: answer() is %d, %v", name, got, err)
			}
		}
	}
	refused := Server(&redis.Options{Addr: testbed.Redis(t, "--rename-command", "FUNCTION", "").Addr})
	defer func() { _ = refused.Close() }()
	if err := CopyFunctions(context.WithoutCancel(ctx), refused, from, true); err == nil || !strings.Contains(err.Error(), "FUNCTION DUMP") {
		t.Errorf("from a server without FUNCTION: %v", err)
	}
}
