package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// shelf is a store of events and usage that may be away.
type shelf struct {
	mu      sync.Mutex
	away    error
	events  []tenant.Event
	usage   map[string]tenant.Usage // sums by key
	records int
	touched map[string]time.Time
}

func (s *shelf) set(away error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *shelf) AppendEvents(_ context.Context, events []tenant.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == nil {
		s.events = append(s.events, events...)
	}
	return s.away
}

func (s *shelf) AddUsage(_ context.Context, usage []tenant.Usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	if s.usage == nil {
		s.usage = map[string]tenant.Usage{}
	}
	for _, u := range usage {
		sum := s.usage[u.KeyID]
		sum.Commands, sum.Errors, sum.Limited = sum.Commands+u.Commands, sum.Errors+u.Errors, sum.Limited+u.Limited
		sum.BytesIn, sum.BytesOut = sum.BytesIn+u.BytesIn, sum.BytesOut+u.BytesOut
		s.usage[u.KeyID] = sum
		s.records++
	}
	return nil
}

func (s *shelf) Touch(_ context.Context, keys, _ map[string]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	if s.touched == nil {
		s.touched = map[string]time.Time{}
	}
	for id, at := range keys {
		s.touched[id] = at
	}
	return nil
}

// TestUsageIsExact has many clients come and go on two loops, while usage is collected again
// and again from a store that is now there, now away, and one key is deleted: in the end the
// sums are what the clients did, byte by byte.
func TestUsageIsExact(t *testing.T) {
	p := startPlane(t)
	redis := testbed.Redis(t).Addr
	keys := []string{p.tenant(t, "acme", redis, nil), p.tenant(t, "globex", redis, nil), p.tenant(t, "initech", redis, nil)}
	s := &shelf{}
	l := newLedger(s, p.metrics, slog.New(slog.NewTextHandler(p.log, nil)))
	collecting, cancel := context.WithCancel(context.Background())
	var collector, clients sync.WaitGroup
	collector.Go(func() {
		for turn := 0; collecting.Err() == nil; turn++ {
			s.set(map[bool]error{true: errors.New("away")}[turn%3 == 1])
			done := make(chan struct{})
			p.data.everywhere(func(home *lane) { l.collect(home.core) }, func() { close(done) })
			<-done
			l.settle(collecting, time.Now())
		}
	})
	const sessions, rounds = 30, 20
	in := "GET missing\r\nSET k value\r\nLPUSH k x\r\nCLIENT ID x\r\nDEL k\r\n"
	out := "$-1\r\n+OK\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n-ERR wrong number of arguments for 'client|id' command\r\n:1\r\n"
	for i := range sessions {
		clients.Go(func() {
			c := dial(t, p.addr)
			defer c.Close()
			text := "AUTH " + keys[i%3] + "\r\n" + strings.ReplaceAll(strings.Repeat(in, rounds), " k", fmt.Sprint(" k", i))
			if i%2 == 0 {
				text += "QUIT\r\n"
			}
			if _, err := c.Write([]byte(text)); err != nil {
				t.Error(err)
			}
			lines := bufio.NewScanner(c)
			for n := 0; n < 1+5*rounds && lines.Scan(); n++ {
				continue
			}
		})
	}
	clients.Wait()
	if err := p.store.DeleteKey(t.Context(), keyID(keys[2]), 0); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "all clients have left", func() bool { return p.data.clients.Load() == 0 })
	cancel()
	collector.Wait()
	_ = p.stop()
	s.set(nil)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	l.run(ended, p.data)

	digits := func(n int) (total int64) { // how much longer the names k0, k3, … are than k
		for i := n; i < sessions; i += 3 {
			total += int64(len(fmt.Sprint(i)))
		}
		return total
	}
	for n, key := range keys {
		const each = sessions / 3
		want := tenant.Usage{
			Commands: each * rounds * 5, Errors: each * rounds * 2,
			BytesIn:  each*rounds*int64(len(in)) + rounds*3*digits(n) + each/2*int64(len("QUIT\r\n")),
			BytesOut: each*(5+rounds*int64(len(out))) + each/2*5,
		}
		if got := s.usage[keyID(key)]; got != want {
			t.Errorf("key %d:\ngot  %+v\nwant %+v", n, got, want)
		}
		if at := s.touched[keyID(key)]; time.Since(at).Abs() > time.Minute {
			t.Errorf("key %d was last used at %v", n, at)
		}
	}
	if len(l.pending)+len(l.touched) > 0 {
		t.Errorf("in the end %d records and %d keys are not stored", len(l.pending), len(l.touched))
	}
}

