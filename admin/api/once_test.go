package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testIdempotencyKeys: what is sent again is done once and answered alike.
func testIdempotencyKeys(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	send := func(who, key, body string) *answerOf {
		rec := w.do(t, request{who: who, call: "POST /organizations/acme/keys", body: body, header: map[string]string{"Idempotency-Key": key}})
		checkForm(t, rec)
		h := rec.Header()
		return &answerOf{rec.Code, rec.Body.String(), h.Get("Location"), h.Get("ETag"), h.Get("Content-Type"), h.Get("Idempotency-Replayed")}
	}
	const web, jobs = `{"name":"web","instances":["cache"]}`, `{"name":"jobs","instances":["cache"]}`
	first := send("admin", `"one"`, web)
	if first.status != http.StatusCreated || first.replayed != "" {
		t.Fatalf("the first: got %+v", first)
	}
	again := send("admin", "one", web)
	if again.replayed != "true" {
		t.Errorf("again: got %+v, want it said", again)
	}
	if again.replayed = ""; *again != *first {
		t.Errorf("again: got %+v, want %+v", again, first)
	}
	if other := send("admin", "one", jobs); other.status != http.StatusUnprocessableEntity || !strings.Contains(other.body, "header.Idempotency-Key") {
		t.Errorf("another request with the key: got %+v, want 422", other)
	}
	if theirs := send("owner", "one", web); theirs.status != http.StatusCreated || theirs.replayed != "" || theirs.location == first.location {
		t.Errorf("another user's key of that name: got %+v, want one more", theirs)
	}
	all := must[[]tenant.Key](t)(w.store.Keys(t.Context(), "acme", pageAll))
	if len(all) != 2 {
		t.Errorf("there are %d keys, want 2", len(all))
	}

	if bad := send("admin", "two", `{"name":"NO","instances":["cache"]}`); bad.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong request: got %+v, want 422", bad)
	}
	if good := send("admin", "two", jobs); good.status != http.StatusCreated {
		t.Errorf("its key for a right one: got %+v, want 201: nothing has been done", good)
	}
	for _, key := range []string{"a b", `"`, `""`, `"a`, "é", strings.Repeat("x", 256)} {
		if bad := send("admin", key, web); bad.status != http.StatusBadRequest {
			t.Errorf("the key %.20q: got %+v, want 400", key, bad)
		}
	}
	// Others than POSTs do not take one.
	if rec := w.do(t, request{who: "admin", call: "GET /me", header: map[string]string{"Idempotency-Key": "one"}}); rec.Code != http.StatusOK {
		t.Errorf("a GET with a key: got %d, want 200", rec.Code)
	}
}

type answerOf struct {
	status                                      int
	body, location, etag, contentType, replayed string
}

// testIdempotencyKeyInUse: a request that is still being done is not done twice, and one that
// died lets its key go.
func testIdempotencyKeyInUse(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	probe := request{who: "operator", call: "POST /organizations/acme/instances/cache/test", header: map[string]string{"Idempotency-Key": "k"}}
	w.probing = func() {
		if rec := w.do(t, probe); rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), "being done") {
			t.Errorf("meanwhile: got %d %s, want 409", rec.Code, rec.Body)
		}
		panic("planted")
	}
	if rec := w.do(t, probe); rec.Code != http.StatusInternalServerError {
		t.Errorf("a panic: got %d %s, want 500", rec.Code, rec.Body)
	}
	w.probing = func() {}
	if rec := w.do(t, probe); rec.Code != http.StatusOK || rec.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("after that: got %d %s, want it done", rec.Code, rec.Body)
	}
}

// testStoreAway: what cannot be asked is said to be away, with no word of why.
func testStoreAway(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	if rec := w.do(t, request{who: "viewer", call: "GET /me"}); rec.Code != http.StatusOK {
		t.Fatalf("got %d %s", rec.Code, rec.Body)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []request{
		{who: "operator", call: "GET /organizations"}, {who: "admin", call: "GET /me"},
		{who: "operator", call: "POST /organizations", body: `{"name":"x"}`, header: map[string]string{"Idempotency-Key": "k"}},
	} {
		rec := w.do(t, q)
		if rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), "sql") {
			t.Errorf("%s: got %d %s, want 503", q.call, rec.Code, rec.Body)
		}
		checkForm(t, rec)
	}
	if out := w.log.String(); !strings.Contains(out, "cannot ask the store") {
		t.Errorf("log: %s", out)
	}
}

// hung are answers of a store that hangs when asked for some.
type hung struct {
	Answers
	claim bool // when a request comes; else when it has been done
}

func (h hung) Claim(ctx context.Context, owner, key string, request [32]byte, at time.Time) ([]byte, bool, error) {
	if h.claim {
		<-ctx.Done()
		return nil, false, ctx.Err()
	}
	return h.Answers.Claim(ctx, owner, key, request, at)
}

func (hung) Answer(ctx context.Context, _, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hung) Release(ctx context.Context, _, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// testHungStore: who asks is answered, though the store is not.
func testHungStore(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	for _, c := range []struct {
		name  string
		claim bool
		body  string
		want  int
	}{
		{"before it is done", true, `{"name":"a"}`, http.StatusServiceUnavailable},
		{"after it was done", false, `{"name":"b"}`, http.StatusCreated},
		{"after it was refused", false, `{"name":"NO"}`, http.StatusUnprocessableEntity},
	} {
		mux := http.NewServeMux()
		New(Config{Patience: time.Second}, w.control, hung{w.store, c.claim}, slog.New(slog.DiscardHandler)).Mount(mux)
		w.handler = mux
		rec := w.do(t, request{who: "operator", call: "POST /organizations", body: c.body, header: map[string]string{"Idempotency-Key": "key"}})
		if rec.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, rec.Code, rec.Body, c.want)
		}
		checkForm(t, rec)
	}
}

// testPanic is answered, with no word of why.
func testPanic(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{Rate: 100})
	w.probing = func() { panic("planted") }
	rec := w.do(t, request{who: "operator", call: "POST /organizations/acme/instances/cache/test"})
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "planted") || rec.Header().Get("RateLimit") == "" {
		t.Errorf("got %d %v %s, want 500", rec.Code, rec.Header(), rec.Body)
	}
	checkForm(t, rec)
	if out := w.log.String(); !strings.Contains(out, "planted") {
		t.Errorf("log: %s", out)
	}
}
