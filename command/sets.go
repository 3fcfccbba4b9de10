package command

import "strings"

// Flags are Redis's command flags (COMMAND INFO).
type Flags uint32

// The flags, each under Redis's name for it in flagNames.
const (
	FlagWrite Flags = 1 << iota
	FlagReadonly
	FlagDenyoom
	FlagAdmin
	FlagPubsub
	FlagNoscript
	FlagBlocking
	FlagLoading
	FlagStale
	FlagSkipMonitor
	FlagSkipSlowlog
	FlagAsking
	FlagFast
	FlagNoAuth
	FlagMayReplicate
	FlagSentinel
	FlagNoAsyncLoading
	FlagNoMulti
	FlagNoMandatoryKeys
	FlagProtected
	FlagTouchesArbitraryKeys
	FlagAllowBusy
	FlagExperimental
)

var flagNames = []string{"write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking", "loading", "stale", "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "sentinel", "no_async_loading", "no_multi", "no_mandatory_keys", "protected", "touches_arbitrary_keys", "allow_busy", "experimental"}

// String returns the flags' names, blanks between.
func (f Flags) String() string { return names(uint64(f), flagNames) }

// Categories are Redis's ACL categories (ACL CAT).
type Categories uint32

// The categories, each under Redis's name for it in categoryNames.
const (
	CatKeyspace Categories = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedset
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperloglog
	CatGeo
	CatStream
	CatPubsub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
)

var categoryNames = []string{"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting"}

// String returns the categories' names, blanks between.
func (c Categories) String() string { return names(uint64(c), categoryNames) }

// ParseCategory returns the category called name, without its '@', in any case.
func ParseCategory(name string) (Categories, bool) {
	for i, n := range categoryNames {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

func names(set uint64, of []string) string {
	var out []string
	for i, name := range of {
		if set>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}