// TestUsageIsBounded has the store away for longer than there is memory for: what is lost is
// counted and logged.
func TestUsageIsBounded(t *testing.T) {
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log := &testbed.Buffer{}
	s := &shelf{away: errors.New("away")}
	l := newLedger(s, m, slog.New(slog.NewTextHandler(log, nil)))
	l.most = 3
	at := time.Unix(0, 0)
	for minute := range 5 {
		l.add(tenant.Usage{KeyID: "k", InstanceID: "i", At: at.Add(time.Duration(minute) * time.Minute), Commands: 1})
		l.save(t.Context())
	}
	l.add(tenant.Usage{KeyID: "k", InstanceID: "i", At: at, Commands: 1})
	s.set(nil)
	l.save(t.Context())
	if s.usage["k"].Commands != 4 || s.records != 3 || len(l.pending) > 0 {
		t.Errorf("stored %+v in %d records, want 4 commands in 3", s.usage["k"], s.records)
	}
	for _, want := range []string{"usage cannot be stored", "usage is stored again", "lost=2"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, log)
		}
	}
}

// newTestTrail returns a trail to s and a file, and what it logs.
func newTestTrail(t *testing.T, s eventStore, path string) (*trail, *testbed.Buffer) {
	t.Helper()
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	file, err := openAuditFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.close() })
	log := &testbed.Buffer{}
	return newTrail(s, file, m, slog.New(slog.NewTextHandler(log, nil))), log
}

// TestTrailSamples has like events of several loops become one a second.
func TestTrailSamples(t *testing.T) {
	s := &shelf{}
	tr, _ := newTestTrail(t, s, "")
	denied := tenant.Event{Action: proxy.CommandDenied, ActorID: "k", Name: "set", Detail: "no"}
	other := denied
	other.Name = "del"
	for _, o := range []occurrence{{denied, 1}, {denied, 1}, {other, 1}, {denied, 40}, {tenant.Event{Action: proxy.CommandAudited}, 1}, {tenant.Event{Action: proxy.CommandAudited}, 1}} {
		tr.take(&o)
	}
	for _, b := range []auth.BadKey{{KeyID: "a", Reason: auth.ReasonRevoked}, {KeyID: "a", Reason: auth.ReasonRevoked}, {KeyID: "x", Reason: auth.ReasonUnknown}, {KeyID: "y", Reason: auth.ReasonUnknown}} {
		b.Addr = netip.MustParseAddr("10.0.0.1")
		tr.badKey(b)
	}
	tr.finish(t.Context())
	got := map[string]int{}
	for _, e := range s.events {
		got[strings.TrimSpace(e.Action+" "+e.Name+e.TargetID+" "+e.Detail)]++
	}
	want := map[string]int{
		"command.denied set no": 1, "command.denied set no, 41 times": 1, "command.denied del no": 1, "command.audited": 2,
		"key.bad a revoked": 2, "key.bad x unknown": 2,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("noted %v, want %v", got, want)
	}
}

// TestTrailWithoutStore has the store away while more events come than there is memory for.
func TestTrailWithoutStore(t *testing.T) {
	s := &shelf{away: errors.New("away")}
	tr, log := newTestTrail(t, s, "")
	for i := range trailPending + 10 {
		tr.take(&occurrence{tenant.Event{Action: proxy.CommandAudited, Name: fmt.Sprint(i)}, 1})
		if len(tr.fresh) == trailBatch {
			tr.flush(t.Context())
		}
	}
	tr.flush(t.Context())
	s.set(nil)
	tr.flush(t.Context())
	if n := len(s.events); n != trailPending || s.events[0].Name != "0" || s.events[n-1].Name != fmt.Sprint(n-1) {
		t.Errorf("%d events are stored, want the first %d in their order", n, trailPending)
	}
	for _, want := range []string{"events wait", "written again", "lost=10"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, log)
		}
	}
	for range trailQueue + 5 {
		tr.Note(tenant.Event{}, 1)
	}
	if len(tr.queue) != trailQueue || !strings.Contains(log.String(), "cannot keep up") {
		t.Errorf("%d events are queued, want %d and a word in the log", len(tr.queue), trailQueue)
	}
}

