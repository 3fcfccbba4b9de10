package main

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TestShellIsAudited: what is done at the command line is in the audit log, with the name
// of who did it, what failed too, and without a password.
func TestShellIsAudited(t *testing.T) {
	dsn := "file:" + t.TempDir() + "/respgate.db"
	t.Setenv("RESPGATE_STORE_DSN", dsn)
	file := t.TempDir() + "/audit.jsonl"
	t.Setenv("RESPGATE_AUDIT_FILE", file)
	t.Setenv("URL", "redis://:hunter2@127.0.0.1:6379/0")
	var printed bytes.Buffer
	command := func(line string, want int) {
		t.Helper()
		printed.Reset()
		if got := run(t.Context(), strings.Fields(line), strings.NewReader(""), &printed, &printed); got != want {
			t.Errorf("%s: status %d, want %d: %s", line, got, want, &printed)
		}
	}
	command("org create --name acme", 0)
	command("org create --name acme", 1)
	command("instance create --org acme --name cache --url env:URL", 0)
	command("key create --org acme --instance cache --name web", 0)
	secret := printed.String()[strings.Index(printed.String(), "rg_")+len("rg_000000000000_"):][:32]
	command("key list", 0)
	command("instance delete --org acme --name cache --force", 0)
	lines, err := os.ReadFile(file)
	if n := strings.Count(string(lines), "\n"); err != nil || n != 5 || strings.Contains(string(lines), "hunter2") || strings.Contains(string(lines), secret) {
		t.Errorf("the file has %d lines, %v, want 5 without secrets:\n%s", n, err, lines)
	}
	t.Setenv("RESPGATE_AUDIT_FILE", t.TempDir())
	command("org create --name globex", 0)
	if !strings.Contains(printed.String(), "warning: the event is in the store only: audit.file: ") {
		t.Errorf("with a file that cannot be written: %s, want a warning", &printed)
	}
	st, err := store.Open(t.Context(), store.Config{Driver: "sqlite", DSN: dsn}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	events, err := st.Events(t.Context(), store.EventFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s %s", e.Action, e.Name, e.Outcome))
		if e.Actor != tenant.ByShell || e.ActorName != me.Username {
			t.Errorf("%s: by %s %q, want by the shell's %q", e.Action, e.Actor, e.ActorName, me.Username)
		}
		if all := fmt.Sprintf("%+v%s%s", e, e.Before, e.After); strings.Contains(all, "hunter2") || strings.Contains(all, secret) {
			t.Errorf("the event has a secret: %s", all)
		}
	}
	want := []string{"organization.create globex ok", "instance.delete cache ok", "key.create web ok", "instance.create cache ok", "organization.create acme failed", "organization.create acme ok"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events, the newest first:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
