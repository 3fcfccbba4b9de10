package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/loop"
)

// FuzzConfig: a configuration that is refused is refused with the name of what is wrong;
// one that is accepted is the same when it is written and read again.
func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../../configs/respgate.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, seed := range []string{"", "listen: 127.0.0.1:1\nhttp: {listen: 127.0.0.1:1}", "lisen: x", "loops: -1", "limits: 5", "limits: {max_command_bytes: 1GB}", "tls: {listen: ':1'}",
		"tls: {certificates: [{cert_file: a, key_file: b}]}", "tls: {listen: ':1', cert_file: a, key_file: b, certificates: [{cert_file: c, key_file: d}]}", "pool: {dial_timeout: 5}",
		"log: {level: loud}", "- a", "a: &x [*x]", "listen: [1]", "rate_limit: {mode: delay}", "store: {dsn: ''}", "tracing: {sample_ratio: .nan}", "\xff", "listen.x: 1", "LISTEN: ':5'", "http: {pprof: yes}", "1: 2"} {
		f.Add(seed)
	}
	f.Setenv("RESPGATE_CONFIG", "")
	file := filepath.Join(f.TempDir(), "respgate.yaml")
	load := func(t *testing.T, text string) (Config, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return loadConfig(file)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(t, text)
		if err != nil {
			named := strings.Contains(err.Error(), file)
			for _, s := range new(Config).settings() {
				named = named || strings.Contains(err.Error(), s.key)
			}
			if !named {
				t.Errorf("%q is refused with %v, which names neither a key nor the file", text, err)
			}
			return
		}
		_, _ = c.Log.slogLevel(), c.warnings()
		values := map[string]any{}
		for _, s := range c.settings() {
			at, key := values, s.key
			if section, name, nested := strings.Cut(s.key, "."); nested {
				if values[section] == nil {
					values[section] = map[string]any{}
				}
				at, key = values[section].(map[string]any), name
			}
			at[key] = s.value()
		}
		written, err := yaml.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := load(t, string(written)); err != nil || fmt.Sprint(revealed(again)) != fmt.Sprint(revealed(c)) {
			t.Errorf("%q was read as %v, then %v, %v", text, revealed(c), revealed(again), err)
		}
	})
}

// revealed are a configuration's values, secrets too.
func revealed(c Config) (values []any) {
	for _, s := range c.settings() {
		values = append(values, s.key, fmt.Sprintf("%#v", s.value()))
	}
	return values
}

// FuzzHandover: a successor has the listeners that were described to it, each once, or none.
func FuzzHandover(f *testing.F) {
	f.Add([]byte(`[{"key":"listen","addr":":1"}]`), uint8(1))
	f.Add([]byte(`[{"key":"listen","addr":":1"},{"key":"http.listen","addr":":2"}]`), uint8(2))
	f.Add([]byte(`[{"key":"a"},{"key":"a"}]`), uint8(2))
	f.Add([]byte(`[]`), uint8(0))
	f.Add([]byte(`[null]`), uint8(1))
	f.Add([]byte(`null`), uint8(0))
	f.Add([]byte(``), uint8(0))
	f.Add([]byte(`{}`), uint8(1))
	var listeners []net.Listener
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = ln.Close() })
		listeners = append(listeners, ln)
	}
	place, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(f.TempDir(), "s")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = place.Close() })
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		if len(text) > maxHandover {
			return
		}
		given := listeners[:int(n)%(len(listeners)+1)]
		successor, err := net.DialUnix("unix", nil, place.Addr().(*net.UnixAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = successor.Close() }()
		conn, err := place.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		if len(given) == 0 {
			_, err = conn.Write(text)
		} else {
			err = loop.SendListeners(conn, text, given...)
		}
		_ = conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		p := &predecessor{conn: successor, listeners: map[offered]net.Listener{}}
		if err := p.receive(); err != nil {
			if len(p.listeners) > 0 {
				t.Errorf("%q: %v, and yet %d listeners", text, err, len(p.listeners))
			}
			return
		}
		var names []offered
		if err := json.Unmarshal(text, &names); err != nil || len(names) != len(given) || len(p.listeners) != len(given) {
			t.Errorf("%q, %v, with %d listeners is taken for %d", text, err, len(given), len(p.listeners))
		}
		for i, name := range names {
			ln := p.take(name.Key, name.Addr)
			if ln == nil || ln.Addr().String() != given[i].Addr().String() {
				t.Errorf("%q: %v is %v", text, name, ln)
			}
			if ln != nil {
				_ = ln.Close()
			}
		}
	})
}
