package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

const personsPassword = "correct horse battery"

// TestConsoleInChromium is a day with the console, in a real browser in front of two real
// proxies over one PostgreSQL, and a real Redis: an operator makes an organization and invites
// its owner, who makes an instance and a key. Clients of both proxies use the key, and their
// load is seen as it comes; they do not notice that the database goes away and comes back.
// A session is ended, and all are cut off when the key is revoked. Nothing of it is against
// the pages' policy.
func TestConsoleInChromium(t *testing.T) {
	p := startPair(t, nil)
	tab := startChromium(t)

	operator := tab("http://" + p.a.http)
	invitation := operatorsDay(operator, p.apiA.token)
	owner := tab("http://" + p.a.http)
	accept(owner, invitation)
	key := ownersMorning(owner, p.backend)

	here, there := startLoad(t, p.a.addr, key), startLoad(t, p.b.addr, key)
	slow := 1700
	startLoad(t, p.a.addr, p.a.key(t, "acme", func(k *tenant.Key) { k.Name, k.Limits.Rate = "batch", &slow }))
	watchTheLoad(owner)
	withoutScripts(owner)
	databaseGoesAway(p, owner)
	for i, l := range []*load{here, there} {
		if n := l.failed.Load(); n > 0 {
			t.Errorf("the client of proxy %d has had %d failures, the last %v, want none", i+1, n, l.err())
		}
	}
	ownersEvening(t, owner, keyID(key), here, there)

	operator.open("/console/audit?target=key")
	operator.sees("key.revoke")
	operator.picture("audit-all")
	operator.open("/console/sessions")
	operator.picture("sessions-all")
}

// TestConsoleInChromiumOverPlainHTTP: the console can be used at another machine's address
// without TLS too, of which browsers say less than of this machine's.
func TestConsoleInChromiumOverPlainHTTP(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	r := startServe(t, cfg)
	_, port, err := net.SplitHostPort(r.http)
	if err != nil {
		t.Fatal(err)
	}
	c := startChromium(t)("http://console.test:" + port)
	c.open("/console")
	c.press(".lone summary", "begins with rgt_")
	c.fill("#token", cfg.HTTP.AdminToken.Reveal())
	c.press("form[action$='/token'] button", "There is no organization yet")
}

// operatorsDay makes an organization and its owner, and returns the owner's invitation.
func operatorsDay(c *chromium, token string) (invitation string) {
	c.t.Helper()
	c.open("/console")
	c.sees("Sign in")
	c.picture("sign-in")
	c.press(".lone summary", "begins with rgt_")
	c.fill("#token", token)
	c.press("form[action$='/token'] button", "There is no organization yet")
	c.fill("#name", "acme")
	c.press("form[action$='/organizations'] button", "The organization is there")
	c.open("/console/")
	c.fill("#name", "globex")
	c.press("form[action$='/organizations'] button", "The organization is there")
	c.open("/console/")
	c.picture("organizations")

	c.open("/console/users")
	c.fill("#email", "ann@example.com")
	c.fill("#name", "Ann")
	c.press("form[action='/console/users'] button", "shown this once")
	invitation = is[string](c, `document.getElementById("secret").value`)
	c.picture("invitation-made")
	c.open("/console/users")
	c.sees("ann@example.com")
	c.picture("users")
	c.open("/console/organizations/acme/members")
	c.fill("#email", "ann@example.com")
	c.choose("#role", "owner")
	c.press("form[action$='/members'] button", "The member's role is set")
	return invitation
}

// accept sets a password with an invitation, and signs in with the keyboard alone.
func accept(c *chromium, invitation string) {
	c.t.Helper()
	c.open("/console/invitation")
	c.picture("invitation")
	c.fill("#invitation", invitation)
	c.fill("#new", personsPassword)
	c.press("form[action$='/invitation'] button", "The password is set")

	c.key("ann@example.com") // the first field has the focus
	c.key(kb.Tab)
	c.key(personsPassword)
	c.key(kb.Enter)
	c.sees("acme")
	c.key(kb.Tab)
	if got := is[string](c, `document.activeElement.innerText`); got != "Skip to the content" {
		c.t.Errorf("the first thing that Tab comes to is %q", got)
	}
	c.key(kb.Enter)
	c.key(kb.Tab)
	if got := is[string](c, `document.activeElement.closest("main") ? "main" : document.activeElement.outerHTML`); got != "main" {
		c.t.Errorf("after the skip link Tab comes to %s", got)
	}
}

