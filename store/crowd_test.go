package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// testCrowd: while what people ask for, and what they write, takes long, clients are let in.
func testCrowd(t *testing.T, pg *testbed.PostgresServer) {
	for _, c := range []struct {
		name, hold string // what makes them wait
		ask        func(ctx context.Context, s *Store) error
	}{
		{"reading", "LOCK TABLE usage", func(ctx context.Context, s *Store) error { return second(s.Usage(ctx, UsageFilter{})) }},
		{"writing", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(writerLock)), func(ctx context.Context, s *Store) error { return s.EndSession(ctx, "a-1") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openPostgresAt(t, pg.Database(), nil)
			key := seed(t, s, "acme", "000000000001", "cache")
			held, err := s.raw.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := held.ExecContext(t.Context(), c.hold); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var crowd sync.WaitGroup
			for range 3 * maxConns {
				crowd.Go(func() {
					if err := c.ask(ctx, s); err == nil || !errors.Is(err, context.Canceled) {
						t.Errorf("asked meanwhile: %v, want that it waits", err)
					}
				})
			}
			testbed.Eventually(t, "as many wait as may", func() bool { return s.Stats().InUse >= maxConns/2 })
			patient, done := context.WithTimeout(t.Context(), 10*time.Second)
			defer done()
			for range 2 * maxConns {
				if _, err := s.Grant(patient, key.ID); err != nil {
					t.Fatalf("a client comes: %v", err)
				}
				if _, err := s.Changes(patient, 0); err != nil {
					t.Fatalf("changes: %v", err)
				}
			}
			cancel()
			crowd.Wait()
			if err := held.Rollback(); err != nil {
				t.Error(err)
			}
			if err := s.EndSession(t.Context(), "a-1"); err != nil {
				t.Errorf("when the crowd has gone: %v", err)
			}
		})
	}
}

// testFrozenWriter: a process that stops in the middle of a change does not keep all others
// from theirs.
func testFrozenWriter(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	frozen, other := openPostgresAt(t, dsn, nil), openPostgresAt(t, dsn, nil)
	key := seed(t, frozen, "acme", "000000000001", "cache")
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := frozen.UpdateKey(context.Background(), key.ID, func(k *tenant.Key) error {
			k.Name = "frozen"
			close(began)
			<-goOn
			return nil
		})
		ended <- err
	}()
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 10*frozenFor)
	defer cancel()
	_, err := other.UpdateKey(ctx, key.ID, func(k *tenant.Key) error { k.Name = "other"; return nil })
	if err != nil {
		t.Errorf("another writes: %v", err)
	}
	close(goOn)
	if err := <-ended; err == nil {
		t.Error("what was frozen is written, after what came later")
	}
	if k, err := other.Key(t.Context(), key.ID); err != nil || k.Name != "other" {
		t.Errorf("the key is %+v, %v", k, err)
	}
}

// testIsolation: whatever the database's default is, who waits for another's turn sees what
// that one wrote.
func testIsolation(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database() + "&default_transaction_isolation=serializable"
	stores := []*Store{openPostgresAt(t, dsn, nil), openPostgresAt(t, dsn, nil)}
	seed(t, stores[0], "acme", "000000000001", "cache")
	var wg sync.WaitGroup
	const each = 10
	for _, s := range stores {
		for range 2 {
			wg.Go(func() {
				for range each {
					if _, err := s.UpdateKey(t.Context(), "000000000001", func(k *tenant.Key) error { k.Limits.Reset++; return nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if k, err := stores[0].Key(t.Context(), "000000000001"); err != nil || k.Limits.Reset != 4*each {
		t.Errorf("the key is %+v, %v, want %d changes", k, err, 4*each)
	}
}
