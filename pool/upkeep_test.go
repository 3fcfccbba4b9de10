package pool

import (
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// surveyed is the status of the links of one kind to the bench's instance.
func (b *bench) surveyed(kind string) (s Status) {
	b.loop.Do(func() {
		if found := b.pool.Survey("i")[StatusKey{"i", kind}]; found != nil {
			s = *found
		}
	})
	return s
}

// borrow gets a link of the bench's own.
func (b *bench) borrow(url string) *Link {
	b.t.Helper()
	backend, err := ParseURL(tenant.Secret(url))
	if err != nil {
		b.t.Fatal(err)
	}
	granted := make(chan *Link, 1)
	b.loop.Do(func() {
		b.pool.Borrow(Key{Instance: "i", Label: "acme/cache", Backend: backend, Proto: 2}, Pinned, func(l *Link, err *Error) {
			if err != nil {
				b.t.Error(err)
			}
			granted <- l
		})
	})
	select {
	case l := <-granted:
		return l
	case <-time.After(testbed.Patience):
		b.t.Fatal("no link")
		return nil
	}
}

// TestReconnect looks at the links to a real server before and after all are replaced: who
// has one to itself keeps it until it gives it back.
func TestReconnect(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	url := "redis://" + server.Addr
	link := b.link(url, 0, 2)
	if err := b.up(link); err != nil {
		t.Fatal(err)
	}
	kept, held := b.borrow(url), b.borrow(url)
	b.loop.Do(func() { kept.GiveBack(Clean); held.Hold(nobody{}) })
	if s, want := b.surveyed("pinned"), (Status{Instance: "i", Label: "acme/cache", Kind: "pinned", Connected: 2, InUse: 1, Limit: 8}); s != want || s.Idle() != 1 {
		t.Errorf("pinned links are %+v, want %+v", s, want)
	}
	before := b.do(link, "CLIENT", "ID")
	b.loop.Do(func() { b.pool.Reconnect("other"); b.pool.Reconnect("i") })
	testbed.Within(t, 10*time.Second, "the link that nobody has is closed", func() bool { return b.surveyed("pinned").Connected == 1 })
	if after := b.do(link, "CLIENT", "ID"); after == before || after[0] != ':' {
		t.Errorf("the shared link says it is client %q, and before %q", after, before)
	}
	b.loop.Do(func() { held.GiveBack(Clean) })
	testbed.Within(t, 10*time.Second, "the link that was given back is closed", func() bool { return b.surveyed("pinned") == Status{} })
	if s, want := b.surveyed("shared"), (Status{Instance: "i", Label: "acme/cache", Kind: "shared", Connected: 1, Limit: maxShared}); s != want {
		t.Errorf("shared links are %+v, want %+v", s, want)
	}
}

// TestKill closes all links at once, and others can be had.
func TestKill(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	url := "redis://" + server.Addr
	link, held := b.link(url, 0, 2), b.borrow(url)
	if err := b.up(link); err != nil {
		t.Fatal(err)
	}
	b.loop.Do(func() { held.Hold(nobody{}); b.pool.Kill("i") })
	testbed.Within(t, 10*time.Second, "there are no links", func() bool {
		return b.surveyed("pinned") == Status{} && b.surveyed("shared") == Status{}
	})
	if got, want := b.do(link, "PING"), "backend unavailable: an operator has ended all connections"; got != want {
		t.Errorf("the old link says %q, want %q", got, want)
	}
	if again := b.link(url, 0, 2); b.do(again, "PING") != "+PONG\r\n" {
		t.Error("no new link can be had")
	}
}

// TestSurveyOfABackendThatIsAway tells what waits, and why nothing comes of it.
func TestSurveyOfABackendThatIsAway(t *testing.T) {
	b := newBench(t)
	link := b.link("redis://"+testbed.FreeAddr(t), 0, 2)
	if err := b.up(link); err == nil {
		t.Fatal("it is up")
	}
	if s, want := b.surveyed("shared"), (Status{Instance: "i", Label: "acme/cache", Kind: "shared", Broken: 1, Limit: maxShared, LastReason: "connection refused"}); s != want {
		t.Errorf("shared links are %+v, want %+v", s, want)
	}
	if got, want := b.pool.dialer.Troubles()["acme/cache"], (Trouble{"open", "connection refused"}); got != want {
		t.Errorf("the tenant's trouble is %+v, want %+v", got, want)
	}
}

// nobody is a holder that is told of nothing.
type nobody struct{ *client }

func (nobody) Pushed([]byte, bool) {}
func (nobody) Lost(error)          {}
