package console

import (
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
)

// aTest is one that runs with a store's driver.
type aTest struct {
	name string
	test func(*testing.T, stores.Opener)
}

func TestSQLite(t *testing.T)   { onStore(t, stores.SQLite(t), append(asking(), others()...)) }
func TestPostgres(t *testing.T) { onStore(t, stores.Postgres(t), asking()) }

func onStore(t *testing.T, open stores.Opener, tests []aTest) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// asking are those in which the store is asked for all kinds of things.
func asking() []aTest {
	return []aTest{
		{"forms", testForms},
		{"junk", testJunk},
		{"audit", testAudit},
	}
}

func others() []aTest {
	return []aTest{
		{"who sees what", testWhoSeesWhat},
		{"pages", testPages},
		{"secrets are shown once", testSecretsAreShownOnce},
		{"who changes what", testWhoChangesWhat},
		{"forged forms", testForgedForms},
		{"sign in", testSignIn},
		{"session cookie", testSessionCookie},
		{"strangers", testStrangers},
		{"from another site", testFromAnotherSite},
		{"next", testNext},
		{"origin over plain HTTP", testOriginOverPlainHTTP},
		{"theme", testTheme},
		{"live", testLive},
		{"live of an operator no more", testLiveOfAnOperatorNoMore},
		{"live outlasts timeouts", testLiveOutlastsTimeouts},
		{"watchers are bounded", testWatchersAreBounded},
		{"static", testStatic},
		{"store away", testStoreAway},
	}
}
