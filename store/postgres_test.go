package store

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

const testSecret = "a secret of at least 32 bytes, for tests"

func openPostgresAt(t testing.TB, dsn string, obs Observer) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Driver: "postgres", DSN: dsn, Secret: testSecret}, obs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgres(t *testing.T) {
	pg := testbed.Postgres(t)
	contract(t, func(t testing.TB, obs Observer) *Store { return openPostgresAt(t, pg.Database(), obs) })
	for _, c := range []struct {
		name string
		test func(*testing.T, *testbed.PostgresServer)
	}{
		{"several open it at once", testOpenedAtOnce},
		{"migrations", func(t *testing.T, pg *testbed.PostgresServer) {
			dsn := pg.Database()
			testMigrates(t, func() *Store {
				return must[*Store](t)(Open(t.Context(), Config{Driver: "postgres", DSN: dsn, Secret: testSecret}, nil))
			})
		}},
		{"several write at once", testWrittenAtOnce},
		{"a crowd", testCrowd},
		{"a frozen writer", testFrozenWriter},
		{"another isolation", testIsolation},
		{"indexes", testIndexes},
		{"changes are told", testChangesAreTold},
		{"changes come in their order", testChangesInOrder},
		{"killed and started again", testKilledPostgres},
		{"what cannot be opened", testPostgresErrors},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, pg) })
	}
}

func testOpenedAtOnce(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	opened := make(chan error)
	for range 4 {
		go func() {
			s, err := Open(context.Background(), Config{Driver: "postgres", DSN: dsn, Secret: testSecret}, nil)
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}
	for range 4 {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}

// follow counts what a store is told of until the test ends.
func follow(t *testing.T, s *Store) *atomic.Int64 {
	told := new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Follow(ctx, func() { told.Add(1) }) }()
	t.Cleanup(func() { cancel(); <-done })
	testbed.Eventually(t, "it listens", func() bool { return told.Load() > 0 })
	return told
}

func testChangesAreTold(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	writer, reader := openPostgresAt(t, dsn, nil), openPostgresAt(t, dsn, nil)
	told := follow(t, reader)
	made := seed(t, writer, "acme", "000000000001", "cache")
	before := told.Load()
	must[tenant.Key](t)(writer.RevokeKey(t.Context(), made.ID, 0))
	testbed.Eventually(t, "the other store is told", func() bool { return told.Load() > before })
	if c, err := reader.Changes(t.Context(), 0); err != nil || len(c.Keys) == 0 || c.Keys[len(c.Keys)-1] != made.ID {
		t.Errorf("changes are %+v, %v, want the key %s", c, err, made.ID)
	}
}

// testChangesInOrder: who reads changes while many write misses none, since none gets a
// number below one that has been read.
func testChangesInOrder(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	reader := openPostgresAt(t, dsn, nil)
	seed(t, reader, "acme", "000000000000", "cache")
	const writers, each = 4, 25
	written := make(chan error, writers)
	for w := range writers {
		s := openPostgresAt(t, dsn, nil)
		go func() {
			for i := range each {
				id := strings.Repeat("0", 8) + string(rune('a'+w)) + "00" + string(rune('A'+i))
				if _, err := s.CreateKey(context.Background(), tenant.Key{ID: id, Org: "acme", Instances: []string{"cache"}, Name: "web"}); err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	seen := map[string]bool{}
	var seq int64
	for left := writers; left > 0 || !upToDate(t, reader, &seq, seen); {
		select {
		case err := <-written:
			left--
			if err != nil {
				t.Fatal(err)
			}
		default:
			upToDate(t, reader, &seq, seen)
		}
	}
	if len(seen) != writers*each+1 {
		t.Errorf("saw changes of %d keys, want %d", len(seen), writers*each+1)
	}
}

func upToDate(t *testing.T, s *Store, seq *int64, seen map[string]bool) bool {
	c, err := s.Changes(t.Context(), *seq)
	if err != nil || !c.Complete {
		t.Fatalf("changes after %d: %+v, %v", *seq, c, err)
	}
	for _, id := range c.Keys {
		seen[id] = true
	}
	done := c.Seq == *seq
	*seq = c.Seq
	return done
}

func testKilledPostgres(t *testing.T, pg *testbed.PostgresServer) {
	s := openPostgresAt(t, pg.Database(), nil)
	made := seed(t, s, "acme", "000000000001", "cache")
	told := follow(t, s)
	if c, err := s.Changes(t.Context(), 0); err != nil || !c.Complete {
		t.Fatalf("changes are %+v, %v", c, err)
	}
	pg.Kill()
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a server that is gone answers")
	}
	before := told.Load()
	pg.Start()
	testbed.Eventually(t, "it listens again", func() bool { return told.Load() > before })
	if k, err := s.Key(t.Context(), made.ID); err != nil || k.ID != made.ID {
		t.Errorf("after it came back: %+v, %v", k, err)
	}
	// A server that took over may lack changes that had been told.
	if c, err := s.Changes(t.Context(), 0); err != nil || c.Complete {
		t.Errorf("after the connection was lost: %+v, %v, want all suspected", c, err)
	}
	if c, err := s.Changes(t.Context(), 0); err != nil || !c.Complete {
		t.Errorf("and then: %+v, %v, want that once", c, err)
	}
}

func testPostgresErrors(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	if err := must[*Store](t)(Open(t.Context(), Config{Driver: "postgres", DSN: dsn, Secret: testSecret}, nil)).Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dsn, secret, want string }{
		{"without a secret", dsn, "", "RESPGATE_SECRET_KEY: store.driver postgres needs it"},
		{"another secret", dsn, strings.ToUpper(testSecret), "sealed with another secret"},
		{"a file", "file:var/respgate.db", testSecret, "store.dsn: want postgres://"},
		{"nothing", "", testSecret, "store.dsn: want postgres://"},
		{"nonsense", "postgres://user:hunter2@[::1", testSecret, "store.dsn: want postgres://"},
		{"a wrong password", strings.Replace(dsn, "pg-hunter2", "hunter2", 1), testSecret, "password authentication failed"},
		{"no such database", strings.Replace(dsn, "/test", "/nosuch", 1), testSecret, "does not exist"},
	} {
		s, err := Open(t.Context(), Config{Driver: "postgres", DSN: c.dsn, Secret: c.secret}, nil)
		if err == nil {
			t.Errorf("%s: it opens", c.name)
			_ = s.Close()
			continue
		}
		wantError(t, err, ErrInvalid, c.want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the password: %v", c.name, err)
		}
	}
	_, err := Open(t.Context(), Config{Driver: "postgres", DSN: "postgres://user:hunter2@" + testbed.FreeAddr(t) + "/x", Secret: testSecret}, nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a server that is away: %v", err)
	}
}

func TestNumbered(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"SELECT 1", "SELECT 1"},
		{"a = ? AND b = ?", "a = $1 AND b = $2"},
		{"?1 IN ('', id) OR ?1 = ?2", "$1 IN ('', id) OR $1 = $2"},
		{"a = 'what?' AND b = ?", "a = 'what?' AND b = $1"},
		{"'it''s ?' = ?", "'it''s ?' = $1"},
	} {
		if got := numbered(c.in); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
}
