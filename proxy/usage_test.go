package proxy

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// TestUsage has clients of two keys say things: what each has done is counted, once.
func TestUsage(t *testing.T) {
	st := fixed{}
	a, b := st.grant("acme", "127.0.0.1:1", 3, "+get"), st.grant("globex", "127.0.0.1:2", 0, "")
	authA, authB := "AUTH "+a+"\r\n", "AUTH "+b+"\r\n"
	const get = "GET a\r\n"
	noPerm := "-NOPERM this key has no permissions to run the 'set' command\r\n"
	over := "-RATELIMIT 3 commands/s exceeded for this key, retry after 334 ms\r\n"
	for _, c := range []struct {
		name, in string
		a, b     tenant.Usage
	}{
		{"nothing", "", tenant.Usage{}, tenant.Usage{}},
		{"before AUTH", "GET a\r\nPING\r\n", tenant.Usage{}, tenant.Usage{}},
		{"AUTH alone", authA, tenant.Usage{BytesOut: 5}, tenant.Usage{}},
		{"relayed", authA + get + get, tenant.Usage{Commands: 2, BytesIn: 14, BytesOut: 5 + 20}, tenant.Usage{}},
		{"denied", authA + "SET a b\r\n" + get, tenant.Usage{Commands: 2, Errors: 1, BytesIn: 16, BytesOut: 5 + 10 + int64(len(noPerm))}, tenant.Usage{}},
		{"limited", authA + strings.Repeat(get, 5), tenant.Usage{Commands: 5, Errors: 2, Limited: 2, BytesIn: 35, BytesOut: 5 + 30 + 2*int64(len(over))}, tenant.Usage{}},
		{"answered here", authB + "CLIENT ID\r\nSELECT 1\r\n", tenant.Usage{}, tenant.Usage{Commands: 2, BytesIn: 21, BytesOut: 5 + 4 + 5}},
		{"a wrong one", authB + "SELECT x\r\n", tenant.Usage{}, tenant.Usage{Commands: 1, Errors: 1, BytesIn: 10, BytesOut: 5 + 46}},
		{"one key after the other", authA + get + authB + get + get, tenant.Usage{Commands: 1, BytesIn: 7 + int64(len(authB)), BytesOut: 15},
			tenant.Usage{Commands: 2, BytesIn: 14, BytesOut: 25}},
		{"a bad key after", authB + get + "AUTH x\r\n" + get, tenant.Usage{}, tenant.Usage{Commands: 2, Errors: 1, BytesIn: 22, BytesOut: 5 + 20 + 64}},
		{"RESET", authB + get + "RESET\r\n" + get, tenant.Usage{}, tenant.Usage{Commands: 1, BytesIn: 14, BytesOut: 15}},
		{"QUIT", authB + get + "QUIT\r\n", tenant.Usage{}, tenant.Usage{Commands: 1, BytesIn: 13, BytesOut: 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, st)
			d.send(c.in)
			for range 10 {
				d.reply()
			}
			d.session.Closed(nil)
			c.a.KeyID, c.a.InstanceID = a[3:15], "acme"
			c.b.KeyID, c.b.InstanceID = b[3:15], "globex"
			counted, used := d.core.TakeUsage()
			got := map[string]tenant.Usage{}
			for _, u := range counted {
				got[u.KeyID] = u
			}
			for _, want := range []tenant.Usage{c.a, c.b} {
				nothing := want == tenant.Usage{KeyID: want.KeyID, InstanceID: want.InstanceID}
				if got, is := got[want.KeyID]; is == nothing || is && got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if is := strings.Contains(strings.Join(used, " "), want.KeyID); is == nothing {
					t.Errorf("%s is said to be used: %v", want.InstanceID, is)
				}
			}
			if counted, used := d.core.TakeUsage(); len(counted)+len(used)+len(d.core.usages) > 0 {
				t.Errorf("when all have left, there are %v, %v, %v", counted, used, d.core.usages)
			}
		})
	}
}

// TestUsageCountsErrorReplies has a backend answer with errors, and usage be taken twice.
func TestUsageCountsErrorReplies(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	d.send("AUTH " + st.grant("acme", "127.0.0.1:1", 0, "") + "\r\n" + strings.Repeat("GET a\r\n", 3))
	d.session.link.Data([]byte("-WRONGTYPE x\r\n+fine\r\n-ERR y\r\n"))
	if counted, _ := d.core.TakeUsage(); len(counted) != 1 || counted[0].Errors != 2 || counted[0].Commands != 3 {
		t.Errorf("counted %+v, want 3 commands, 2 errors", counted)
	}
	if counted, used := d.core.TakeUsage(); len(counted)+len(used) > 0 {
		t.Errorf("counted %+v of %v since, want nothing", counted, used)
	}
	d.send("GET a\r\n")
	d.reply()
	if counted, used := d.core.TakeUsage(); len(counted) != 1 || counted[0].Commands != 1 || counted[0].BytesIn != 7 || len(used) != 1 {
		t.Errorf("counted %+v of %v, want one more command", counted, used)
	}
}
