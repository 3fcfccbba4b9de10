package insight

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/respgate/respgate/command"
)

// veil hides what keys and arguments are, if it is not nil: it is the key of the hashes by
// which they are told apart then. It is drawn at random by each process and stored nowhere.
type veil []byte

// show is how text is told: itself, or sha256: and 16 hexadecimal digits of its HMAC.
func (v veil) show(text string) string {
	if v == nil {
		return text
	}
	mac := hmac.New(sha256.New, v)
	mac.Write([]byte(text))
	return "sha256:" + hex.EncodeToString(mac.Sum(nil)[:8])
}

// args are how arguments are told: all but the command's name, and what stands for others.
func (v veil) args(id command.ID, args []shownArg) []string {
	texts := make([]string, len(args))
	for i, a := range args {
		named := i == 0 || i == 1 && id.IsSubcommand()
		if !named && !a.aside {
			a.text = v.show(a.text)
		}
		texts[i] = a.text + a.rest
	}
	return texts
}

// short is a client's name, or its beginning: clients may choose long ones, which must not
// be kept for them.
func short(name string) string {
	if len(name) <= maxText {
		return name
	}
	return strings.Clone(name[:maxText])
}