// TestAuditFileIsFollowed renames the file, removes it, and takes its directory away.
func TestAuditFileIsFollowed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.jsonl")
	s := &shelf{}
	tr, log := newTestTrail(t, s, path)
	n := 0
	note := func() {
		n++
		if err := tr.AppendEvents(t.Context(), []tenant.Event{{At: time.Unix(1, 5e6), Actor: tenant.ByKey, Action: "x", Name: fmt.Sprint(n), After: json.RawMessage(`{"a":"<&>"}`)}}); err != nil {
			t.Error(err)
		}
	}
	lines := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	note()
	if got, want := lines(path), `{"at":"1970-01-01T00:00:01.005Z","actor":"key","actor_id":"","actor_name":"","token_id":"","address":"","action":"x","org_id":"","org":"","target":"","target_id":"","name":"1","before":null,"after":{"a":"<&>"},"outcome":"","detail":""}`+"\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	note()
	if strings.Count(lines(path+".1"), "\n") != 1 || !strings.Contains(lines(path), `"name":"2"`) {
		t.Error("a renamed file is written on")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	note()
	if !strings.Contains(log.String(), "audit.file: ") {
		t.Errorf("the log does not tell that a file cannot be opened:\n%s", log)
	}
	if len(s.events) != 3 {
		t.Errorf("%d events are stored, want 3", len(s.events))
	}
	if _, err := openAuditFile(path, nil); err == nil || !strings.Contains(err.Error(), "audit.file: "+path) {
		t.Errorf("opening a file where there is no directory: %v", err)
	}
}

// TestServeKeepsBooks runs the whole proxy: what its clients do is in the store, and in the
// file, when it has ended.
func TestServeKeepsBooks(t *testing.T) {
	cfg := testConfig(t)
	cfg.Audit.File = filepath.Join(t.TempDir(), "audit.jsonl")
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, func(k *tenant.Key) { k.Audit = "+@write" })
	talk(t, r.addr, "AUTH "+key+"\r\nSET a hidden\r\nGET a\r\nCONFIG GET x\r\nQUIT\r\n")
	talk(t, r.addr, "AUTH "+auth.GenerateFor(keyID(key)).Text.Reveal()+"\r\nQUIT\r\n")
	if n := r.metric(t, `audit_events_total{action="key.bad"`); n > 1 {
		t.Errorf("%v bad keys, want at most one", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events, err := r.store.Events(t.Context(), store.EventFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]tenant.Event{}
	for _, e := range events {
		got[e.Action] = e
	}
	file, err := os.ReadFile(cfg.Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 3 || strings.Count(string(file), "\n") != 3 {
		t.Errorf("%d events in the store, want 3, as in the file:\n%s", len(events), file)
	}
	if e := got[proxy.CommandAudited]; e.Name != "set" || string(e.After) != `{"instance":"cache","keys":["a"]}` || e.ActorID != keyID(key) || e.Org != "acme" || e.Outcome != tenant.Done {
		t.Errorf("the audited command is %+v", e)
	}
	if e := got[proxy.CommandDenied]; e.Name != "config|get" || e.Outcome != tenant.Denied {
		t.Errorf("the denied command is %+v", e)
	}
	if e := got[keyBad]; e.TargetID != keyID(key) || e.Detail != auth.ReasonWrongSecret || e.Org != "acme" || e.Address == "" {
		t.Errorf("the bad key is %+v", e)
	}
	if strings.Contains(string(file), "hidden") {
		t.Error("a value is in the audit log")
	}
	usage, err := r.store.Usage(t.Context(), store.UsageFilter{KeyID: keyID(key)})
	if err != nil || len(usage) != 1 || usage[0].Commands != 3 || usage[0].Errors != 1 {
		t.Errorf("usage is %+v, %v; want 3 commands, one of them an error", usage, err)
	}
	if k, err := r.store.Key(t.Context(), keyID(key)); err != nil || time.Since(k.LastUsedAt).Abs() > time.Minute {
		t.Errorf("the key was last used at %v, %v", k.LastUsedAt, err)
	}
}
