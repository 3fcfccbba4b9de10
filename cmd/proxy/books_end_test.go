package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

// slow is a shelf that takes its time, and says in the end what its context says, as a
// database does whose answer nobody waits for any more.
type slow struct {
	shelf
	begun    sync.Once
	began    chan struct{}
	finished chan struct{}
}

func newSlow() *slow { return &slow{began: make(chan struct{}), finished: make(chan struct{})} }

func (s *slow) take(ctx context.Context, store func() error) error {
	s.begun.Do(func() { close(s.began) })
	<-s.finished
	return errors.Join(store(), ctx.Err())
}

func (s *slow) AppendEvents(ctx context.Context, events []tenant.Event) error {
	return s.take(ctx, func() error { return s.shelf.AppendEvents(ctx, events) })
}

func (s *slow) AddUsage(ctx context.Context, usage []tenant.Usage) error {
	return s.take(ctx, func() error { return s.shelf.AddUsage(ctx, usage) })
}

// TestBooksEndOnce has a proxy end while events and usage are being stored: they are stored
// once.
func TestBooksEndOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(ctx context.Context, s *slow)
	}{
		{"events", func(ctx context.Context, s *slow) {
			tr, _ := newTestTrail(t, s, "")
			tr.Note(tenant.Event{Action: proxy.CommandAudited}, 1)
			tr.run(ctx)
		}},
		{"usage", func(ctx context.Context, s *slow) {
			tr, _ := newTestTrail(t, s, "")
			l := newLedger(s, tr.metrics, slog.New(slog.DiscardHandler))
			l.taken = []tenant.Usage{{KeyID: "k", InstanceID: "i", Commands: 1}}
			l.settle(ctx, time.Now())
			l.settle(context.Background(), time.Now())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSlow()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); c.run(ctx, s) }()
			<-s.began
			cancel()
			close(s.finished)
			<-done
			if n := int64(len(s.events)) + s.usage["k"].Commands; n != 1 {
				t.Errorf("it is stored %d times, want once", n)
			}
		})
	}
}

// TestManagementEventsWait: what was done while the audit log could not be written is in it
// when it can be again, and in the file.
func TestManagementEventsWait(t *testing.T) {
	s := &shelf{away: errors.New("away")}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	tr, log := newTestTrail(t, s, path)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); tr.run(ctx) }()
	made := []tenant.Event{{Action: "key.revoke", Target: "key", TargetID: "000000000001", Org: "acme"}}
	if err := tr.AppendEvents(t.Context(), made); err != nil {
		t.Errorf("while the store is away: %v", err)
	}
	for _, want := range []string{"action=key.revoke", "target_id=000000000001", "org=acme"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s, should the process die too:\n%s", want, log)
		}
	}
	testbed.Eventually(t, "the store is tried again", func() bool { return strings.Contains(log.String(), "events wait") })
	s.set(nil)
	cancel()
	<-done
	if len(s.events) != 1 || s.events[0].Action != "key.revoke" {
		t.Errorf("stored %+v, want the event once", s.events)
	}
	if file, err := os.ReadFile(path); err != nil || strings.Count(string(file), "key.revoke") != 1 {
		t.Errorf("the file has %s, %v, want the event once", file, err)
	}
	s.set(errors.New("away"))
	if err := tr.AppendEvents(t.Context(), made); err == nil {
		t.Error("nobody takes them on any more, and there is no error")
	}
}