// ownersMorning makes an instance and a key, which it returns.
func ownersMorning(c *chromium, backend string) (key string) {
	c.t.Helper()
	c.open("/console/organizations/acme")
	c.sees("There is no instance yet")
	c.picture("organization-empty")
	c.fill("#instance-name", "cache")
	c.fill("#url", "redis://"+backend+"/0")
	c.press("form[action$='/instances'] button", "The instance is there")
	c.press("form[action$='/test'] button", "Connection test")
	c.sees("Reachable")
	c.picture("instance-tested")

	c.open("/console/organizations/acme")
	c.fill("#key-name", "web")
	c.fill("#rate", "100000")
	c.press("form[action$='/keys'] button", "shown this once")
	key = is[string](c, `document.getElementById("secret").value`)
	if !strings.HasPrefix(key, "rg_") {
		c.t.Fatalf("the key is %q", key)
	}
	c.press("[data-copy]", "Copied.")
	c.picture("key-made")
	c.press(".actions a.button", "Replace its secret")
	if strings.Contains(is[string](c, `document.documentElement.outerHTML`), key[16:]) {
		c.t.Error("the secret is seen again")
	}
	return key
}

// load is a client that asks all the time, and what became of its commands.
type load struct {
	*redis.Client
	served, failed atomic.Int64
	mu             sync.Mutex
	last           error // nil: the last was served
}

func (l *load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func startLoad(t *testing.T, addr, key string) *load {
	t.Helper()
	l := &load{Client: testbed.Client(t, &redis.Options{Addr: addr, Username: "cache", Password: key, ClientName: "checkout", MaxRetries: -1, PoolSize: 4})}
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			err := l.step(ctx, n)
			switch {
			case err == nil:
				l.served.Add(1)
			case ctx.Err() == nil:
				l.failed.Add(1)
			}
			l.mu.Lock()
			l.last = err
			l.mu.Unlock()
			<-tick.C
		}
	})
	t.Cleanup(func() { cancel(); working.Wait() })
	return l
}

// step is some commands, of which few are answered with an error.
func (l *load) step(ctx context.Context, n int) error {
	_, err := l.Pipelined(ctx, func(p redis.Pipeliner) error {
		user := fmt.Sprintf("user:%d", n%100)
		p.HSet(ctx, user, "seen", n)
		for range 3 + int(2*math.Sin(float64(n)/900)) {
			p.HGet(ctx, user, "seen")
			p.Get(ctx, "page")
		}
		p.Incr(ctx, "visits")
		p.Set(ctx, "page", n, 0)
		if n%40 == 0 {
			p.HGet(ctx, "page", "nosuch") // it is no hash
		}
		return nil
	})
	if errors.Is(err, redis.Nil) || err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return nil
	}
	return err
}

// watchTheLoad looks at the live picture while it moves.
func watchTheLoad(c *chromium) {
	c.t.Helper()
	c.open("/console/organizations/acme/instances/cache")
	c.showsTheLoad()
	line := `document.querySelector("#chart-commands path.line").getAttribute("d")`
	first := is[string](c, line)
	testbed.Eventually(c.t, "the picture moves", func() bool { return is[string](c, line) != first })
	for _, want := range []string{"hset", "get", "incr"} {
		if hot := is[string](c, `document.getElementById("hot").innerText`); !strings.Contains(hot, want) {
			c.t.Errorf("%s is not among the hot commands: %s", want, hot)
		}
	}
	if *screenshots != "" { // which are better with some time in them
		testbed.Within(c.t, 3*time.Minute, "the picture is full", func() bool {
			return is[int](c, `(document.querySelector("#chart-commands path.line").getAttribute("d").match(/L/g) || []).length`) >= 119
		})
		c.open("/console/organizations/acme/instances/cache")
		c.showsTheLoad()
	}
	c.picture("instance")
}

