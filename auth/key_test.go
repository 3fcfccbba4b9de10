package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

// The checksum and the hash were computed apart from this package, with Python's
// zlib and hashlib.
const (
	knownKey  = "rg_0123456789AB_abcdefghijklmnopqrstuvwxyz3U74ZH"
	knownHash = "3a6dc152596cb29a20329f3f87878bb21429a95d3629ab4d4050aea561938e55"
)

const paddedKey = "rg_0123456789AB_0000000000000000000000013800BFIQ"

var keyForm = regexp.MustCompile(`^rg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}$`)

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		k := Generate()
		text := k.Text.Reveal()
		if !keyForm.MatchString(text) {
			t.Fatalf("key %q is not in the form %v", text, keyForm)
		}
		id, hash, ok := Parse([]byte(text))
		if !ok || id != k.ID || hash != k.Hash {
			t.Fatalf("Parse(%q) = %q, %x, %v, want %q, %x, true", text, id, hash, ok, k.ID, k.Hash)
		}
		if seen[id] || seen[text] {
			t.Fatalf("%q was made twice", text)
		}
		seen[id], seen[text] = true, true
	}
}

func TestGenerateFor(t *testing.T) {
	a, b := GenerateFor("0123456789AB"), GenerateFor("0123456789AB")
	if a.ID != b.ID || a.ID != "0123456789AB" {
		t.Errorf("got ids %q and %q, want 0123456789AB", a.ID, b.ID)
	}
	if a.Hash == b.Hash || a.Text == b.Text {
		t.Error("got the same secret twice")
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       bool
	}{
		{"good", knownKey, true},
		{"checksum padded with zeros", paddedKey, true},
		{"empty", "", false},
		{"prefix only", "rg_", false},
		{"short", knownKey[:len(knownKey)-1], false},
		{"long", knownKey + "0", false},
		{"other prefix", "rk" + knownKey[2:], false},
		{"upper-case prefix", "RG" + knownKey[2:], false},
		{"dash for the underscore", knownKey[:15] + "-" + knownKey[16:], false},
		{"not base62", knownKey[:20] + "-" + knownKey[21:], false},
		{"an underscore too many", knownKey[:20] + "_" + knownKey[21:], false},
		{"beyond ASCII", knownKey[:20] + "\xc3\xa9" + knownKey[22:], false},
		{"newline", knownKey[:len(knownKey)-1] + "\n", false},
		{"two characters exchanged", knownKey[:20] + knownKey[21:22] + knownKey[20:21] + knownKey[22:], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, hash, ok := Parse([]byte(tt.text))
			if ok != tt.want {
				t.Fatalf("ok = %v, want %v", ok, tt.want)
			}
			if ok && id != "0123456789AB" {
				t.Errorf("id = %q, want 0123456789AB", id)
			}
			if tt.text == knownKey && hex.EncodeToString(hash[:]) != knownHash {
				t.Errorf("hash = %x, want %s", hash, knownHash)
			}
		})
	}
}

func TestParseCatchesEveryTypo(t *testing.T) {
	for i := range knownKey {
		for _, c := range []byte(base62) {
			text := []byte(knownKey)
			if text[i] == c {
				continue
			}
			text[i] = c
			if _, _, ok := Parse(text); ok {
				t.Errorf("%q was taken, want the typo at %d caught", text, i)
			}
		}
	}
}

func TestKeyHidesItsSecret(t *testing.T) {
	k := Generate()
	secret := k.Text.Reveal()[len(keyPrefix)+idLength+1:]
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("made", "key", k, "pointer", &k, "text", k.Text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("made", "key", k, "in", struct{ K Key }{k})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", []Key{k})
	}
	if err := json.NewEncoder(&out).Encode(k); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), hex.EncodeToString([]byte(secret))) {
		t.Errorf("the secret is shown in:\n%s", &out)
	}
}

// TestTokens: a token has a key's form with another prefix, and neither is taken for the
// other.
func TestTokens(t *testing.T) {
	made := GenerateToken()
	text := made.Text.Reveal()
	if !regexp.MustCompile(`^rgt_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}$`).MatchString(text) {
		t.Errorf("token %q is not in the form", text)
	}
	if id, hash, ok := ParseToken([]byte(text)); !ok || id != made.ID || hash != made.Hash {
		t.Errorf("ParseToken(%q) = %q, %x, %v, want %q, %x, true", text, id, hash, ok, made.ID, made.Hash)
	}
	if _, _, ok := Parse([]byte(text)); ok {
		t.Errorf("token %q was taken as a key", text)
	}
	for _, bad := range []string{"", "rgt_", knownKey, "rgt_" + knownKey[3:], text[:len(text)-1], text + "0", strings.ToUpper(text)} {
		if _, _, ok := ParseToken([]byte(bad)); ok {
			t.Errorf("%q was taken as a token", bad)
		}
	}
	if got := made.String(); got != "rgt_"+made.ID+"_[redacted]" {
		t.Errorf("it is shown as %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(knownKey))
	f.Add([]byte("rg_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, _, ok := Parse(text)
		if ok && (!keyForm.Match(text) || id != string(text[3:15])) {
			t.Errorf("%q was taken as key %q, want it refused", text, id)
		}
	})
}
