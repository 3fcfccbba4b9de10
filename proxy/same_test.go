package proxy

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestSameAsRedis has conversations with Redis and with the proxy before it: each says
// the same, byte for byte.
func TestSameAsRedis(t *testing.T) {
	server := testbed.Redis(t)
	st := fixed{}
	key := st.grant("acme", server.Addr, 0, "+@all")
	addr := startProxy(t, st)
	client := server.Client()
	for _, c := range []struct{ name, in string }{
		{"a transaction", "MULTI|SET a 1|INCR a|GET a|EXEC|GET a"},
		{"two transactions", "MULTI|INCR a|EXEC|MULTI|INCR a|EXEC|GET a"},
		{"a discarded one", "MULTI|SET a 1|DISCARD|GET a"},
		{"nested", "MULTI|MULTI|SET a 1|EXEC|GET a"},
		{"an error at run time", "SET a x|MULTI|INCR a|SET b 1|EXEC|GET b"},
		{"an error when queued", "MULTI|SET a|SET b 1|EXEC|GET b"},
		{"a command nobody knows", "MULTI|NOSUCH a|SET b 1|EXEC|GET b"},
		{"EXEC alone", "EXEC|DISCARD|UNWATCH|EXEC x|DISCARD x|UNWATCH x"},
		{"MULTI with arguments", "MULTI x|EXEC|MULTI|EXEC x|SET a 1|EXEC"},
		{"WATCH", "WATCH a b|GET a|MULTI|SET a 1|EXEC|GET a"},
		{"WATCH and change", "WATCH a|SET a 1|MULTI|SET a 2|EXEC|GET a"},
		{"UNWATCH", "WATCH a|SET a 1|UNWATCH|MULTI|SET a 2|EXEC|GET a"},
		{"WATCH inside MULTI", "MULTI|WATCH a|SET a 1|EXEC"},
		{"WATCH without keys", "WATCH|WATCH a|UNWATCH"},
		{"SELECT while watching", "WATCH a|SELECT 3|SET a 1|SELECT 0|MULTI|GET a|EXEC|SELECT 3|GET a"},
		{"SELECT in a transaction", "SET a 0|MULTI|SELECT 3|SET a 3|EXEC|GET a|SELECT 0|GET a|SELECT 3|GET a"},
		{"SELECT in a discarded one", "MULTI|SELECT 3|DISCARD|SET a 1|SELECT 0|GET a"},
		{"SELECT that fails in one", "MULTI|SELECT 99|SELECT x|SET a 1|EXEC|GET a"},
		{"SELECT on a link of one's own, and then shared ones", "GET a|EVAL 'return 1' 0|WATCH a|SELECT 3|UNWATCH|SET a 3|EVAL 'return redis.call(\"get\", \"a\")' 0|SELECT 0|GET a"},
		{"SELECT in a transaction, and then shared links", "GET a|EVAL 'return 1' 0|MULTI|SELECT 3|EXEC|SET a 3|EVAL 'return redis.call(\"get\", \"a\")' 0|SELECT 0|GET a"},
		{"RESET in a transaction", "MULTI|SET a 1|RESET"},
		{"QUIT in a transaction", "MULTI|SET a 1|QUIT"},
		{"PING and ECHO in one", "MULTI|PING|ECHO x|EXEC"},
		{"scripts in one", "MULTI|EVAL 'return redis.call(\"incr\", KEYS[1])' 1 a|EXEC|EVAL 'return 1' 0"},
		{"blocking ones that do not wait", "RPUSH l 1 2 3 4|BLPOP l 0|BRPOP l 0|BLMOVE l m LEFT RIGHT 0|BRPOPLPUSH l n 0|BLMPOP 0 1 m LEFT"},
		{"blocking ones that time out", "BLPOP l 0.01|BRPOP l m 0.01|BLMOVE l m LEFT LEFT 0.01|BRPOPLPUSH l m 0.01|BLMPOP 0.01 1 l LEFT|BZPOPMIN z 0.01|BZPOPMAX z 0.01|BZMPOP 0.01 1 z MIN"},
		{"blocking ones in a transaction", "MULTI|BLPOP l 0|BZPOPMIN z 0|XREAD BLOCK 0 STREAMS s $|EXEC"},
		{"wrong blocking ones", "BLPOP l|BLPOP l x|BLPOP l -1|BZMPOP 0|XREAD BLOCK x STREAMS s 0"},
		{"XREAD", "XADD s 1-1 f v|XREAD BLOCK 10 STREAMS s 0|XREAD BLOCK 10 STREAMS s $|XGROUP CREATE s g 0|XREADGROUP GROUP g c BLOCK 10 STREAMS s >|XREADGROUP GROUP g c BLOCK 10 STREAMS s >"},
		{"WAIT", "SET a 1|WAIT 0 10|WAIT 1 10|WAIT x 1"},
		{"pub/sub", "SUBSCRIBE a b|PING|PING hello|UNSUBSCRIBE a|UNSUBSCRIBE|PING|GET a"},
		{"patterns", "PSUBSCRIBE a* b*|SUBSCRIBE c|PUNSUBSCRIBE|UNSUBSCRIBE c|GET a"},
		{"shard channels", "SSUBSCRIBE a b|SUNSUBSCRIBE|SET a 1"},
		{"the same channel twice", "SUBSCRIBE a a|UNSUBSCRIBE a a|SET a 1"},
		{"not subscribed", "UNSUBSCRIBE|UNSUBSCRIBE a b|PUNSUBSCRIBE|PUNSUBSCRIBE a|SUNSUBSCRIBE|SUNSUBSCRIBE a"},
		{"what a subscriber may not", "SUBSCRIBE a|GET a|CLIENT ID|SELECT 1|HELLO 3|AUTH x|MULTI|INFO|UNSUBSCRIBE|SET a 1"},
		{"wrong subscriptions", "SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE|SET a 1"},
		{"RESET of a subscriber", "SUBSCRIBE a|RESET"},
		{"QUIT of a subscriber", "SUBSCRIBE a|QUIT"},
		{"publishing", "PUBLISH p x|SPUBLISH p x|PUBSUB CHANNELS p*|PUBSUB NUMSUB p|PUBSUB SHARDCHANNELS p*|PUBSUB SHARDNUMSUB p"},
		{"UNSUBSCRIBE while watching", "WATCH a|UNSUBSCRIBE a|SET a 1|MULTI|GET a|EXEC"},
		{"SUBSCRIBE while watching", "WATCH a|SUBSCRIBE c|UNSUBSCRIBE c|MULTI|GET a|EXEC"},
		{"CLIENT errors", "CLIENT|CLIENT FOO|CLIENT KILL|CLIENT KILL x|CLIENT KILL ID x|CLIENT KILL ID 99999|CLIENT KILL FOO 1|CLIENT KILL TYPE x|" +
			"CLIENT KILL SKIPME x|CLIENT KILL ID|CLIENT LIST x|CLIENT LIST TYPE x|CLIENT LIST TYPE|CLIENT LIST ID x|CLIENT LIST ID 99999|CLIENT INFO x|" +
			"CLIENT REPLY x|CLIENT NO-EVICT x|CLIENT UNBLOCK x|CLIENT UNBLOCK 99999|CLIENT UNBLOCK 99999 x|CLIENT PAUSE x|CLIENT PAUSE -1|" +
			"CLIENT PAUSE 1 x|CLIENT UNPAUSE x|CLIENT UNPAUSE|CLIENT ID x"},
		{"tracking errors", "CLIENT GETREDIR|CLIENT TRACKINGINFO|CLIENT CACHING x|CLIENT CACHING YES|CLIENT TRACKING x|CLIENT TRACKING ON REDIRECT 99999|" +
			"CLIENT TRACKING ON REDIRECT x|CLIENT NO-TOUCH ON|CLIENT TRACKING ON OPTIN OPTOUT|CLIENT TRACKINGINFO"},
		{"HELLO errors", "HELLO x|HELLO 4|HELLO 03|HELLO 2 AUTH|HELLO 2 AUTH a|HELLO 2 SETNAME|HELLO 2 FOO|HELLO 2 SETNAME \"a b\""},
		{"wrong arity", "AUTH|SELECT|SELECT 1 2|ECHO|PING a b|RESET x|CLIENT ID x|CLIENT SETNAME|CLIENT SETNAME a b|CLIENT GETNAME x|CLIENT INFO x|" +
			"CLIENT NO-EVICT|CLIENT NO-EVICT a b|CLIENT REPLY|CLIENT REPLY a b|CLIENT TRACKING|CLIENT CACHING|CLIENT CACHING a b|CLIENT UNBLOCK|" +
			"CLIENT PAUSE|CLIENT HELP x|CLIENT GETREDIR x|CLIENT TRACKINGINFO x|MULTI x|EXEC x|DISCARD x|WATCH|UNWATCH x|SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE|" +
			"PUBLISH a|BLPOP|WAIT|WAIT 1|MONITOR x|COMMAND GETKEYS|COMMAND COUNT x|CLIENT PAUSE 1 ALL x|CLIENT UNBLOCK 1 ERROR x"},
		{"all kinds of data", "GEOADD g 13.36 38.11 p|GEOPOS g p|GEODIST g p p|SETBIT b 7 1|BITCOUNT b|BITFIELD b GET u4 0|BITPOS b 1|PFADD h a b|PFCOUNT h|PFMERGE i h|" +
			"DUMP b|OBJECT ENCODING b|OBJECT REFCOUNT b|MEMORY USAGE b|DEL g h i|SCAN 0|DBSIZE|HSET k f v|HSCAN k 0|SADD s 1|SSCAN s 0|ZADD z 1 a|ZSCAN z 0|" +
			"MOVE b 3|EXISTS b|COPY k m|RENAME m n|SORT s|LPOS l x|XADD x 1-1 f v|XINFO STREAM x|XRANGE x - +|RANDOMKEY x|TYPE n|EXPIRE n 100|TTL n|SWAPDB 0 3|EXISTS b"},
		{"names", "CLIENT GETNAME|CLIENT SETNAME x|CLIENT GETNAME|CLIENT SETNAME \"a b\"|CLIENT SETNAME \"\"|CLIENT GETNAME"},
		{"no replies", "CLIENT REPLY OFF|SET a 1|CLIENT ID|CLIENT REPLY ON|GET a|CLIENT REPLY SKIP|GET a|GET a|CLIENT REPLY SKIP|CLIENT GETNAME|PING"},
		{"no replies to a subscriber that is none", "CLIENT REPLY OFF|UNSUBSCRIBE a|GET a|CLIENT REPLY SKIP|PUNSUBSCRIBE"},
		{"CLIENT PAUSE for ever", "CLIENT PAUSE 9223372036854775807|GET a|CLIENT UNPAUSE"},
		{"tracking on and off", "CLIENT TRACKING ON|CLIENT TRACKING OFF|CLIENT TRACKING ON|CLIENT TRACKINGINFO|GET a|SET a 1|CLIENT TRACKING bogus|CLIENT TRACKING bogus|CLIENT TRACKING OFF|CLIENT TRACKINGINFO"},
		{"tracking off", "CLIENT TRACKING OFF|CLIENT TRACKINGINFO|CLIENT TRACKING bogus|MULTI|GET a|EXEC|CLIENT TRACKING ON|CLIENT TRACKING OFF|CLIENT TRACKINGINFO|SET a 1"},
		{"no replies in a transaction", "CLIENT REPLY OFF|MULTI|INCR a|EXEC|CLIENT REPLY ON|GET a|CLIENT REPLY SKIP|MULTI|INCR a|EXEC"},
		{"no replies and wrong commands", "CLIENT REPLY SKIP|GET|GET a|CLIENT REPLY SKIP|NOSUCH|PING|CLIENT REPLY OFF|SELECT x|SELECT 1|SET a 1|CLIENT REPLY ON|GET a"},
		{"tracking", "CLIENT TRACKING ON|GET a|SET a 1|GET a|CLIENT TRACKINGINFO|CLIENT GETREDIR|CLIENT TRACKING OFF|SET a 2"},
		{"tracking prefixes", "CLIENT TRACKING ON BCAST PREFIX b PREFIX a|SET b1 1|SET c1 1|CLIENT TRACKINGINFO|CLIENT TRACKING OFF|SET b1 2"},
		{"tracking opt-in", "CLIENT TRACKING ON OPTIN NOLOOP|GET a|CLIENT CACHING YES|GET b|SET a 1|SET b 1|CLIENT TRACKINGINFO"},
		{"COMMAND", "COMMAND INFO get nosuch eval|COMMAND GETKEYS MGET a b|COMMAND DOCS get|COMMAND FOO|COMMAND LIST FILTERBY PATTERN xrevr*"},
		{"modules", "JSON.SET a $ 1|FT.SEARCH i q|GET a|MULTI|JSON.GET a|EXEC"},
		{"a transaction by a subscriber", "MULTI|PUBLISH a x|EXEC|SUBSCRIBE a|UNSUBSCRIBE a|MULTI|EXEC"},
	} {
		protos := []string{"2", "3"}
		if strings.Contains(c.in, "RESET") || strings.Contains(c.in, "HELLO") { // they choose it themselves
			protos = protos[:1]
		}
		for _, proto := range protos {
			t.Run(c.name+"/"+proto, func(t *testing.T) {
				in := "HELLO " + proto + "|" + c.in + "|QUIT|"
				var got [2]string
				for i, to := range []struct{ addr, first string }{{server.Addr, ""}, {addr, "AUTH " + key + "\r\n"}} {
					if err := client.FlushAll(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
					got[i] = talk(t, to.addr, to.first+strings.ReplaceAll(in, "|", "\r\n"))
					if i == 1 {
						got[i] = strings.TrimPrefix(got[i], "+OK|")
					}
					_, got[i], _ = strings.Cut(got[i], "modules|*0|") // HELLO's answer has an id
				}
				if got[0] != got[1] {
					t.Errorf("%s\n%s", c.in, differing(got[0], got[1]))
				}
			})
		}
	}
}