// showsTheLoad waits until the live picture shows what clients do.
func (c *chromium) showsTheLoad() {
	c.t.Helper()
	testbed.Eventually(c.t, "the picture shows the load", func() bool {
		return is[bool](c, `Number(document.getElementById("now-commands").innerText.replace(",", "").replace("k", "000")) > 0 &&
			document.getElementById("live-state").innerText === "Live" && document.querySelectorAll("#hot tr").length >= 3`)
	})
}

// withoutScripts makes a token and revokes it, and looks at figures, where pages run no scripts.
func withoutScripts(c *chromium) {
	c.t.Helper()
	c.scripts(false)
	c.open("/console/account")
	c.fill("#token-name", "deploy")
	c.press("form[action$='/tokens'] button", "shown this once")
	c.press(".actions a.button", "Your account")
	c.press("a[href^='#revoke-']", "let in no longer")
	c.press("dialog button.danger", "The token is revoked")
	c.open("/console/organizations/acme/instances/cache")
	c.press("noscript a", "As of")
	c.sees("hset")
	c.scripts(true)
}

// databaseGoesAway kills PostgreSQL, has the console say so, and starts it again: who was
// signed in still is.
func databaseGoesAway(p *pair, c *chromium) {
	c.t.Helper()
	p.pg.Kill()
	c.open("/console/organizations/acme")
	c.sees("The database is away")
	p.pg.Start()
	testbed.Eventually(c.t, "the console is there again", func() bool {
		c.open("/console/organizations/acme")
		return is[bool](c, `document.querySelector("main").innerText.includes("cache")`)
	})
	c.forgive("status of 503")
}

// ownersEvening ends a session, revokes the key and looks back.
func ownersEvening(t *testing.T, c *chromium, id string, clients ...*load) {
	t.Helper()
	c.open("/console/organizations/acme/sessions")
	c.sees("checkout")
	c.picture("sessions")
	c.press("main .act a.button", "The client is disconnected at once")
	c.picture("dialog")
	if got := is[string](c, `document.activeElement.innerText`); got != "Keep it" {
		t.Errorf("in a dialog the focus is on %q, want what changes nothing", got)
	}
	c.key(kb.Escape)
	if is[bool](c, `document.querySelector("dialog[open]") !== null`) {
		t.Error("Escape does not close the dialog")
	}
	if !is[bool](c, `document.activeElement.matches("main .act a.button")`) {
		t.Error("the focus does not return to what has opened the dialog")
	}
	c.key(kb.Enter)
	c.press("dialog[open] button.danger", "The session is ended")

	c.open("/console/organizations/acme")
	c.picture("organization")
	c.press("main th a[href='/console/keys/"+id+"']", "Replace its secret")
	c.fill("#rate", "50000")
	c.press("form[action^='/console/keys/'] button.primary", "held to it at once")
	c.sees("50,000/s")
	c.picture("key")
	c.press("#revoke ~ p a.button", "for good")
	c.press("dialog[open] button.danger", "The key is revoked")
	revoked := time.Now()
	for i, client := range clients {
		testbed.Eventually(t, "the client is cut off", func() bool {
			return strings.Contains(fmt.Sprint(client.err()), "WRONGPASS")
		})
		t.Logf("the client of proxy %d is cut off: %v after the page has said so", i+1, time.Since(revoked).Round(time.Millisecond))
	}
	c.picture("key-revoked")
	c.open("/console/organizations/acme/members")
	c.picture("members")
	c.open("/console/organizations/acme/audit")
	c.sees("key.revoke")
	c.picture("audit")
	c.open("/console/account")
	c.picture("account")
	c.press("button[value=dark]", "")
	testbed.Eventually(t, "the colours are dark", func() bool {
		return is[string](c, `document.documentElement ? getComputedStyle(document.documentElement).colorScheme : ""`) == "dark"
	})
	c.check()
	c.open("/console/nosuch")
	c.sees("There is nothing at this address")
	c.picture("nothing")
	c.forgive("status of 404")
	c.open("/console/")
	c.press("form[action$='/sign-out'] button", "You are signed out")
}
