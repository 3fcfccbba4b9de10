package control

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/respgate/respgate/tenant"
)

// SlowLogView is a slow log as it is shown.
type SlowLogView struct {
	Proxy   string          `json:"proxy"`
	Entries []SlowEntryView `json:"entries"` // the newest first
}

// ViewSlowLog shows l.
func ViewSlowLog(l SlowLog) SlowLogView { return SlowLogView{l.Proxy, Views(l.Entries, viewSlowEntry)} }

// SlowEntryView is an entry of a slow log as it is shown.
type SlowEntryView struct {
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	Command  string    `json:"command"`
	Args     []string  `json:"args"`        // at most 32 of at most 128 bytes each, and no secrets
	Took     int64     `json:"duration_us"` // in the Redis
	Limited  int64     `json:"limited_us"`  // that it waited for its limits
	Waited   int64     `json:"waited_us"`   // for a connection
	Ahead    int64     `json:"ahead_us"`    // for replies to earlier commands on its connection
	Total    int64     `json:"total_us"`    // all of them
	Address  string    `json:"address"`
	Name     string    `json:"name"` // as of CLIENT SETNAME
	KeyID    string    `json:"key_id"`
	Session  string    `json:"session_id"`
	DB       int       `json:"db"`
	Size     int       `json:"size_bytes"`
	Reply    int       `json:"reply_bytes"`
	ErrorWas string    `json:"error"` // its first word; "" is none
}

func viewSlowEntry(e tenant.SlowEntry) SlowEntryView {
	return SlowEntryView{e.ID, e.At.UTC(), e.Command, Views(e.Args, legible), e.Took.Microseconds(), e.Limited.Microseconds(), e.Waited.Microseconds(), e.Ahead.Microseconds(), e.Total.Microseconds(),
		e.Address, e.Name, e.KeyID, e.SessionID, e.DB, e.Size, e.ReplySize, legible(e.Error)}
}

// legible is what a client sent as text: bytes that are not UTF-8 stand as \xff.
func legible(bytes string) string {
	if utf8.ValidString(bytes) {
		return bytes
	}
	var text strings.Builder
	for len(bytes) > 0 {
		r, n := utf8.DecodeRuneInString(bytes)
		if r == utf8.RuneError && n == 1 {
			text.WriteString(`\x` + strconv.FormatUint(uint64(bytes[0])|0x100, 16)[1:])
		} else {
			text.WriteString(bytes[:n])
		}
		bytes = bytes[n:]
	}
	return text.String()
}

// InstanceTopView is what stands out of an instance as it is shown.
type InstanceTopView struct {
	Proxy      string           `json:"proxy"`
	Commands   []HotCommand     `json:"commands"`       // of the last second or so, exactly
	Window     float64          `json:"window_seconds"` // what all that follows is about
	Every      int              `json:"sample_every"`   // one command in so many is looked at, for what is estimated; 0: none
	HotKeys    []HotKeyView     `json:"hot_keys"`
	Clients    []BusyClientView `json:"clients"`
	BigKeys    []BigCommandView `json:"big_keys"`
	BigReplies []BigCommandView `json:"big_replies"`
}

// HotKeyView is a hot key as it is shown.
type HotKeyView struct {
	Key   string  `json:"key"`
	Cut   bool    `json:"key_cut"` // it is longer
	DB    int     `json:"db"`
	Rate  float64 `json:"per_second"`
	Error float64 `json:"error_per_second"`
}

// BusyClientView is a client that sends many commands as it is shown.
type BusyClientView struct {
	Session string  `json:"session_id"`
	Address string  `json:"address"`
	Name    string  `json:"name"`
	KeyID   string  `json:"key_id"`
	Rate    float64 `json:"per_second"`
	Error   float64 `json:"error_per_second"`
}

// BigCommandView is a command with many bytes as it is shown.
type BigCommandView struct {
	Command string    `json:"command"`
	Key     string    `json:"key"` // the first that it names; "" is none
	Cut     bool      `json:"key_cut"`
	DB      int       `json:"db"`
	Bytes   int64     `json:"bytes"`
	At      time.Time `json:"at"`
	Session string    `json:"session_id"`
	Address string    `json:"address"`
	Name    string    `json:"name"`
	KeyID   string    `json:"key_id"`
}

// ViewInstanceTop shows the first n of each list.
func ViewInstanceTop(t InstanceTop, n int) InstanceTopView {
	return InstanceTopView{
		Proxy: t.Proxy, Commands: first(n, t.Commands), Window: t.Window.Seconds(), Every: t.Every,
		HotKeys: Views(first(n, t.HotKeys), func(k tenant.HotKey) HotKeyView { return HotKeyView{legible(k.Key), k.Cut, k.DB, k.Rate, k.Error} }),
		Clients: Views(first(n, t.Clients), func(c tenant.BusyClient) BusyClientView {
			return BusyClientView{c.SessionID, c.Address, c.Name, c.KeyID, c.Rate, c.Error}
		}),
		BigKeys: Views(first(n, t.BigKeys), viewBigCommand), BigReplies: Views(first(n, t.BigReplies), viewBigCommand),
	}
}

func viewBigCommand(c tenant.BigCommand) BigCommandView {
	return BigCommandView{c.Command, legible(c.Key), c.Cut, c.DB, c.Bytes, c.At.UTC(), c.SessionID, c.Address, c.Name, c.KeyID}
}

// first is the first n of a list, which is not nil.
func first[T any](n int, all []T) []T { return append([]T{}, all[:min(n, len(all))]...) }
