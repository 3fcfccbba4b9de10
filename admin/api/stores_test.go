package api

import (
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
)

func TestSQLite(t *testing.T)   { onStores(t, stores.SQLite(t)) }
func TestPostgres(t *testing.T) { onStores(t, stores.Postgres(t)) }

// onStores is what is to be so with each of the store's drivers.
func onStores(t *testing.T, open stores.Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, stores.Opener)
	}{
		{"answers", testAnswers},
		{"entity tags", testEntityTags},
		{"at once", testAtOnce},
		{"pages", testPages},
		{"large bodies", testLargeBodies},
		{"limits", testLimits},
		{"own limits", testOwnLimits},
		{"guessed URLs", testGuessedURLs},
		{"idempotency keys", testIdempotencyKeys},
		{"idempotency key in use", testIdempotencyKeyInUse},
		{"store away", testStoreAway},
		{"a store that hangs", testHungStore},
		{"panic", testPanic},
		{"page", testPage},
		{"denied is noted", testDeniedIsNoted},
		{"a process's own requests", testFor},
		{"junk", testJunk},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}
