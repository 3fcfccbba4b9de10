package control

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
		{"permissions", testPermissions},
		{"hidden", testHidden},
		{"versions", testVersions},
		{"URL as shown", testURLAsShown},
		{"proxy rules", testProxyRules},
		{"bad rules", testBadRules},
		{"kill session", testKillSession},
		{"compare URL", testCompareURL},
		{"data", testData},
		{"elsewhere", testElsewhere},
		{"events of", testEventsOf},
		{"authenticate", testAuthenticate},
		{"authenticate remembers", testAuthenticateRemembers},
		{"authenticate is away", testAuthenticateIsAway},
		{"unkept events", testUnkeptEvents},
		{"noted when cancelled", testNotedWhenCancelled},
		{"noted is bounded", testNotedIsBounded},
		{"noted before and after", testNotedBeforeAndAfter},
		{"sign in", testSignIn},
		{"sign in by token", testSignInByToken},
		{"sign in takes its turn", testSignInTakesItsTurn},
		{"sign in is throttled", testSignInIsThrottled},
		{"invitations", testInvitations},
		{"set password", testSetPassword},
		{"watch", testWatch},
		{"pictures of no proxy", testPicturesOfNoProxy},
		{"top", testTop},
		{"slow log", testSlowLog},
		{"log level", testLogLevel},
		{"top of no proxy", testTopOfNoProxy},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}
