package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

// TestRestoreDuringMove: what is restored while an instance is moved would be written to the old
// backend only.
func TestRestoreDuringMove(t *testing.T) {
	cfg := testConfig(t)
	server := testbed.Redis(t)
	inStore(t, cfg, "org create --name acme")
	inStore(t, cfg, "instance create --org acme --name cache --url redis://"+server.Addr)
	st, err := openStore(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	file := filepath.Join(t.TempDir(), "backup")
	server.Client().Set(t.Context(), "k", "v", 0)
	inStore(t, cfg, "backup --org acme --instance cache -o "+file)
	server.Client().FlushAll(t.Context())
	m, _, err := st.BeginMove(t.Context(), "acme", "cache", "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	restore := "restore --org acme --instance cache -i " + file
	var printed testbed.Buffer
	if status := run(t.Context(), strings.Fields(restore), strings.NewReader(""), &printed, &printed); status != 1 || !strings.Contains(printed.String(), "instance acme/cache is being moved") {
		t.Errorf("a restore during a move: %d, %s", status, &printed)
	}
	if _, err := st.EndMove(t.Context(), m.Token, 0); err != nil {
		t.Fatal(err)
	}
	inStore(t, cfg, restore)
}

// TestKeeperComesBack: a proxy whose lease is over hears from the store again, which says that
// writes are held. Its mover may have counted it out: nothing that has waited, and no transaction
// that had begun, gets to the old backend.
func TestKeeperComesBack(t *testing.T) {
	for _, c := range []struct {
		name            string
		before, answers []string // while the lease lasts
		waits           string   // what is sent when it is over
		ends            bool     // the client is disconnected
	}{
		{name: "a write", waits: "SET k 1"},
		{name: "a transaction", before: []string{"MULTI", "SET k 1"}, answers: []string{"+OK", "+QUEUED"}, waits: "EXEC", ends: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPlane(t)
			server := testbed.Redis(t)
			x := talkTo(t, p.addr, p.tenant(t, "acme", server.Addr, nil))
			in, err := p.store.Instance(t.Context(), "acme", "cache")
			if err != nil {
				t.Fatal(err)
			}
			k := newKeeper(tenant.Proxy{ID: "proxy1"}, nil, p.data, p.service.Applied, p.service.Poll, slog.New(slog.NewTextHandler(p.log, nil)))
			m := tenant.Move{InstanceID: in.ID, Label: in.Label(), Token: "token", Beat: 1}
			hear := func() { k.follow(answer{asked: time.Now(), moves: tenant.Moves{All: []tenant.Move{m}}}) }
			hear()
			x.send(append([]string{"PING"}, c.before...)...)
			x.expect(append([]string{"+PONG"}, c.answers...)...)
			s := k.stands[in.ID]
			s.lease.Renew(time.Now().Add(-tenant.MoveLease))
			sent := time.Now()
			x.send(c.waits)
			testbed.Eventually(t, "the command waits", func() bool {
				all, err := p.data.Sessions(context.Background(), "")
				return err == nil && len(all) == 1 && all[0].ActiveAt.After(sent)
			})
			k.look(time.Now())
			m.Holding = true
			hear()
			if c.ends {
				if line := x.line(); line != "end" {
					t.Errorf("the client reads %q, want the end", line)
				}
			}
			testbed.Eventually(t, "nothing is under way", func() bool {
				k.look(time.Now())
				return s.phase == proxy.MoveStill
			})
			if n := server.Client().Exists(t.Context(), "k").Val(); n != 0 {
				t.Error("the old backend has the write")
			}
		})
	}
}

// TestKeeperAfterLostChanges: a store that has lost changes in a failover counts from less than a
// proxy has seen. Whoever waited for the end of a move goes on when the proxy follows what is left.
func TestKeeperAfterLostChanges(t *testing.T) {
	p := startPlane(t)
	var applied int64
	k := newKeeper(tenant.Proxy{ID: "proxy1"}, nil, p.data, func() int64 { return applied }, func() {}, slog.New(slog.DiscardHandler))
	m := tenant.Move{InstanceID: "i", Label: "acme/cache", Token: "token", Beat: 1}
	for _, c := range []struct {
		name    string
		moves   tenant.Moves
		applied int64
		held    bool
	}{
		{"the move is there", tenant.Moves{All: []tenant.Move{m}, Seq: 90}, 90, true},
		{"it is over", tenant.Moves{Seq: 100}, 95, true},
		{"later changes are none of its", tenant.Moves{Seq: 110}, 95, true},
		{"changes are lost", tenant.Moves{Seq: 80}, 79, true},
		{"what is left is followed", tenant.Moves{Seq: 80}, 80, false},
	} {
		applied = c.applied
		k.follow(answer{asked: time.Now(), moves: c.moves})
		k.look(time.Now())
		if held := len(k.stands) > 0; held != c.held {
			t.Errorf("%s: commands are held: %v, want %v", c.name, held, c.held)
		}
	}
}
