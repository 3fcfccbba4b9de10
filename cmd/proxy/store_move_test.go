package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestStoreMoves: a store goes from SQLite to PostgreSQL and back, with the commands, beside running
// proxies: keys made before open afterwards, and one that was revoked meanwhile ends its sessions.
func TestStoreMoves(t *testing.T) {
	backend := testbed.Redis(t).Addr
	lite, pg := testConfig(t), testConfig(t)
	pg.Store.Driver, pg.Store.DSN = "postgres", tenant.Secret(testbed.Postgres(t).Database())
	pg.SecretKey = "a secret of 32 bytes or more, only for this test"
	old, next := startServe(t, lite), startServe(t, pg)

	early := old.tenant(t, "acme", backend, nil)
	client := talkTo(t, old.addr, early)
	client.send("SET k v")
	client.expect("+OK")

	dir := t.TempDir()
	file := filepath.Join(dir, "store.jsonl")
	inStore(t, lite, "store export -o "+file+" --audit --usage")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v, want that only its owner may read it", info, err)
	}
	secret := strings.TrimPrefix(lite.Store.DSN.Reveal(), "file:") + ".key"
	inStore(t, pg, "store import -i "+file+" --secret-file "+secret)
	moved := talkTo(t, next.addr, early)
	moved.send("GET k")
	moved.expect("$1", "v")

	late := next.key(t, "acme", nil)
	if _, err := next.store.RevokeKey(t.Context(), keyID(early), 0); err != nil {
		t.Fatal(err)
	}
	moved.expect("end")
	inStore(t, pg, "store export -o "+file)
	key := filepath.Join(dir, "secret") // as an operator has it in a file, with a line's end
	if err := os.WriteFile(key, []byte(pg.SecretKey.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inStore(t, lite, "store import --replace -i "+file+" --secret-file "+key)
	client.expect("end")
	back := talkTo(t, old.addr, late)
	back.send("GET k")
	back.expect("$1", "v")
}

// inStore runs a command on the store that cfg names.
func inStore(t *testing.T, cfg Config, line string) {
	t.Helper()
	for name, value := range map[string]string{
		"RESPGATE_STORE_DRIVER": cfg.Store.Driver, "RESPGATE_STORE_DSN": cfg.Store.DSN.Reveal(), "RESPGATE_SECRET_KEY": cfg.SecretKey.Reveal(),
	} {
		t.Setenv(name, value)
	}
	var printed bytes.Buffer
	if status := run(t.Context(), strings.Fields(line), strings.NewReader(""), &printed, &printed); status != 0 {
		t.Fatalf("%s: %s", line, &printed)
	}
}
